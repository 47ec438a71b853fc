/* SPDX-License-Identifier: Apache-2.0 */
/* Main reads nothing from disks: a hung system disk must not keep it from feeding the watchdog and answering status. */
#include "reload.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

struct reload {
        pthread_t thread;
        int done_fd;
        char *file;
        struct settings_surroundings surroundings;
        struct reload_result result;
};

static void *reload_run(void *userdata) {
        struct reload *r = userdata;
        pthread_setname_np(pthread_self(), "reload");
        r->result.status = settings_load(&r->result.settings, &r->result.error, r->file, &r->surroundings);
        tzset(); /* reads the zone's file: here, after a disk that answered, and nowhere else but at the start */
        eventfd_write(r->done_fd, 1);
        return NULL;
}

static struct reload *reload_free(struct reload *r) {
        if (r) {
                settings_free(r->result.settings);
                free(r->file);
                free(r);
        }
        return NULL;
}

DEFINE_FREEP(struct reload, reload_free, reload_freep)

int reload_start(struct reload **ret, const char *file, const struct settings_surroundings *surroundings, int done_fd) {
        CLEANUP(reload_freep)
        struct reload *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->done_fd = done_fd;
        r->surroundings = *surroundings;
        r->file = strdup(file);
        if (!r->file)
                return -ENOMEM;
        int e = pthread_create(&r->thread, NULL, reload_run, r);
        if (e > 0)
                return -e;
        *ret = STEAL(r);
        return 0;
}

struct reload *reload_finish(struct reload *r, struct reload_result *ret) {
        pthread_join(r->thread, NULL);
        *ret = r->result;
        r->result.settings = NULL;
        return reload_free(r);
}
