/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fault that is seen each month is one finding that grows old, not twelve; and one that is gone must be taken back,
 * but only by a pass that reached its place. What could go wrong: a finding that hides another, one that is resolved
 * by a sweep that never looked there, and a dying disk whose thousands of findings make every report slow. So findings
 * of one device, target and fault form a shelf, sorted by place, and a sweep's runs are found by their number.
 *
 * Places on a shelf may overlap, since a finding's place grows to the hull of all that was seen of it. A search starts
 * as far before the place as the longest place on the shelf is long.
 */
#include "report/finding_book.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct entry {
        struct finding finding;
        uint64_t born_sweep; /* the sweep that reported it first; 0: it came from the ledger */
        uint64_t seen_sweep; /* the last sweep that saw a fault of its kind at its place, though perhaps as another's */
        bool over;           /* about to be dropped */
};

struct list {
        struct entry **items;
        size_t count;
        size_t capacity;
};

struct shelf {
        uint64_t target_row;
        enum fault fault;
        struct list by_place; /* by offset, then id */
        uint64_t longest_bytes;
};

/* A slot of the table of runs, by serial; free where entry is NULL. */
struct run {
        uint64_t serial;
        struct entry *entry;
};

/* The runs are those of the one sweep that reports on the device now. */
struct device {
        char name[DEVICE_NAME_BYTES];
        struct shelf *shelves;
        size_t shelf_count;
        uint64_t sweep_id;
        struct run *runs;
        size_t run_count;
        size_t run_slots; /* a power of 2, or 0; at most half are taken */
};

struct finding_book {
        uint64_t next_id;
        struct list by_id;
        struct device *devices;
        size_t device_count;
};

/* Lists. */

static int list_reserve(struct list *list) {
        if (list->count < list->capacity)
                return 0;
        size_t capacity = MAX(2 * list->capacity, (size_t)8);
        struct entry **grown = reallocarray(list->items, capacity, sizeof(struct entry *));
        if (!grown)
                return -ENOMEM;
        list->items = grown;
        list->capacity = capacity;
        return 0;
}

static void list_insert(struct list *list, size_t at, struct entry *entry) {
        assert(list->count < list->capacity);
        assert(at <= list->count);
        memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof(struct entry *));
        list->items[at] = entry;
        list->count++;
}

static void list_remove(struct list *list, size_t at) {
        assert(at < list->count);
        list->count--;
        memmove(&list->items[at], &list->items[at + 1], (list->count - at) * sizeof(struct entry *));
}

static void list_drop_over(struct list *list) {
        size_t kept = 0;
        for (size_t i = 0; i < list->count; i++)
                if (!list->items[i]->over)
                        list->items[kept++] = list->items[i];
        list->count = kept;
}

/* The index of the first whose id is higher. */
static size_t index_after_id(const struct list *list, uint64_t id) {
        size_t low = 0, high = list->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (list->items[middle]->finding.id <= id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* The index of the first that does not stand before (offset, id). */
static size_t index_of_place(const struct list *list, uint64_t offset, uint64_t id) {
        size_t low = 0, high = list->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const struct finding *f = &list->items[middle]->finding;
                if (f->place.offset_bytes < offset || (f->place.offset_bytes == offset && f->id < id))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* Runs of the sweep that reports now. */

static size_t run_slot(const struct device *device, uint64_t serial) {
        uint64_t hash = serial * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing: Knuth, TAOCP 3, 6.4 */
        size_t slot = (size_t)(hash >> 32) & (device->run_slots - 1);
        while (device->runs[slot].entry && device->runs[slot].serial != serial)
                slot = (slot + 1) & (device->run_slots - 1);
        return slot;
}

static struct entry *run_find(const struct device *device, uint64_t sweep_id, uint64_t serial) {
        if (device->run_count == 0 || device->sweep_id != sweep_id)
                return NULL;
        return device->runs[run_slot(device, serial)].entry;
}

static void run_put(struct device *device, uint64_t serial, struct entry *entry) {
        assert(device->run_slots > 2 * device->run_count);
        size_t slot = run_slot(device, serial);
        if (!device->runs[slot].entry)
                device->run_count++;
        device->runs[slot] = (struct run){ serial, entry };
}

static int run_resize(struct device *device, size_t slots) {
        struct run *fresh = calloc(slots, sizeof *fresh);
        if (!fresh)
                return -ENOMEM;
        struct run *old = device->runs;
        size_t old_slots = device->run_slots;
        device->runs = fresh;
        device->run_slots = slots;
        device->run_count = 0;
        for (size_t i = 0; i < old_slots; i++)
                if (old[i].entry)
                        run_put(device, old[i].serial, old[i].entry);
        free(old);
        return 0;
}

static int run_reserve(struct device *device) {
        if (device->run_slots > 2 * (device->run_count + 1))
                return 0;
        return run_resize(device, MAX(2 * device->run_slots, (size_t)16));
}

static void runs_clear(struct device *device) {
        free(device->runs);
        device->runs = NULL;
        device->run_count = device->run_slots = 0;
}

/* A run whose finding is over begins anew. Slots can't be freed one by one in a table with open addressing. */
static void runs_drop_over(struct device *device) {
        bool dropped = false;
        for (size_t i = 0; i < device->run_slots; i++) {
                struct run *run = &device->runs[i];
                if (run->entry && run->entry->over) {
                        run->entry = NULL;
                        dropped = true;
                }
        }
        if (dropped && run_resize(device, device->run_slots) < 0)
                runs_clear(device); /* costs a second finding where a run goes on to grow */
}

/* Devices and shelves. */

static struct device *device_find(const struct finding_book *book, const char *name) {
        for (size_t i = 0; i < book->device_count; i++)
                if (strcmp(book->devices[i].name, name) == 0)
                        return &book->devices[i];
        return NULL;
}

static struct device *device_get(struct finding_book *book, const char *name) {
        struct device *device = device_find(book, name);
        if (device)
                return device;
        struct device *grown = reallocarray(book->devices, book->device_count + 1, sizeof *grown);
        if (!grown)
                return NULL;
        book->devices = grown;
        device = &grown[book->device_count++];
        *device = (struct device){ 0 };
        text_copy(device->name, sizeof device->name, name);
        return device;
}

static struct shelf *shelf_get(struct device *device, uint64_t target_row, enum fault fault) {
        for (size_t i = 0; i < device->shelf_count; i++)
                if (device->shelves[i].target_row == target_row && device->shelves[i].fault == fault)
                        return &device->shelves[i];
        struct shelf *grown = reallocarray(device->shelves, device->shelf_count + 1, sizeof *grown);
        if (!grown)
                return NULL;
        device->shelves = grown;
        struct shelf *shelf = &grown[device->shelf_count++];
        *shelf = (struct shelf){ .target_row = target_row, .fault = fault };
        return shelf;
}

static void shelf_insert(struct shelf *shelf, struct entry *entry) {
        struct extent place = entry->finding.place;
        list_insert(&shelf->by_place, index_of_place(&shelf->by_place, place.offset_bytes, entry->finding.id), entry);
        shelf->longest_bytes = MAX(shelf->longest_bytes, place.length_bytes);
}

static void shelf_move(struct shelf *shelf, struct entry *entry, struct extent place) {
        struct extent *old = &entry->finding.place;
        if (old->offset_bytes == place.offset_bytes) {
                *old = place;
                shelf->longest_bytes = MAX(shelf->longest_bytes, place.length_bytes);
                return;
        }
        size_t at = index_of_place(&shelf->by_place, old->offset_bytes, entry->finding.id);
        assert(at < shelf->by_place.count);
        assert(shelf->by_place.items[at] == entry);
        list_remove(&shelf->by_place, at);
        *old = place;
        shelf_insert(shelf, entry);
}

static void device_drop_over(struct device *device) {
        size_t kept = 0;
        runs_drop_over(device);
        for (size_t i = 0; i < device->shelf_count; i++) {
                struct shelf *shelf = &device->shelves[i];
                list_drop_over(&shelf->by_place);
                if (shelf->by_place.count == 0)
                        free(shelf->by_place.items);
                else
                        device->shelves[kept++] = *shelf;
        }
        device->shelf_count = kept;
}

static void device_deinit(struct device *device) {
        for (size_t i = 0; i < device->shelf_count; i++)
                free(device->shelves[i].by_place.items);
        free(device->shelves);
        runs_clear(device);
}

/* The book. */

int finding_book_new(struct finding_book **ret, uint64_t first_id) {
        assert(first_id > 0);
        struct finding_book *book = calloc(1, sizeof *book);
        if (!book)
                return -ENOMEM;
        book->next_id = first_id;
        *ret = book;
        return 0;
}

struct finding_book *finding_book_free(struct finding_book *book) {
        if (!book)
                return NULL;
        for (size_t i = 0; i < book->by_id.count; i++)
                free(book->by_id.items[i]);
        free(book->by_id.items);
        for (size_t i = 0; i < book->device_count; i++)
                device_deinit(&book->devices[i]);
        free(book->devices);
        free(book);
        return NULL;
}

/* Makes room everywhere before anything is changed, so that running out of memory leaves the book as it was. */
static struct entry *entry_new(struct finding_book *book, struct shelf *shelf, const struct finding *finding) {
        if (list_reserve(&book->by_id) < 0 || list_reserve(&shelf->by_place) < 0)
                return NULL;
        struct entry *entry = calloc(1, sizeof *entry);
        if (entry)
                entry->finding = *finding;
        return entry;
}

static void entry_insert(struct finding_book *book, struct shelf *shelf, struct entry *entry) {
        list_insert(&book->by_id, index_after_id(&book->by_id, entry->finding.id), entry);
        shelf_insert(shelf, entry);
}

int finding_book_load(struct finding_book *book, const struct finding *finding) {
        assert(finding->id > 0);
        assert(finding->state == FINDING_OPEN || finding->state == FINDING_ACKNOWLEDGED);
        assert(!finding_book_get(book, finding->id));
        struct device *device = device_get(book, finding->device);
        struct shelf *shelf = device ? shelf_get(device, finding->target_row, finding->fault) : NULL;
        struct entry *entry = shelf ? entry_new(book, shelf, finding) : NULL;
        if (!entry)
                return -ENOMEM;
        entry_insert(book, shelf, entry);
        book->next_id = MAX(book->next_id, finding->id + 1);
        return 0;
}

static bool touches(struct extent a, struct extent b) {
        return a.offset_bytes <= extent_end(b) && b.offset_bytes <= extent_end(a);
}

/*
 * The finding that was had at this place before: of several the one with the lowest id. Each one that overlaps
 * counts as seen by this sweep too: a place that is bad must not take back a finding because another one covers it.
 */
/* Passes of one sweep come to the same place again; faults of one sweep that merely lie side by side are two. */
static bool is_same_place(const struct entry *entry, struct extent place, uint64_t sweep_id) {
        if (entry->born_sweep == sweep_id)
                return extent_overlaps(entry->finding.place, place);
        return touches(entry->finding.place, place);
}

static struct entry *known_at(const struct shelf *shelf, struct extent place, uint64_t sweep_id) {
        const struct list *list = &shelf->by_place;
        uint64_t from = place.offset_bytes - MIN(place.offset_bytes, shelf->longest_bytes);
        struct entry *best = NULL;
        for (size_t i = index_of_place(list, from, 0); i < list->count; i++) {
                struct entry *entry = list->items[i];
                if (entry->finding.place.offset_bytes > extent_end(place))
                        break;
                if (extent_overlaps(entry->finding.place, place))
                        entry->seen_sweep = sweep_id;
                if (is_same_place(entry, place, sweep_id) && (!best || entry->finding.id < best->finding.id))
                        best = entry;
        }
        return best;
}

static const struct finding *see_anew(struct finding_book *book, struct device *device, struct shelf *shelf,
        const struct finding *seen, uint64_t serial) {
        struct entry *entry = entry_new(book, shelf, seen);
        if (!entry)
                return NULL;
        struct finding *f = &entry->finding;
        f->id = book->next_id++;
        f->state = FINDING_OPEN;
        f->count = 1;
        f->first_seen_us = f->last_seen_us;
        f->acknowledged_us = 0;
        f->comment[0] = '\0';
        f->told_us = f->last_seen_us;
        entry->born_sweep = entry->seen_sweep = seen->sweep_id;
        entry_insert(book, shelf, entry);
        run_put(device, serial, entry);
        return f;
}

/* True: its place grew. */
static bool see_again(struct shelf *shelf, struct entry *entry, const struct finding *seen) {
        struct finding *f = &entry->finding;
        struct extent hull = extent_hull(f->place, seen->place);
        bool grew = hull.length_bytes > f->place.length_bytes;
        f->sweep_id = entry->seen_sweep = seen->sweep_id;
        f->persistence = seen->persistence;
        text_copy(f->text, sizeof f->text, seen->text);
        f->detail = seen->detail;
        f->sample = seen->sample;
        f->last_seen_us = seen->last_seen_us;
        if (grew) {
                f->state = FINDING_OPEN; /* what was acknowledged was less */
                f->told_us = f->last_seen_us;
                shelf_move(shelf, entry, hull);
        }
        return grew;
}

const struct finding *finding_book_report(
        struct finding_book *book, const struct finding *seen, uint64_t serial, bool *is_new) {
        assert(seen->sweep_id > 0);
        struct device *device = device_get(book, seen->device);
        struct shelf *shelf = device ? shelf_get(device, seen->target_row, seen->fault) : NULL;
        if (!shelf)
                return NULL;
        if (device->sweep_id != seen->sweep_id) {
                runs_clear(device);
                device->sweep_id = seen->sweep_id;
        }
        if (run_reserve(device) < 0)
                return NULL;

        struct entry *known = known_at(shelf, seen->place, seen->sweep_id);
        struct entry *run = run_find(device, seen->sweep_id, serial);
        if (run && (run->finding.target_row != seen->target_row || run->finding.fault != seen->fault))
                run = NULL; /* its fault turned out to be another one: what was said of it before stays said */
        if (run) {
                *is_new = see_again(shelf, run, seen);
                return &run->finding;
        }
        if (known) {
                known->finding.count++;
                *is_new = see_again(shelf, known, seen);
                run_put(device, serial, known);
                return &known->finding;
        }
        const struct finding *f = see_anew(book, device, shelf, seen, serial);
        if (f)
                *is_new = true;
        return f;
}

/* The end of findings. */

static void end_entry(
        struct entry *entry, enum finding_state state, uint64_t now_us, finding_over_fn over, void *userdata) {
        struct finding *f = &entry->finding;
        char when[32];
        text_format_utc(when, sizeof when, now_us);
        detail_set(&f->detail, "over_at", "%s", when);
        f->state = state;
        entry->over = true;
        over(userdata, f);
}

static void drop_over(struct finding_book *book, struct device *device) {
        device_drop_over(device);
        size_t kept = 0;
        for (size_t i = 0; i < book->by_id.count; i++) {
                struct entry *entry = book->by_id.items[i];
                if (entry->over)
                        free(entry);
                else
                        book->by_id.items[kept++] = entry;
        }
        book->by_id.count = kept;
        if (device->shelf_count == 0) {
                device_deinit(device);
                *device = book->devices[--book->device_count];
        }
}

static int by_offset(const void *left, const void *right) {
        const struct extent *a = left, *b = right;
        return (a->offset_bytes > b->offset_bytes) - (a->offset_bytes < b->offset_bytes);
}

/* A sorted copy in which what touches is one, so that a place across two stretches counts as reached. */
static size_t join_stretches(struct extent *joined, const struct extent *reached, size_t count) {
        size_t n = 0;
        if (count > 0)
                memcpy(joined, reached, count * sizeof *joined);
        qsort(joined, count, sizeof *joined, by_offset);
        for (size_t i = 0; i < count; i++) {
                if (joined[i].length_bytes == 0)
                        continue;
                if (n > 0 && joined[i].offset_bytes <= extent_end(joined[n - 1]))
                        joined[n - 1] = extent_hull(joined[n - 1], joined[i]);
                else
                        joined[n++] = joined[i];
        }
        return n;
}

static bool is_within(const struct extent *joined, size_t count, struct extent place) {
        size_t low = 0, high = count; /* the first that begins behind the place's start */
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (joined[middle].offset_bytes <= place.offset_bytes)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low > 0 && extent_contains(joined[low - 1], place);
}

size_t finding_book_resolve(struct finding_book *book, const char *device_name, uint64_t target_row, uint64_t sweep_id,
        const struct extent *reached, size_t reached_count, uint64_t now_us, finding_over_fn over, void *userdata) {
        struct device *device = device_find(book, device_name);
        CLEANUP_FREE struct extent *joined = calloc(MAX(reached_count, (size_t)1), sizeof *joined);
        if (!device || !joined) /* out of memory: findings that stay open wait for the next sweep */
                return 0;
        size_t stretches = join_stretches(joined, reached, reached_count), count = 0;
        for (size_t i = 0; i < book->by_id.count; i++) {
                struct entry *entry = book->by_id.items[i];
                const struct finding *f = &entry->finding;
                if ((f->target_row != target_row && f->target_row != 0) || entry->seen_sweep == sweep_id ||
                        strcmp(f->device, device_name) != 0 || !is_within(joined, stretches, f->place))
                        continue;
                end_entry(entry, FINDING_RESOLVED, now_us, over, userdata);
                count++;
        }
        if (device->sweep_id == sweep_id)
                runs_clear(device);
        if (count > 0)
                drop_over(book, device);
        return count;
}

void finding_book_spare(struct finding_book *book, const char *device_name, enum fault fault, uint64_t sweep_id) {
        struct device *device = device_find(book, device_name);
        for (size_t i = 0; device && i < device->shelf_count; i++) {
                const struct shelf *shelf = &device->shelves[i];
                for (size_t k = 0; k < shelf->by_place.count && shelf->fault == fault; k++)
                        shelf->by_place.items[k]->seen_sweep = sweep_id;
        }
}

/* As when they were reported: with each, the others that lie at its place. */
void finding_book_recall(struct finding_book *book, const char *device_name, uint64_t sweep_id) {
        struct device *device = device_find(book, device_name);
        if (!device)
                return;
        runs_clear(device);
        device->sweep_id = sweep_id;
        for (size_t i = 0; i < device->shelf_count; i++) {
                const struct list *list = &device->shelves[i].by_place;
                for (size_t k = 0; k < list->count; k++)
                        if (list->items[k]->finding.sweep_id == sweep_id)
                                (void)known_at(&device->shelves[i], list->items[k]->finding.place, sweep_id);
        }
}

void finding_book_number(struct finding_book *book, uint64_t finding_id, uint64_t serial) {
        size_t after = index_after_id(&book->by_id, finding_id);
        struct entry *entry = after > 0 ? book->by_id.items[after - 1] : NULL;
        if (!entry || entry->finding.id != finding_id)
                return;
        struct device *device = device_find(book, entry->finding.device);
        if (device && run_reserve(device) == 0) /* else one that grows becomes a second finding */
                run_put(device, serial, entry);
}

size_t finding_book_retire(struct finding_book *book, const char *device_name, uint64_t except_target_row,
        uint64_t now_us, finding_over_fn over, void *userdata) {
        struct device *device = device_find(book, device_name);
        if (!device)
                return 0;
        size_t count = 0;
        for (size_t i = 0; i < book->by_id.count; i++) {
                struct entry *entry = book->by_id.items[i];
                uint64_t row = entry->finding.target_row;
                if ((except_target_row != 0 && (row == except_target_row || row == 0)) ||
                        strcmp(entry->finding.device, device_name) != 0)
                        continue;
                end_entry(entry, FINDING_RETIRED, now_us, over, userdata);
                count++;
        }
        if (count > 0)
                drop_over(book, device);
        return count;
}

const struct finding *finding_book_acknowledge(
        struct finding_book *book, uint64_t id, const char *comment, uint64_t now_us) {
        size_t after = index_after_id(&book->by_id, id);
        struct finding *f = after > 0 ? &book->by_id.items[after - 1]->finding : NULL;
        if (!f || f->id != id)
                return NULL;
        f->state = FINDING_ACKNOWLEDGED;
        f->acknowledged_us = now_us;
        text_copy(f->comment, sizeof f->comment, comment);
        return f;
}

/* A moment that is yet to come was told by a clock that was wrong. */
size_t finding_book_remind(
        struct finding_book *book, uint64_t repeat_us, uint64_t now_us, finding_again_fn again, void *userdata) {
        size_t count = 0;
        for (size_t i = 0; i < book->by_id.count; i++) {
                struct finding *f = &book->by_id.items[i]->finding;
                if (f->told_us == 0)
                        f->told_us = f->last_seen_us;
                f->told_us = MIN(f->told_us, now_us);
                if (f->state != FINDING_OPEN || now_us - f->told_us < repeat_us)
                        continue;
                f->told_us = now_us;
                again(userdata, f);
                count++;
        }
        return count;
}

/* Questions. */

const struct finding *finding_book_after(const struct finding_book *book, const char *device, uint64_t id) {
        for (size_t i = index_after_id(&book->by_id, id); i < book->by_id.count; i++) {
                const struct finding *f = &book->by_id.items[i]->finding;
                if (!device || !*device || strcmp(f->device, device) == 0)
                        return f;
        }
        return NULL;
}

const struct finding *finding_book_get(const struct finding_book *book, uint64_t id) {
        size_t after = index_after_id(&book->by_id, id);
        const struct finding *f = after > 0 ? &book->by_id.items[after - 1]->finding : NULL;
        return f && f->id == id ? f : NULL;
}

struct finding_counts finding_book_counts(const struct finding_book *book, const char *device_name) {
        struct finding_counts counts = { 0 };
        const struct device *device = device_find(book, device_name);
        for (size_t i = 0; device && i < device->shelf_count; i++) {
                const struct list *list = &device->shelves[i].by_place;
                for (size_t k = 0; k < list->count; k++) {
                        const struct finding *f = &list->items[k]->finding;
                        if (f->state == FINDING_OPEN) {
                                counts.open++;
                                counts.open_faults += f->fault != FAULT_SLOW;
                        } else
                                counts.acknowledged++;
                }
        }
        return counts;
}

uint64_t finding_book_next_id(const struct finding_book *book) {
        return book->next_id;
}
