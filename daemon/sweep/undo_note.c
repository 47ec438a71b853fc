/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A note that is lost, or half written, would have originals forgotten; one that is left over only asks for a look. So
 * it is whole under its name or not there, the directory is flushed after each change, and what can't be read is never
 * taken for nothing.
 */
#include "sweep/undo_note.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/device_config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = DEVICE_NAME_BYTES + 16, TEXT_BYTES = PATH_MAX + 64 };

static const char first_line[] = "sweepd-undo-note 1\n";

static void file_name(char name[static NAME_BYTES], const char *device, const char *suffix) {
        text_format(name, NAME_BYTES, "%s%s%s", device, UNDO_NOTE_SUFFIX, suffix);
}

static int open_directory(const char *directory) {
        int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int parse(struct undo_note *ret, const char *text) {
        struct undo_note note = { 0 };
        char *end;
        size_t head = strlen(first_line);
        if (strncmp(text, first_line, head) != 0)
                return UNDO_NOTE_E_DAMAGED;
        note.journal_id = strtoull(text + head, &end, 16);
        size_t length = *end == '\n' ? strcspn(end + 1, "\n") : 0;
        if (note.journal_id == 0 || length == 0 || length >= sizeof note.journal || end[1 + length] != '\n')
                return UNDO_NOTE_E_DAMAGED;
        memcpy(note.journal, end + 1, length);
        *ret = note;
        return UNDO_NOTE_OK;
}

int undo_note_read(struct undo_note *ret, const char *directory, const char *device) {
        char name[NAME_BYTES], text[TEXT_BYTES];
        file_name(name, device, "");
        CLEANUP_CLOSE int at = open_directory(directory);
        if (at < 0)
                return at == -ENOENT ? UNDO_NOTE_E_NONE : at;
        CLEANUP_CLOSE int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? UNDO_NOTE_E_NONE : -errno;
        ssize_t n = read(fd, text, sizeof text - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return parse(ret, text);
}

static int write_file(int at, const char *name, const char *text) {
        CLEANUP_CLOSE int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, text, strlen(text));
        if (n != (ssize_t)strlen(text))
                return n < 0 ? -errno : -ENOSPC;
        return fsync(fd) < 0 ? -errno : 0;
}

int undo_note_write(const struct undo_note *note, const char *directory, const char *device) {
        char name[NAME_BYTES], made[NAME_BYTES], text[TEXT_BYTES];
        file_name(name, device, ".new");
        file_name(made, device, "");
        if (strchr(note->journal, '\n'))
                return -EINVAL;
        text_format(text, sizeof text, "%s%" PRIx64 "\n%s\n", first_line, note->journal_id, note->journal);
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return -errno;
        CLEANUP_CLOSE int at = open_directory(directory);
        if (at < 0)
                return at;
        int r = write_file(at, name, text);
        if (r == 0 && (renameat(at, name, at, made) < 0 || fsync(at) < 0))
                r = -errno;
        if (r < 0)
                (void)unlinkat(at, name, 0);
        return r;
}

int undo_note_remove(const char *directory, const char *device) {
        char name[NAME_BYTES];
        file_name(name, device, "");
        CLEANUP_CLOSE int at = open_directory(directory);
        if (at < 0)
                return at == -ENOENT ? 0 : at;
        if (unlinkat(at, name, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        return fsync(at) < 0 ? -errno : 0;
}
