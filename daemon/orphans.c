/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An undo journal outlives the entry of its device: who takes a disk out of the configuration after a crash leaves
 * somebody's originals in the state directory, where no sweep and no recovery looks for them. What could go wrong: they
 * are never mentioned, or mentioned so often that nobody reads it. So the directory is searched by an errand at the
 * start, at each reload, and when something was given up; a journal is told of once, and stays in status while it holds
 * anything.
 */
#include "manager_private.h"

#include "errand.h"
#include "sweep/mend.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

struct orphan {
        char device[DEVICE_NAME_BYTES];
        char journal[PATH_MAX];
        unsigned originals, copies; /* entries */
};

/* As one search found them. */
struct orphan_list {
        size_t count;
        struct orphan *items;
};

struct orphans {
        struct errand *errand; /* NULL: none under way */
        bool again;            /* something has changed since it began */
        struct orphan_list known, found;
        struct reason unread; /* why one can't be looked into */
};

static void list_clear(struct orphan_list *list) {
        free(list->items);
        *list = (struct orphan_list){ 0 };
}

static struct orphan *find(const struct orphan_list *list, const char *journal) {
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->items[i].journal, journal) == 0)
                        return &list->items[i];
        return NULL;
}

static void note(struct orphan_list *list, const struct rescue_record *record) {
        struct orphan *orphan = find(list, record->journal);
        if (!orphan) {
                struct orphan *items = reallocarray(list->items, list->count + 1, sizeof *items);
                if (!items)
                        return; /* the next search finds it */
                list->items = items;
                orphan = &items[list->count++];
                *orphan = (struct orphan){ 0 };
                text_copy(orphan->device, sizeof orphan->device, record->device);
                text_copy(orphan->journal, sizeof orphan->journal, record->journal);
        }
        if (record->is_copy)
                orphan->copies++;
        else
                orphan->originals++;
}

static void add_place(const struct manager *m, const struct device *d, struct errand_place *place) {
        text_copy(place->device, sizeof place->device, d->config->name);
        mend_journal_path(place->journal, d->config, m->settings->state_dir);
}

/* Also of those that leave: what their sweep has armed is not left yet. */
static int start(struct manager *m) {
        CLEANUP_FREE struct errand_place *places = calloc(
                m->settings->device_count + m->leaving_count + 1, sizeof *places);
        char directory[PATH_MAX];
        size_t count = 0;
        if (!places)
                return -ENOMEM;
        for (size_t i = 0; i < m->settings->device_count; i++)
                add_place(m, m->devices[i], &places[count++]);
        for (size_t i = 0; i < m->leaving_count; i++)
                add_place(m, m->leaving[i], &places[count++]);
        mend_directory(directory, m->settings->state_dir);
        struct errand_options options = {
                .kind = ERRAND_ORPHANS,
                .directory = directory,
                .places = places,
                .place_count = count,
                .wake_fd = m->rescues_fd,
        };
        return errand_start(&m->orphans->errand, &options);
}

void orphans_look(struct manager *m) {
        if (m->stopping)
                return;
        if (!m->orphans && !(m->orphans = calloc(1, sizeof *m->orphans)))
                return; /* the next reload tries again */
        m->orphans->again = m->orphans->errand != NULL;
        if (m->orphans->errand)
                return;
        int r = start(m);
        if (r < 0)
                routes_tell(m, EVENT_DAEMON, LOG_WARNING, NULL, NULL,
                        "the undo journals of devices that are not configured could not be looked for: %s",
                        strerror(-r));
}

static void tell(struct manager *m, const struct orphan *orphan) {
        if (orphan->originals > 0)
                routes_tell(m, EVENT_RECOVERY, LOG_ALERT, NULL, NULL,
                        "the undo journal %s holds originals that are not back in their place, and its device \"%s\" is not configured. Add an entry of that name, then: sweepctl reload; or see: sweepctl rescue list",
                        orphan->journal, orphan->device);
        else
                routes_tell(m, EVENT_RECOVERY, LOG_WARNING, NULL, NULL,
                        "the undo journal %s holds copies of what somebody else wrote, and its device \"%s\" is not configured. See: sweepctl rescue list",
                        orphan->journal, orphan->device);
}

static void conclude(struct manager *m, struct orphans *o) {
        struct errand_result result;
        o->errand = errand_finish(o->errand, &result);
        for (size_t i = 0; i < o->found.count; i++)
                if (!find(&o->known, o->found.items[i].journal))
                        tell(m, &o->found.items[i]);
        list_clear(&o->known);
        o->known = o->found;
        o->found = (struct orphan_list){ 0 };
        if (result.reason.rule[0] && strcmp(result.reason.found, o->unread.found) != 0)
                routes_tell(m, EVENT_RECOVERY, LOG_WARNING, NULL, NULL,
                        "an undo journal of a device that is not configured: %s %s", result.reason.found,
                        result.reason.remedy);
        o->unread = result.reason;
        if (o->again)
                orphans_look(m);
}

void orphans_handle(struct manager *m) {
        struct orphans *o = m->orphans;
        while (o && o->errand) {
                struct errand_item *item;
                switch (errand_take(o->errand, &item)) {
                case ERRAND_NOTHING:
                        return;
                case ERRAND_ITEM:
                        note(&o->found, &item->record);
                        errand_item_free(item);
                        break;
                case ERRAND_ENDED:
                        conclude(m, o);
                        break;
                }
        }
}

size_t orphans_count(const struct manager *m) {
        return m->orphans ? m->orphans->known.count : 0;
}

const char *orphans_journal(const struct manager *m, size_t index) {
        return m->orphans->known.items[index].journal;
}

bool orphans_close(struct manager *m, uint64_t timeout_us) {
        struct orphans *o = m->orphans;
        if (!o)
                return true;
        if (!errand_end(o->errand, timeout_us))
                return false;
        list_clear(&o->known);
        list_clear(&o->found);
        free(STEAL(m->orphans));
        return true;
}
