/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two disks that are taken for one would have their histories mixed, and a retention pass would call good data bad; so
 * a key carries its kind, and a partition its place, and the path is used only where there is nothing better.
 */
#include "model/identity.h"

#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[TARGET_KIND_COUNT] = {
        [TARGET_KIND_DISK] = "disk",
        [TARGET_KIND_PARTITION] = "partition",
        [TARGET_KIND_LOOP] = "loop",
        [TARGET_KIND_MAPPER] = "mapper",
        [TARGET_KIND_MD] = "md",
        [TARGET_KIND_FILE] = "file",
};

const char *target_kind_name(enum target_kind kind) {
        assert(kind < TARGET_KIND_COUNT);
        return kind_names[kind];
}

/* The key of the whole device, without regard to a partition on it. */
static void whole_key(char *key, size_t key_bytes, const struct identity *i, const char *path) {
        if (i->wwn[0])
                text_format(key, key_bytes, "wwn:%s", i->wwn);
        else if (i->serial[0])
                /* With the model's length, as both may hold any character: "A/B" and "C" is not "A" and "B/C". */
                text_format(key, key_bytes, "serial:%zu:%s/%s", strlen(i->model), i->model, i->serial);
        else if (i->backing_file[0])
                text_format(key, key_bytes, "file:%s", i->backing_file);
        else
                text_format(key, key_bytes, "path:%s", path);
}

void identity_key(char key[static IDENTITY_KEY_BYTES], const struct identity *i, const char *path) {
        if (i->kind != TARGET_KIND_PARTITION) {
                whole_key(key, IDENTITY_KEY_BYTES, i, path);
                return;
        }
        if (i->partuuid[0]) {
                text_format(key, IDENTITY_KEY_BYTES, "partuuid:%s", i->partuuid);
                return;
        }
        int n = snprintf(key, IDENTITY_KEY_BYTES, "partition:%" PRIu64 ":", i->partition_offset_bytes);
        assert(n > 0);
        whole_key(key + n, IDENTITY_KEY_BYTES - (size_t)n, i, path);
}

const char *identity_most_specific(const struct identity *i) {
        if (i->kind == TARGET_KIND_PARTITION)
                return i->partuuid;
        if (i->kind == TARGET_KIND_LOOP || i->kind == TARGET_KIND_FILE)
                return i->backing_file;
        return i->wwn[0] ? i->wwn : i->serial;
}
