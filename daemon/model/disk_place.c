/* SPDX-License-Identifier: Apache-2.0 */
/* Small sets, compared by walking: a device lies on few disks, and hundreds are compared once a second. */
#include "model/disk_place.h"

#include "base/text.h"

#include <string.h>

bool disk_place_has_disk(const struct disk_place *p, uint64_t disk) {
        for (size_t i = 0; i < p->disk_count; i++)
                if (p->disks[i] == disk)
                        return true;
        return false;
}

bool disk_place_has_controller(const struct disk_place *p, const char *name) {
        for (size_t i = 0; i < p->controller_count; i++)
                if (strcmp(p->controllers[i], name) == 0)
                        return true;
        return false;
}

void disk_place_add_disk(struct disk_place *p, uint64_t disk) {
        if (p->disk_count < DISK_PLACE_DISKS_MAX && !disk_place_has_disk(p, disk))
                p->disks[p->disk_count++] = disk;
}

void disk_place_add_controller(struct disk_place *p, const char *name) {
        if (p->controller_count < DISK_PLACE_CONTROLLERS_MAX && !disk_place_has_controller(p, name))
                text_copy(p->controllers[p->controller_count++], DISK_PLACE_NAME_BYTES, name);
}

bool disk_place_shares_disk(const struct disk_place *a, const struct disk_place *b) {
        for (size_t i = 0; i < a->disk_count; i++)
                if (disk_place_has_disk(b, a->disks[i]))
                        return true;
        return false;
}

/* FNV-1a over the name (Fowler, Noll and Vo). */
uint64_t disk_place_controller_number(const struct disk_place *p) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);
        if (p->controller_count == 0)
                return 0;
        for (const char *c = p->controllers[0]; *c; c++)
                h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
        return h ? h : 1;
}
