/* SPDX-License-Identifier: Apache-2.0 */
/* A disk has as many links as udev's rules gave it, so each record owns its texts, and one function gives all back. */
#include "model/disk_record.h"

#include <stdlib.h>

struct disk_list *disk_list_free(struct disk_list *list) {
        if (!list)
                return NULL;
        for (size_t i = 0; i < list->count; i++) {
                for (size_t k = 0; k < list->disks[i]->link_count; k++)
                        free(list->disks[i]->links[k]);
                free(list->disks[i]);
        }
        free(list->disks);
        free(list);
        return NULL;
}
