/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times can't tell a boot from a restart of the daemon: the clock may be wrong at either, and a daemon may be started
 * long after the boot. The kernel's random number of the boot can. What could go wrong: a file that is damaged or of
 * somebody else would put sweeps off, so only the number of another boot, and nothing else, counts as one.
 */
#include "report/boots.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KERNEL_BOOT "/proc/sys/kernel/random/boot_id"

enum { BOOT_BYTES = 36 }; /* a UUID as text */

/* Without blocking: somebody may have put a FIFO there. */
static bool read_boot(char ret[static BOOT_BYTES + 1], const char *path) {
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        char text[BOOT_BYTES + 2] = "";
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
        if (n != BOOT_BYTES + 1 || text[BOOT_BYTES] != '\n' || strspn(text, "0123456789abcdef-") != BOOT_BYTES)
                return false;
        memcpy(ret, text, BOOT_BYTES);
        ret[BOOT_BYTES] = '\0';
        return true;
}

bool boots_is_first_start(const char *directory) {
        char path[PATH_MAX], noted[BOOT_BYTES + 1], now[BOOT_BYTES + 1];
        return text_format(path, sizeof path, "%s/boot", directory) && read_boot(noted, path) &&
                read_boot(now, KERNEL_BOOT) && strcmp(noted, now) != 0;
}

/* In one step, but not made durable: what a crash leaves of it is one note or the other, or none. */
int boots_note(const char *directory) {
        char now[BOOT_BYTES + 1], line[BOOT_BYTES + 2];
        if (!read_boot(now, KERNEL_BOOT))
                return -ENODATA;
        text_format(line, sizeof line, "%s\n", now);
        CLEANUP_CLOSE int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        CLEANUP_CLOSE int fd = openat(dir, "boot.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, line, BOOT_BYTES + 1);
        if (n != BOOT_BYTES + 1)
                return n < 0 ? -errno : -ENOSPC;
        return renameat(dir, "boot.new", dir, "boot") < 0 ? -errno : 0;
}
