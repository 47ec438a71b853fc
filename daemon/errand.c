/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an undo journal still holds may be the only copy of somebody's data. What could go wrong: a look at it gets in
 * the way of the recovery that would put it back, one journal that can't be read hides those that can, bytes that are
 * right on the device as well bury the few that are not, and what is given up is another disk's than was meant. So
 * looking takes no lock, an error is told after everything else, units that are the same on the device are left out,
 * and forgetting asks the journal itself whose it is.
 */
#include "errand.h"

#include "base/cleanup.h"
#include "base/queue.h"
#include "base/text.h"
#include "media/target.h"
#include "sweep/rescue.h"
#include "sweep/undo_note.h"
#include "sweep/undo_store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

enum { ITEMS_MAX = 8, POST_AGAIN_MS = 10, RUN_BYTES = 256 << 10, WINDOW_BYTES = 256 << 10, WINDOW_ALIGN = 4096 };

/* Bytes that follow one another, on their way out. */
struct run {
        uint64_t offset_bytes;
        size_t used;
        bool is_right;
        uint8_t *bytes; /* RUN_BYTES */
};

/* What the device itself holds, to compare with. */
struct window {
        int fd; /* borrowed; -1: it can't be looked at */
        uint64_t offset_bytes;
        size_t used;
        uint8_t *bytes; /* WINDOW_BYTES, aligned */
};

struct errand {
        enum errand_kind kind;
        uint64_t id;
        char *identity, *directory;
        bool only_places;
        struct errand_place *places;
        size_t place_count;
        int wake_fd;
        pthread_t thread;
        struct queue *items;
        atomic_bool cancelled; /* written by main, read by the thread */
        atomic_bool ended;     /* written by the thread when all is in the queue, read by main */
        struct errand_result result;
        /* the thread's own */
        bool found;
        uint64_t *seen; /* journals */
        size_t seen_count;
        struct run run;
        struct window window;
};

DEFINE_FREEP(struct undo_store, undo_store_close, undo_store_closep)
DEFINE_FREEP(struct rescue, rescue_free, rescue_freep)
DEFINE_FREEP(struct target, target_close, target_closep)
DEFINE_FREEP(struct errand_item, errand_item_free, errand_item_freep)

struct errand_item *errand_item_free(struct errand_item *item) {
        if (item) {
                free(item->bytes.base64);
                free(item);
        }
        return NULL;
}

/* The first one counts. */
static void note_reason(struct errand *e, const char *device, const struct reason *reason) {
        if (e->result.reason.rule[0])
                return;
        e->result.reason = *reason;
        text_copy(e->result.device, sizeof e->result.device, device);
}

static void note_error(struct errand *e, const char *device, const char *journal, int error) {
        struct reason reason;
        reason_set(&reason, "rescue_journal",
                "See dmesg for the disk of the journal; keep the journal, it may hold the only copy of data.",
                "The undo journal %s could not be worked on in full: %s.", journal, strerror(error));
        note_reason(e, device, &reason);
}

/* Waits until somebody takes it. Takes the item over; -ECANCELED. */
static int post(struct errand *e, struct errand_item *item) {
        while (!queue_push_one(e->items, item)) {
                if (atomic_load(&e->cancelled)) {
                        errand_item_free(item);
                        return -ECANCELED;
                }
                poll(NULL, 0, POST_AGAIN_MS);
        }
        return 0;
}

/* The path that a person would look for. */
static void journal_path(char path[static PATH_MAX], const struct errand_place *place, const struct undo_store *store) {
        if (undo_store_is_device(store) || !text_format(path, PATH_MAX, "%s/%s.undo", place->journal, place->device))
                text_copy(path, PATH_MAX, place->journal);
}

/* False: there is none, or the reason was noted. */
static bool open_journal(
        struct errand *e, const struct errand_place *place, struct undo_store **store, struct rescue **rescue) {
        struct reason reason = { 0 };
        struct undo_store_options options = {
                .journal = place->journal, .device = place->device, .look_only = e->kind != ERRAND_FORGET
        };
        int r = undo_store_open(store, &reason, &options);
        if (r == UNDO_STORE_E_NONE)
                return false;
        if (r != UNDO_STORE_OK && reason.rule[0]) {
                note_reason(e, place->device, &reason);
                return false;
        }
        if (r == UNDO_STORE_OK)
                r = rescue_new(rescue, undo_store_fd(*store));
        if (r != RESCUE_OK)
                note_error(e, place->device, place->journal, r < 0 ? -r : EIO);
        return r == RESCUE_OK;
}

/* Two devices may have been given one journal. */
static bool is_new(struct errand *e, uint64_t journal_id) {
        for (size_t i = 0; i < e->seen_count; i++)
                if (e->seen[i] == journal_id)
                        return false;
        uint64_t *seen = reallocarray(e->seen, e->seen_count + 1, sizeof *seen);
        if (!seen)
                return true;
        e->seen = seen;
        e->seen[e->seen_count++] = journal_id;
        return true;
}

static int post_record(struct errand *e, const struct errand_place *place, const struct undo_store *store,
        const struct rescue *rescue, const struct rescue_entry *entry) {
        struct errand_item *item = calloc(1, sizeof *item);
        if (!item)
                return -ENOMEM;
        rescue_describe(rescue, entry, &item->record);
        text_copy(item->record.device, sizeof item->record.device, place->device);
        journal_path(item->record.journal, place, store);
        item->place = *place;
        return post(e, item);
}

static void list_place(struct errand *e, const struct errand_place *place) {
        CLEANUP(undo_store_closep)
        struct undo_store *store = NULL;
        CLEANUP(rescue_freep)
        struct rescue *rescue = NULL;
        if (!open_journal(e, place, &store, &rescue) || !is_new(e, rescue_head(rescue)->journal_id))
                return;
        CLEANUP_FREE struct rescue_entry *entries = calloc(RESCUE_ENTRIES_MAX, sizeof *entries);
        int error = ENOMEM, r = 0;
        size_t count = entries ? rescue_list(rescue, entries, &error) : 0;
        for (size_t i = 0; i < count && r == 0; i++) {
                bool at_work = place->at_work && !entries[i].is_shelf && entries[i].marker.state == UNDO_ARMED;
                if (at_work || (e->id && rescue_id(rescue, &entries[i]) != e->id))
                        continue;
                e->found = true;
                r = post_record(e, place, store, rescue, &entries[i]);
        }
        if (error || r < 0)
                note_error(e, place->device, place->journal, error ? error : -r);
}

static bool is_place(const struct errand *e, const char *device) {
        for (size_t i = 0; i < e->place_count; i++)
                if (strcmp(e->places[i].device, device) == 0 && strcmp(e->places[i].journal, e->directory) == 0)
                        return true;
        return false;
}

/* Where it was when something was armed in it: the configuration may say something else by now. */
static void find_places(struct errand *e) {
        struct undo_note note;
        for (size_t i = 0; e->directory && i < e->place_count; i++)
                if (undo_note_read(&note, e->directory, e->places[i].device) == UNDO_NOTE_OK)
                        text_copy(e->places[i].journal, sizeof e->places[i].journal, note.journal);
}

static bool is_configured(const struct errand *e, const char *device) {
        bool any = false;
        for (size_t i = 0; i < e->place_count; i++)
                any |= strcmp(e->places[i].device, device) == 0;
        return any;
}

static void closedirp(DIR **dir) {
        if (*dir)
                closedir(*dir);
}

/* In the directory itself, or where a note says that there is one. */
static void list_orphans(struct errand *e) {
        CLEANUP(closedirp)
        DIR *list = opendir(e->directory);
        struct undo_note note;
        for (struct dirent *entry; list && (entry = readdir(list));) {
                struct errand_place place = { 0 };
                if (text_before_suffix(place.device, sizeof place.device, entry->d_name, ".undo") &&
                        !is_place(e, place.device))
                        text_copy(place.journal, sizeof place.journal, e->directory);
                else if (text_before_suffix(place.device, sizeof place.device, entry->d_name, UNDO_NOTE_SUFFIX) &&
                        !is_configured(e, place.device) &&
                        undo_note_read(&note, e->directory, place.device) == UNDO_NOTE_OK)
                        text_copy(place.journal, sizeof place.journal, note.journal);
                if (place.journal[0])
                        list_place(e, &place);
        }
}

static void list(struct errand *e) {
        for (size_t i = 0; i < e->place_count && !atomic_load(&e->cancelled); i++)
                if (!e->id || !e->found)
                        list_place(e, &e->places[i]);
        if (e->directory && !e->only_places && !atomic_load(&e->cancelled) && (!e->id || !e->found))
                list_orphans(e);
}

/* False: it is not there (any more), or something was noted. */
static bool find(struct errand *e, struct rescue *rescue, struct rescue_entry *ret) {
        CLEANUP_FREE struct rescue_entry *entries = calloc(RESCUE_ENTRIES_MAX, sizeof *entries);
        int error = ENOMEM;
        size_t count = entries ? rescue_list(rescue, entries, &error) : 0;
        for (size_t i = 0; i < count; i++)
                if (rescue_id(rescue, &entries[i]) == e->id) {
                        *ret = entries[i];
                        e->found = true;
                        return true;
                }
        if (error)
                note_error(e, e->places[0].device, e->places[0].journal, error);
        return false;
}

static char *to_base64(const uint8_t *bytes, size_t length) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char *text = malloc((length + 2) / 3 * 4 + 1), *to = text;
        for (size_t i = 0; text && i < length; i += 3) {
                uint32_t three = (uint32_t)bytes[i] << 16;
                three |= i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0;
                three |= i + 2 < length ? bytes[i + 2] : 0;
                *to++ = digits[three >> 18];
                *to++ = digits[three >> 12 & 63];
                *to++ = (char)(i + 1 < length ? digits[three >> 6 & 63] : '=');
                *to++ = (char)(i + 2 < length ? digits[three & 63] : '=');
        }
        if (text)
                *to = '\0';
        return text;
}

/* text: NULL, or what is wrong with the bytes. */
static int post_bytes(struct errand *e, uint64_t offset_bytes, const uint8_t *bytes, size_t length, const char *text) {
        CLEANUP(errand_item_freep)
        struct errand_item *item = calloc(1, sizeof *item);
        if (!item)
                return -ENOMEM;
        item->is_bytes = true;
        item->bytes.offset_bytes = offset_bytes;
        item->bytes.base64 = to_base64(bytes, length);
        if (!item->bytes.base64)
                return -ENOMEM;
        if (text)
                text_copy(item->bytes.text, sizeof item->bytes.text, text);
        return post(e, STEAL(item));
}

static int end_run(struct errand *e) {
        struct run *run = &e->run;
        size_t length = run->used;
        run->used = 0;
        if (length == 0)
                return 0;
        return post_bytes(e, run->offset_bytes, run->bytes, length,
                run->is_right ? NULL : "their checksum is not that of what was saved, or can't be read");
}

/* A stretch of the device that begins there; less of it where all of it can't be read. */
static void move_window(struct window *w, const struct extent *place) {
        const size_t lengths[] = { WINDOW_BYTES, place->length_bytes };
        w->offset_bytes = place->offset_bytes;
        w->used = 0;
        for (size_t i = 0; i < ELEMENTS(lengths) && w->used < place->length_bytes; i++) {
                ssize_t n = pread(w->fd, w->bytes, lengths[i], (off_t)place->offset_bytes);
                w->used = n > 0 ? (size_t)n : 0;
        }
}

/* Whether the device has these very bytes in that place: then nobody misses them. */
static bool is_on_device(struct window *w, const struct rescue_piece *piece) {
        const struct extent *place = &piece->place;
        if (w->fd < 0 || !piece->bytes || !piece->is_right)
                return false;
        if (place->offset_bytes < w->offset_bytes || extent_end(*place) > w->offset_bytes + w->used)
                move_window(w, place);
        if (w->used < place->length_bytes)
                return false;
        return memcmp(w->bytes + (place->offset_bytes - w->offset_bytes), piece->bytes, place->length_bytes) == 0;
}

static int take_piece(void *userdata, const struct rescue_piece *piece) {
        struct errand *e = userdata;
        struct run *run = &e->run;
        bool absent = piece->is_right && !piece->bytes;
        if (atomic_load(&e->cancelled))
                return -ECANCELED;
        if (absent || is_on_device(&e->window, piece))
                return 0;
        if (!piece->bytes) {
                char text[RESCUE_TEXT_BYTES];
                text_format(text, sizeof text, "%" PRIu64 " bytes can't be read from the journal: %s",
                        piece->place.length_bytes, strerror(piece->error));
                int r = end_run(e);
                return r < 0 ? r : post_bytes(e, piece->place.offset_bytes, NULL, 0, text);
        }
        bool goes_on = run->used > 0 && run->offset_bytes + run->used == piece->place.offset_bytes &&
                run->is_right == piece->is_right && run->used + piece->place.length_bytes <= RUN_BYTES;
        int r = goes_on ? 0 : end_run(e);
        if (run->used == 0) {
                run->offset_bytes = piece->place.offset_bytes;
                run->is_right = piece->is_right;
        }
        memcpy(run->bytes + run->used, piece->bytes, piece->place.length_bytes);
        run->used += piece->place.length_bytes;
        return r;
}

/* The journal's own, and only to be read. NULL: then all that was saved is handed out. */
static struct target *open_target(const struct errand_place *place, const struct undo_store *store) {
        CLEANUP(target_closep)
        struct target *target = NULL;
        struct reason reason;
        struct target_options options = { .path = place->target };
        if (!place->target[0] || target_open(&target, &reason, &options) != TARGET_OK)
                return NULL;
        return undo_store_is_of(store, target_facts(target)) ? STEAL(target) : NULL;
}

static void export(struct errand *e) {
        const struct errand_place *place = &e->places[0];
        CLEANUP(undo_store_closep)
        struct undo_store *store = NULL;
        CLEANUP(rescue_freep)
        struct rescue *rescue = NULL;
        CLEANUP(target_closep)
        struct target *target = NULL;
        struct rescue_entry entry;
        if (!open_journal(e, place, &store, &rescue) || !find(e, rescue, &entry))
                return;
        if (!entry.is_shelf)
                target = open_target(place, store);
        e->run.bytes = malloc(RUN_BYTES);
        e->window = (struct window){
                .fd = target ? target_fd(target) : -1,
                .bytes = aligned_alloc(WINDOW_ALIGN, WINDOW_BYTES),
        };
        int r = e->run.bytes && e->window.bytes ? rescue_export(rescue, &entry, take_piece, e) : -ENOMEM;
        if (r >= 0)
                r = end_run(e);
        if (r < 0 && r != -ECANCELED)
                note_error(e, place->device, place->journal, -r);
}

static void forget(struct errand *e) {
        const struct errand_place *place = &e->places[0];
        CLEANUP(undo_store_closep)
        struct undo_store *store = NULL;
        CLEANUP(rescue_freep)
        struct rescue *rescue = NULL;
        struct rescue_entry entry;
        if (!open_journal(e, place, &store, &rescue) || !find(e, rescue, &entry))
                return;
        if (!rescue_is_meant(rescue, e->identity)) {
                struct reason reason;
                reason_set(&reason, "rescue_serial",
                        "Make sure that it is the disk that you mean (lsblk -o NAME,SERIAL,WWN), then type its name as it is here.",
                        "what was typed is not the disk whose data this is: that is \"%s\".", rescue_identity(rescue));
                note_reason(e, place->device, &reason);
                return;
        }
        int r = rescue_forget(rescue, &entry);
        if (r == RESCUE_E_CHANGED)
                e->found = false;
        else if (r < 0)
                note_error(e, place->device, place->journal, -r);
}

static void *errand_run(void *userdata) {
        struct errand *e = userdata;
        pthread_setname_np(pthread_self(), "errand");
        find_places(e);
        if (e->kind == ERRAND_LIST)
                list(e);
        else if (e->kind == ERRAND_ORPHANS)
                list_orphans(e);
        else if (e->kind == ERRAND_EXPORT)
                export(e);
        else
                forget(e);
        bool over = e->found || !e->id; /* one that was found is no less so for what else can't be read */
        if (e->result.reason.rule[0] && !(over && e->id && e->kind == ERRAND_LIST))
                e->result.status = ERRAND_E_REFUSED;
        else
                e->result.status = over ? ERRAND_OK : ERRAND_E_NO_SUCH_ID;
        atomic_store(&e->ended, true);
        eventfd_write(e->wake_fd, 1);
        return NULL;
}

static struct errand *errand_free(struct errand *e) {
        if (!e)
                return NULL;
        void *item;
        while (e->items && queue_try_pop(e->items, &item, 1) == 1)
                errand_item_free(item);
        queue_free(e->items);
        free(e->identity);
        free(e->directory);
        free(e->places);
        free(e->seen);
        free(e->run.bytes);
        free(e->window.bytes);
        free(e);
        return NULL;
}

DEFINE_FREEP(struct errand, errand_free, errand_freep)

int errand_start(struct errand **ret, const struct errand_options *o) {
        bool lists = o->kind == ERRAND_LIST || o->kind == ERRAND_ORPHANS;
        assert(lists || (o->place_count == 1 && o->id));
        assert(o->kind != ERRAND_FORGET || o->identity);
        CLEANUP(errand_freep)
        struct errand *e = calloc(1, sizeof *e);
        if (!e)
                return -ENOMEM;
        e->kind = o->kind;
        e->id = o->id;
        e->wake_fd = o->wake_fd;
        e->place_count = o->place_count;
        e->places = calloc(o->place_count + 1, sizeof *e->places);
        e->identity = strdup(o->identity ? o->identity : "");
        if (!e->places || !e->identity)
                return -ENOMEM;
        if (o->directory && !(e->directory = strdup(o->directory)))
                return -ENOMEM;
        for (size_t i = 0; i < o->place_count; i++)
                e->places[i] = o->places[i];
        e->only_places = o->only_places;
        int r = queue_new(&e->items, ITEMS_MAX, o->wake_fd);
        if (r < 0)
                return r;
        r = pthread_create(&e->thread, NULL, errand_run, e);
        if (r > 0)
                return -r;
        *ret = STEAL(e);
        return 0;
}

enum errand_taken errand_take(struct errand *e, struct errand_item **ret) {
        bool ended = atomic_load(&e->ended); /* before the queue: what comes after it was there then */
        void *item;
        if (queue_try_pop(e->items, &item, 1) == 1) {
                *ret = item;
                return ERRAND_ITEM;
        }
        return ended ? ERRAND_ENDED : ERRAND_NOTHING;
}

void errand_cancel(struct errand *e) {
        atomic_store(&e->cancelled, true);
}

struct errand *errand_finish(struct errand *e, struct errand_result *ret) {
        assert(atomic_load(&e->ended));
        pthread_join(e->thread, NULL);
        *ret = e->result;
        return errand_free(e);
}

bool errand_end(struct errand *e, uint64_t timeout_us) {
        struct timespec limit;
        if (!e)
                return true;
        errand_cancel(e);
        clock_gettime(CLOCK_MONOTONIC, &limit);
        limit.tv_sec += (time_t)(timeout_us / 1000000);
        limit.tv_nsec += (long)(timeout_us % 1000000) * 1000;
        limit.tv_sec += limit.tv_nsec / 1000000000;
        limit.tv_nsec %= 1000000000;
        if (pthread_clockjoin_np(e->thread, NULL, CLOCK_MONOTONIC, &limit) != 0)
                return false;
        errand_free(e);
        return true;
}
