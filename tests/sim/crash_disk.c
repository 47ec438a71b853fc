/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is kinder than real ones proves nothing. So a request takes effect when it completes, requests complete
 * in any order, a flush covers only what had completed before it was asked for, and nothing else is ever durable.
 */
#include "crash_disk.h"

#include "base/cleanup.h"
#include "failure.h"
#include "media/medium.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t first_sector(const struct engine_io *io) {
        return io->offset_bytes / SECTOR_BYTES;
}

static uint64_t end_sector(const struct engine_io *io) {
        return (io->offset_bytes + io->length_bytes) / SECTOR_BYTES;
}

static uint8_t sector_mask(uint64_t page, uint64_t first, uint64_t end) {
        uint8_t mask = 0;
        for (unsigned i = 0; i < PAGE_SECTORS; i++) {
                uint64_t sector = page * PAGE_SECTORS + i;
                if (sector >= first && sector < end)
                        mask |= (uint8_t)(1u << i);
        }
        return mask;
}

/* The sectors first..end of the write, relative to its own first one, reach the image. */
static void reach(struct image *image, const struct unflushed *w, uint32_t from, uint32_t to, bool unreadable) {
        uint64_t begin = w->first + from, end = w->first + to, first_page = w->first / PAGE_SECTORS;
        for (uint64_t page = begin / PAGE_SECTORS; page * PAGE_SECTORS < end; page++) {
                uint8_t mask = sector_mask(page, begin, end);
                uint32_t under = image->pages[page], over = w->pages[page - first_page];
                image_set(image, page, page_merge(under, over, unreadable ? 0 : mask, unreadable ? mask : 0));
        }
}

static void boundary(struct world *w) {
        if (w->boundary && w->changed)
                w->boundary(w);
        w->changed = false;
}

static void check(const struct crash_disk *d, const struct engine_io *io) {
        uint32_t logical = d->logical_sectors * SECTOR_BYTES;
        if (io->op == ENGINE_FLUSH)
                return;
        MUST(io->length_bytes > 0 && io->length_bytes % logical == 0, "length %" PRIu32, io->length_bytes);
        MUST(io->offset_bytes % logical == 0, "offset %" PRIu64, io->offset_bytes);
        MUST((uintptr_t)io->buffer % logical == 0, "the buffer is not aligned");
        MUST(end_sector(io) <= d->sectors, "beyond the end of disk %u", d->number);
        for (size_t i = 0; i < d->flight_count; i++) {
                const struct engine_io *other = d->flights[i].io;
                MUST(other != io, "submitted twice");
                bool both_read = io->op == ENGINE_READ && other->op == ENGINE_READ;
                MUST(other->op == ENGINE_FLUSH || both_read || end_sector(io) <= first_sector(other) ||
                                end_sector(other) <= first_sector(io),
                        "two requests for one place at a time, disk %u at %" PRIu64, d->number, io->offset_bytes);
        }
}

static void take_bytes(struct unflushed *w, const uint8_t *from) {
        uint64_t first_page = w->first / PAGE_SECTORS;
        for (uint64_t page = first_page; page * PAGE_SECTORS < w->first + w->sectors; page++) {
                uint64_t begin = MAX(page * PAGE_SECTORS, w->first);
                uint64_t end = MIN((page + 1) * PAGE_SECTORS, w->first + w->sectors);
                uint8_t bytes[PAGE_BYTES] = { 0 };
                memcpy(bytes + begin % PAGE_SECTORS * SECTOR_BYTES, from + (begin - w->first) * SECTOR_BYTES,
                        (end - begin) * SECTOR_BYTES);
                w->pages[page - first_page] = page_of(bytes, 0);
        }
}

static struct unflushed *add_write(struct crash_disk *d, uint64_t first, uint32_t sectors, const uint8_t *bytes) {
        MUST(d->write_count < WRITES_MAX, "too many writes without a flush");
        MUST(sectors <= (RUN_PAGES_MAX - 1) * PAGE_SECTORS, "too long a write");
        struct unflushed *w = &d->writes[d->write_count++];
        w->first = first;
        w->sectors = sectors;
        w->completed = w->doubtful = false;
        take_bytes(w, bytes);
        d->world->changed = true;
        return w;
}

static void take_off(struct crash_disk *d, struct engine_io *io) {
        struct flight *f = &d->flights[d->flight_count++];
        *f = (struct flight){ .io = io, .submitted_at = ++d->events };
        io->submitted_us = d->world->now_us;
        if (io->op == ENGINE_WRITE) {
                f->write = d->write_count;
                (void)add_write(d, first_sector(io), io->length_bytes / SECTOR_BYTES, io->buffer);
        }
        if (d->world->submitted)
                d->world->submitted(d->world, d, f);
        boundary(d->world);
}

static int submit(struct engine *engine, struct engine_io *const *ios, size_t count) {
        struct crash_disk *d = (void *)engine; /* its first member */
        size_t n = 0;
        for (; n < count && d->flight_count < d->depth; n++) {
                check(d, ios[n]);
                int error = d->world->refusing ? d->world->refusing(d->world, d, ios[n]) : 0;
                if (error && n > 0)
                        break;
                if (error) {
                        ios[n]->submitted_us = ios[n]->completed_us = d->world->now_us;
                        return -error;
                }
                take_off(d, ios[n]);
        }
        return (int)n;
}

static int64_t do_read(struct crash_disk *d, const struct engine_io *io, uint32_t sectors) {
        uint8_t *to = io->buffer;
        for (uint64_t i = first_sector(io), end = i + sectors; i < end;) {
                const struct page *p = page_at(d->now.pages[i / PAGE_SECTORS]);
                uint64_t stop = MIN(end, (i / PAGE_SECTORS + 1) * PAGE_SECTORS);
                if (p->bad & sector_mask(i / PAGE_SECTORS, i, stop))
                        return -EIO;
                memcpy(to, p->bytes + i % PAGE_SECTORS * SECTOR_BYTES, (stop - i) * SECTOR_BYTES);
                to += (stop - i) * SECTOR_BYTES;
                i = stop;
        }
        return (int64_t)sectors * SECTOR_BYTES;
}

static void forget_write(struct crash_disk *d, size_t index) {
        memmove(&d->writes[index], &d->writes[index + 1], (d->write_count - index - 1) * sizeof d->writes[0]);
        d->write_count--;
        for (size_t i = 0; i < d->flight_count; i++)
                if (d->flights[i].io->op == ENGINE_WRITE && d->flights[i].write > index)
                        d->flights[i].write--;
        d->world->changed = true;
}

/* How much of it reached the disk: all, a part, nothing. */
static int64_t do_write(struct crash_disk *d, const struct flight *f, uint32_t sectors) {
        struct unflushed *w = &d->writes[f->write];
        if (d->world->strict) {
                struct unflushed again = { .first = w->first, .sectors = w->sectors };
                take_bytes(&again, f->io->buffer);
                size_t pages = (w->first % PAGE_SECTORS + w->sectors + PAGE_SECTORS - 1) / PAGE_SECTORS;
                MUST(memcmp(again.pages, w->pages, pages * sizeof w->pages[0]) == 0, "a buffer was touched in flight");
        }
        if (sectors == 0) {
                forget_write(d, f->write);
                return 0;
        }
        if (sectors < w->sectors)
                d->world->changed = true;
        w->sectors = sectors;
        w->completed = true;
        w->completed_at = ++d->events;
        reach(&d->now, w, 0, sectors, false);
        d->written_bytes += (uint64_t)sectors * SECTOR_BYTES;
        return (int64_t)sectors * SECTOR_BYTES;
}

/* What was in doubt under a write that is durable now is over: none of it comes back later. */
static void settle_doubts(struct crash_disk *d, size_t index) {
        const struct unflushed *over = &d->writes[index];
        for (size_t i = index; i > 0; i--) {
                struct unflushed *w = &d->writes[i - 1];
                if (w->first >= over->first + over->sectors || over->first >= w->first + w->sectors)
                        continue;
                reach(&d->durable, w, 0, w->sectors, false);
                forget_write(d, i - 1);
                over--;
        }
}

static int64_t do_flush(struct crash_disk *d, const struct flight *f, int error) {
        for (size_t i = 0; i < d->write_count; i++) {
                struct unflushed *w = &d->writes[i];
                if (!w->completed || w->doubtful || w->completed_at > f->submitted_at)
                        continue;
                if (error) {
                        w->doubtful = medium_judge(error) != MEDIUM_AGAIN;
                        continue;
                }
                size_t count = d->write_count;
                settle_doubts(d, i);
                i -= count - d->write_count;
                reach(&d->durable, &d->writes[i], 0, d->writes[i].sectors, false);
                forget_write(d, i--);
        }
        return -error;
}

/* The flight stays where it is meanwhile, and is up to date whatever else happens to the disk. */
static int64_t perform(struct crash_disk *d, const struct flight *f) {
        struct engine_io *io = f->io;
        struct mishap m = { 0 };
        if (d->world->completing)
                m = d->world->completing(d->world, d, f);
        uint32_t sectors = io->length_bytes / SECTOR_BYTES;
        if (m.sectors)
                sectors = m.sectors;
        if (io->op == ENGINE_FLUSH)
                return m.phantom ? 0 : do_flush(d, f, m.error);
        if (io->op == ENGINE_WRITE) {
                bool nothing = m.error || m.nothing || m.phantom;
                int64_t result = do_write(d, f, nothing && !m.some ? 0 : m.some ? (sectors + 1) / 2 : sectors);
                if (m.phantom) /* the kernel counts what completes */
                        d->written_bytes += io->length_bytes;
                return m.error ? -m.error : m.phantom ? (int64_t)io->length_bytes : m.nothing ? 0 : result;
        }
        if (m.error || m.nothing)
                return -m.error;
        uint8_t before[PAGE_BYTES * RUN_PAGES_MAX];
        if (m.phantom)
                memcpy(before, io->buffer, io->length_bytes);
        int64_t result = do_read(d, io, sectors);
        if (m.phantom && result > 0) /* where it can't be read, it says so */
                memcpy(io->buffer, before, io->length_bytes);
        if (m.flipped && result > 0)
                ((uint8_t *)io->buffer)[d->events % (uint64_t)result] ^= 0x10;
        return result;
}

static size_t reap(struct engine *engine, struct engine_io **done, size_t max) {
        struct crash_disk *d = (void *)engine;
        if (d->flight_count == 0 || max == 0)
                return 0;
        size_t which = d->world->any_order ? chance_below(&d->world->chance, d->flight_count) : 0;
        int64_t result = perform(d, &d->flights[which]);
        struct flight f = d->flights[which];
        f.io->result = result;
        f.io->completed_us = d->world->now_us;
        d->flight_count--;
        memmove(&d->flights[which], &d->flights[which + 1], (d->flight_count - which) * sizeof f);
        if (d->world->completed)
                d->world->completed(d->world, d, &f);
        done[0] = f.io;
        boundary(d->world);
        return 1;
}

static int look(struct engine *engine, struct engine_look *ret) {
        struct crash_disk *d = (void *)engine;
        *ret = (struct engine_look){
                .size_bytes = d->sectors * SECTOR_BYTES,
                .diskseq = 7,
                .gone = d->gone,
                .counts_known = d->number == DISK_TARGET,
                .counts_complete = d->number == DISK_TARGET,
                .written_bytes = d->written_bytes,
        };
        if (d->world->looked)
                d->world->looked(d->world, d, ret);
        return 0;
}

static struct engine *unfreeable(struct engine *engine) {
        failure("an engine was freed that is only borrowed");
}

static const struct engine_ops ops = { .submit = submit, .reap = reap, .look = look, .free = unfreeable };

void world_init(struct world *w, const struct image *target, const struct image *journal, uint64_t sectors,
        uint32_t logical_sectors, unsigned depth) {
        for (unsigned i = 0; i < DISKS; i++) {
                struct crash_disk *d = &w->disks[i];
                d->engine.ops = &ops;
                d->world = w;
                d->number = i;
                d->sectors = i == DISK_TARGET ? sectors : journal->count * PAGE_SECTORS;
                d->logical_sectors = i == DISK_TARGET ? logical_sectors : PAGE_SECTORS;
                d->depth = depth;
                d->write_count = d->flight_count = 0;
                d->events = 0;
                d->gone = false;
                d->written_bytes = 0;
                image_copy(&d->durable, i == DISK_TARGET ? target : journal);
                image_copy(&d->now, &d->durable);
        }
        w->now_us = 1;
        w->changed = false;
}

uint32_t world_outsider_writes(struct world *w, uint64_t first, uint32_t sectors, const uint8_t *bytes) {
        struct crash_disk *d = &w->disks[DISK_TARGET];
        struct unflushed theirs = { .first = first, .sectors = sectors };
        for (size_t i = 0; i < d->write_count; i++) {
                struct unflushed *ours = &d->writes[i];
                if (!ours->completed || ours->first >= first + sectors || first >= ours->first + ours->sectors)
                        continue;
                reach(&d->durable, ours, 0, ours->sectors, false);
                forget_write(d, i--);
        }
        take_bytes(&theirs, bytes);
        reach(&d->durable, &theirs, 0, sectors, false);
        reach(&d->now, &theirs, 0, sectors, false);
        d->written_bytes += (uint64_t)sectors * SECTOR_BYTES;
        return theirs.pages[0];
}

void world_take_over(struct world *to, const struct world *from) {
        for (unsigned i = 0; i < DISKS; i++) {
                const struct crash_disk *before = &from->disks[i];
                struct crash_disk *d = &to->disks[i];
                image_copy(&d->durable, &before->durable);
                image_copy(&d->now, &before->durable);
                d->write_count = before->write_count;
                memcpy(d->writes, before->writes, d->write_count * sizeof d->writes[0]);
                for (size_t k = 0; k < d->write_count; k++) {
                        d->writes[k].completed = true;
                        d->writes[k].completed_at = 0;
                        reach(&d->now, &d->writes[k], 0, d->writes[k].sectors, false);
                }
                if (i == DISK_JOURNAL) {
                        d->write_count = 0;
                        image_copy(&d->durable, &d->now);
                }
        }
}

uint64_t world_cache_sum(const struct world *w) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < DISKS; i++)
                for (size_t k = 0; k < w->disks[i].write_count; k++) {
                        const struct unflushed *one = &w->disks[i].writes[k];
                        sum = layout_mix(sum + one->first + i) + one->sectors;
                        for (uint64_t page = 0; page * PAGE_SECTORS < one->first % PAGE_SECTORS + one->sectors; page++)
                                sum = layout_mix(sum + page_at(one->pages[page])->sum);
                }
        return sum;
}

size_t world_unflushed(const struct world *w) {
        return w->disks[DISK_TARGET].write_count + w->disks[DISK_JOURNAL].write_count;
}

static void meet(struct image *image, const struct unflushed *w, enum fate fate, unsigned torn, uint32_t granule) {
        uint32_t at = granule + torn % MAX(w->sectors / granule, 2) * granule;
        at = MIN(MAX(at, granule), MAX(w->sectors - granule, granule));
        if (w->sectors <= granule && (fate == FATE_HEAD || fate == FATE_TAIL))
                fate = fate == FATE_HEAD ? FATE_NEW : FATE_OLD;
        switch (fate) {
        case FATE_NEW:
                reach(image, w, 0, w->sectors, false);
                break;
        case FATE_HEAD:
                reach(image, w, 0, at, false);
                break;
        case FATE_TAIL:
                reach(image, w, at, w->sectors, false);
                break;
        case FATE_UNREADABLE:
                reach(image, w, 0, w->sectors, true);
                break;
        case FATE_OLD:
        case FATE_COUNT:
                break;
        }
}

void world_cut(
        const struct world *w, const uint8_t *fates, unsigned torn, struct image *target, struct image *journal) {
        size_t n = 0;
        for (unsigned i = 0; i < DISKS; i++) {
                const struct crash_disk *d = &w->disks[i];
                struct image *image = i == DISK_TARGET ? target : journal;
                image_copy(image, &d->durable);
                for (size_t k = 0; k < d->write_count; k++, n++)
                        meet(image, &d->writes[k], (enum fate)fates[n], torn + (unsigned)k,
                                i == DISK_TARGET ? d->logical_sectors : 1);
        }
}
