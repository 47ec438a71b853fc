/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text at all as the configuration: it is loaded, or refused with a place and a reason; and what was loaded is
 * within its limits. The text goes through a memory file, for it is the reading of files that is tested too.
 */
#include "base/cleanup.h"
#include "plan/settings.h"
#include "plan/utf8.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* libconfig 1.5 loses the string that it was reading when it meets a syntax error: a few bytes that aren't ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
        return "leak:libconfig.so";
}

static void check_settings(const struct settings *s) {
        assert(s->workers <= 256);
        assert(CPU_COUNT(&s->cpus) > 0);
        for (size_t i = 0; i < s->device_count; i++) {
                const struct device_config *d = s->devices[i];
                assert(d->name[0] && d->path[0] == '/' && d->line > 0);
                assert(d->block_size_bytes >= 4096 && (d->block_size_bytes & (d->block_size_bytes - 1)) == 0);
                uint64_t segment_bytes = device_config_segment_bytes(d, d->mode);
                assert(segment_bytes >= d->block_size_bytes && segment_bytes % d->block_size_bytes == 0);
                assert(!d->journal || d->journal[0] == '/');
                assert(d->queue_depth >= 1 && d->queue_depth <= 256);
                assert(!d->destroys_data || d->mode == MODE_PATTERN);
                assert(settings_device(s, d->name) == d);
        }
}

static void check_error(const struct settings_error *error, size_t length) {
        assert(error->text[0] && utf8_all_printable(error->text));
        assert(error->file[0]);
        assert(error->line >= 0 && (size_t)error->line <= length + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
        CLEANUP_CLOSE int fd = memfd_create("configuration", MFD_CLOEXEC);
        assert(fd >= 0);
        ssize_t written = write(fd, data, length);
        assert(written == (ssize_t)length);
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        struct settings_surroundings surroundings = { 0 };
        CPU_SET(0, &surroundings.cpus);
        CPU_SET(1, &surroundings.cpus);
        struct settings *settings = NULL;
        struct settings_error error;
        memset(&error, 0, sizeof error);
        int r = settings_load(&settings, &error, path, &surroundings);
        assert(r == SETTINGS_OK || r == SETTINGS_E_INVALID);
        if (r == SETTINGS_OK)
                check_settings(settings);
        else
                check_error(&error, length);
        settings_free(settings);
        return 0;
}
