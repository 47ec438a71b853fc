/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recovery that fails early at boot has seconds left before the file system is mounted, half of which is in a
 * journal. To stop the boot for it would be wrong, too: the device may be one that boot does not need. So single units
 * are held, by files that outlive the process that made them; and what holds a unit for two devices goes only with the
 * second one.
 */
#include "media/boot_holds.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/boot_units.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { HOLD_BYTES = 16384 }; /* names of devices, a line each */

struct holder {
        int directory;
        const char *device;
        int error;
};

static ssize_t read_hold(int directory, const char *unit, char text[static HOLD_BYTES]) {
        CLEANUP_CLOSE int fd = openat(directory, unit, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, text, HOLD_BYTES - 1);
        text[MAX(n, 0)] = '\0';
        return n;
}

/* Where the device has its line; NULL: it has none. */
static char *line_of(char *text, const char *device) {
        size_t n = strlen(device);
        for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                if (strncmp(line, device, n) == 0 && line[n] == '\n')
                        return line;
        return NULL;
}

static void hold(void *userdata, const char *unit, const char *file) {
        struct holder *h = userdata;
        char text[HOLD_BYTES], line[HOLD_BYTES];
        if (strchr(unit, '/'))
                return;
        (void)read_hold(h->directory, unit, text);
        if (line_of(text, h->device))
                return;
        text_format(line, sizeof line, "%s\n", h->device);
        CLEANUP_CLOSE int fd = openat(h->directory, unit, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
                h->error = errno ? -errno : -EIO;
}

int boot_holds_set(const char *directory, const char *device, const struct target_facts *facts) {
        struct device_names names;
        CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        struct holder h = { .directory = fd, .device = device };
        if (facts->size_bytes == 0) /* it is not there */
                names = (struct device_names){ .path = facts->path, .backing_file = facts->identity.backing_file };
        else
                device_names_gather(&names, facts);
        boot_units_each(&names, hold, &h);
        return h.error;
}

/* Written anew without the line, or gone with the last one. */
static void release(int directory, const char *unit, const char *device) {
        char text[HOLD_BYTES];
        ssize_t n = read_hold(directory, unit, text);
        char *line = n > 0 ? line_of(text, device) : NULL;
        if (!line)
                return;
        char *rest = line + strlen(device) + 1;
        memmove(line, rest, strlen(rest) + 1);
        if (!text[0]) {
                (void)unlinkat(directory, unit, 0);
                return;
        }
        CLEANUP_CLOSE int fd = openat(directory, unit, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && write(fd, text, strlen(text)) < 0)
                return; /* it is held all the same, by its name */
}

void boot_holds_release(const char *directory, const char *device) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(AT_FDCWD, directory);
        const char *unit;
        while (list && (unit = sysfs_next(list)) != NULL)
                release(dirfd(list), unit, device);
}

void boot_holds_clear(const char *directory) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(AT_FDCWD, directory);
        const char *unit;
        while (list && (unit = sysfs_next(list)) != NULL)
                (void)unlinkat(dirfd(list), unit, 0);
}
