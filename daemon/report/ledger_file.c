/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger that is broken or not ours is never deleted: it may be all that is left of a disk's history. And it must
 * not be mixed with its successor: SQLite would replay a write-ahead log that it finds beside a new file. So the file
 * and its companions move together, a stray companion counts as one of them, and a new file gets its name only when
 * it is complete, so that a kill in between leaves either the old state or the new one.
 */
#include "report/ledger_file.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { HEADER_BYTES = 100, HEADER_SCHEMA_AT = 60, HEADER_APPLICATION_AT = 68, NUMBERED_NAMES_MAX = 1000 };

/* The file itself first: once it has moved, what is left behind is known to be a stray. */
static const char *const companions[] = { "", "-wal", "-shm", "-journal" };

static int open_directory(const char *directory) {
        int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static uint32_t big_endian(const uint8_t *bytes) {
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum ledger_file judge(const uint8_t header[static HEADER_BYTES]) {
        static const char magic[16] = "SQLite format 3"; /* its end is part of it */
        if (memcmp(header, magic, sizeof magic) != 0)
                return LEDGER_FILE_DAMAGED;
        if (big_endian(header + HEADER_APPLICATION_AT) != LEDGER_FILE_APPLICATION)
                return LEDGER_FILE_FOREIGN;
        uint32_t schema = big_endian(header + HEADER_SCHEMA_AT);
        if (schema == 0 || schema > LEDGER_FILE_SCHEMA_SANE)
                return LEDGER_FILE_DAMAGED;
        return schema > LEDGER_FILE_SCHEMA ? LEDGER_FILE_NEWER : LEDGER_FILE_OURS;
}

int ledger_file_look(const char *directory) {
        CLEANUP_CLOSE int dir_fd = open_directory(directory);
        if (dir_fd < 0)
                return dir_fd;
        /* Without blocking: somebody may have put a FIFO there. */
        CLEANUP_CLOSE int fd = openat(dir_fd, LEDGER_FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? LEDGER_FILE_MISSING : -errno;
        struct stat status;
        if (fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode))
                return S_ISDIR(status.st_mode) ? -EISDIR : -ENXIO;

        uint8_t header[HEADER_BYTES];
        ssize_t n = pread(fd, header, sizeof header, 0);
        if (n < 0)
                return -errno;
        return n == sizeof header ? judge(header) : LEDGER_FILE_DAMAGED;
}

static bool exists(int dir_fd, const char *name) {
        struct stat status;
        return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static bool name_is_free(int dir_fd, const char *name) {
        for (size_t i = 0; i < ELEMENTS(companions); i++) {
                char full[NAME_MAX];
                text_format(full, sizeof full, "%s%s", name, companions[i]);
                if (exists(dir_fd, full))
                        return false;
        }
        return true;
}

static int find_free_name(int dir_fd, uint64_t now_us, char *name, size_t name_bytes) {
        time_t seconds = (time_t)(now_us / USEC_PER_SEC);
        struct tm utc;
        char when[32];
        if (!gmtime_r(&seconds, &utc) || strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc) == 0)
                return -EOVERFLOW;
        text_format(name, name_bytes, LEDGER_FILE_NAME ".damaged-%s", when);
        for (int i = 2; !name_is_free(dir_fd, name); i++) {
                if (i > NUMBERED_NAMES_MAX)
                        return -EEXIST;
                text_format(name, name_bytes, LEDGER_FILE_NAME ".damaged-%s.%d", when, i);
        }
        return 0;
}

/* File systems without RENAME_NOREPLACE get a plain rename: the name was free a moment ago, and the directory is ours.
 */
static int rename_new(int dir_fd, const char *from, const char *to) {
        if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL)
                return -errno;
        if (exists(dir_fd, to))
                return -EEXIST;
        return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
}

static int sync_directory(int dir_fd) {
        return fsync(dir_fd) < 0 ? -errno : 0;
}

int ledger_file_set_aside(const char *directory, uint64_t now_us, char *ret_name, size_t name_bytes) {
        CLEANUP_CLOSE int dir_fd = open_directory(directory);
        if (dir_fd < 0)
                return dir_fd;
        char name[NAME_MAX - 16];
        int r = find_free_name(dir_fd, now_us, name, sizeof name);
        if (r < 0)
                return r;
        bool moved = false;
        for (size_t i = 0; i < ELEMENTS(companions); i++) {
                char from[NAME_MAX], to[NAME_MAX];
                text_format(from, sizeof from, LEDGER_FILE_NAME "%s", companions[i]);
                text_format(to, sizeof to, "%s%s", name, companions[i]);
                r = rename_new(dir_fd, from, to);
                if (r < 0 && r != -ENOENT)
                        return r;
                moved = moved || r == 0;
        }
        r = moved ? sync_directory(dir_fd) : 0;
        if (r < 0)
                return r;
        text_copy(ret_name, name_bytes, moved ? name : "");
        return 0;
}

int ledger_file_begin(const char *directory) {
        CLEANUP_CLOSE int dir_fd = open_directory(directory);
        if (dir_fd < 0)
                return dir_fd;
        for (size_t i = 0; i < ELEMENTS(companions); i++) {
                char name[NAME_MAX];
                text_format(name, sizeof name, LEDGER_FILE_NEW "%s", companions[i]);
                if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                        return -errno;
        }
        /* Findings hold bytes of people's data; SQLite gives its companions the same mode. */
        CLEANUP_CLOSE int fd = openat(dir_fd, LEDGER_FILE_NEW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : 0;
}

int ledger_file_publish(const char *directory) {
        CLEANUP_CLOSE int dir_fd = open_directory(directory);
        if (dir_fd < 0)
                return dir_fd;
        int r = rename_new(dir_fd, LEDGER_FILE_NEW, LEDGER_FILE_NAME);
        return r < 0 ? r : sync_directory(dir_fd);
}
