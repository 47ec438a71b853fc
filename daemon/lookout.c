/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of disks that were taken by match outlives the daemon: a disk that died during a reboot would otherwise
 * just not be there, and nobody would be told. It is small and rarely changes, so it is a file of its own that is
 * replaced as a whole: a power cut leaves the old one or the new one.
 */
#include "lookout.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

enum { REMEMBERED_BYTES_MAX = 16 << 20 };

static const char heading[] = "sweepd matched disks, version 1\n";

struct lookout {
        pthread_t thread;
        int done_fd;
        bool recall, list;
        char *state_dir;
        char *store;
        struct lookout_result result;
};

static int write_all(int fd, const char *text) {
        size_t length = strlen(text);
        while (length > 0) {
                ssize_t n = write(fd, text, length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                text += n;
                length -= (size_t)n;
        }
        return 0;
}

static int store(const char *state_dir, const char *text) {
        CLEANUP_CLOSE int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        CLEANUP_CLOSE int fd = openat(dir, "matched.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int r = write_all(fd, heading);
        if (r == 0)
                r = write_all(fd, text);
        if (r == 0 && (fsync(fd) < 0 || renameat(dir, "matched.new", dir, "matched") < 0 || fsync(dir) < 0))
                r = -errno;
        return r;
}

/* NULL: there is nothing, or it is none of ours. */
static char *recall(const char *state_dir) {
        char path[PATH_MAX];
        struct stat st;
        if (!text_format(path, sizeof path, "%s/matched", state_dir))
                return NULL;
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > REMEMBERED_BYTES_MAX)
                return NULL;
        CLEANUP_FREE char *text = calloc(1, (size_t)st.st_size + 1);
        if (!text || read(fd, text, (size_t)st.st_size) != st.st_size || strncmp(text, heading, strlen(heading)) != 0)
                return NULL;
        return strdup(text + strlen(heading));
}

/* What is exchanged meanwhile is looked at again. */
static void recognise(struct lookout_sight *s) {
        s->sighting = disks_sighting(s->path);
        s->known = disks_recognise(s->path, &s->identity, &s->size_bytes) && disks_sighting(s->path) == s->sighting;
}

static void *look(void *userdata) {
        struct lookout *l = userdata;
        pthread_setname_np(pthread_self(), "lookout");
        if (l->recall)
                l->result.remembered = recall(l->state_dir);
        for (size_t i = 0; i < l->result.sight_count; i++)
                recognise(&l->result.sights[i]);
        if (l->list)
                l->result.status = disks_list(&l->result.disks);
        if (l->store)
                l->result.store_status = store(l->state_dir, l->store);
        eventfd_write(l->done_fd, 1);
        return NULL;
}

void lookout_result_done(struct lookout_result *result) {
        disk_list_free(result->disks);
        for (size_t i = 0; i < result->sight_count; i++)
                free(result->sights[i].path);
        free(result->sights);
        free(result->remembered);
        *result = (struct lookout_result){ 0 };
}

static struct lookout *lookout_free(struct lookout *l) {
        if (!l)
                return NULL;
        lookout_result_done(&l->result);
        free(l->state_dir);
        free(l->store);
        free(l);
        return NULL;
}

DEFINE_FREEP(struct lookout, lookout_free, lookout_freep)

static int copy_paths(struct lookout_result *result, const struct lookout_options *options) {
        result->sights = calloc(options->path_count + 1, sizeof *result->sights);
        if (!result->sights)
                return -ENOMEM;
        for (; result->sight_count < options->path_count; result->sight_count++) {
                char *path = strdup(options->paths[result->sight_count]);
                if (!path)
                        return -ENOMEM;
                result->sights[result->sight_count].path = path;
        }
        return 0;
}

int lookout_start(struct lookout **ret, const struct lookout_options *options) {
        CLEANUP(lookout_freep)
        struct lookout *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        l->done_fd = options->done_fd;
        l->recall = options->recall;
        l->list = options->list;
        l->state_dir = strdup(options->state_dir);
        l->store = options->store ? strdup(options->store) : NULL;
        if (!l->state_dir || (options->store && !l->store))
                return -ENOMEM;
        int r = copy_paths(&l->result, options);
        if (r < 0)
                return r;
        int e = pthread_create(&l->thread, NULL, look, l);
        if (e > 0)
                return -e;
        *ret = STEAL(l);
        return 0;
}

struct lookout *lookout_finish(struct lookout *l, struct lookout_result *ret) {
        pthread_join(l->thread, NULL);
        *ret = l->result;
        l->result = (struct lookout_result){ 0 };
        return lookout_free(l);
}
