/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Clean" is said of bytes that were looked at. What could go wrong is that another disk, or more of the same one,
 * inherits it with the name; and that a disk which is only not recognised for a moment loses what is known of it. So
 * what is not known counts as the same, what has no identity is told by its path and size, and only two identities that
 * differ prove that a disk is gone.
 */
#include "model/subject.h"

#include <string.h>

/* False: it names a path, and nothing of what is there. Of a partition the name of its disk counts. */
static bool has_identity(const char *key) {
        static const char partition[] = "partition:";
        if (strncmp(key, partition, strlen(partition)) == 0) {
                const char *disk = strchr(key + strlen(partition), ':');
                key = disk ? disk + 1 : key;
        }
        return strncmp(key, "path:", strlen("path:")) != 0;
}

static bool same_key(const struct subject *a, const struct subject *b) {
        return !a->key || !b->key || strcmp(a->key, b->key) == 0;
}

static bool same_size(const struct subject *a, const struct subject *b) {
        return a->size_bytes == 0 || b->size_bytes == 0 || a->size_bytes == b->size_bytes;
}

static bool same_extent(struct extent a, struct extent b) {
        return a.length_bytes == 0 || b.length_bytes == 0 ||
                (a.offset_bytes == b.offset_bytes && a.length_bytes == b.length_bytes);
}

enum subject_change subject_compare(const struct subject *swept, const struct subject *now) {
        if (!same_key(swept, now))
                return SUBJECT_OTHER_TARGET;
        if (!same_size(swept, now))
                return now->key && !has_identity(now->key) ? SUBJECT_OTHER_TARGET : SUBJECT_OTHER_EXTENT;
        return same_extent(swept->extent, now->extent) ? SUBJECT_SAME : SUBJECT_OTHER_EXTENT;
}

bool subject_is_replaced(const struct subject *swept, const struct subject *now) {
        return !same_key(swept, now) && has_identity(swept->key) && has_identity(now->key);
}
