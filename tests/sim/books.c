/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which things become durable is what the sweep's safety rests on, so answers come late, in bursts, or
 * never, but always in order and never before the ledger has what they stand for.
 */
#include "books.h"

#include "base/cleanup.h"
#include "failure.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

static bool post(struct news_port *port, const struct news *news);

static void *memory(size_t count, size_t bytes) {
        void *p = calloc(count, bytes);
        MUST(p, "out of memory");
        return p;
}

static void ledger_forget(struct ledger *l, uint64_t sectors) {
        ranges_deinit(&l->ranges);
        memset(l->known, 0, sectors * sizeof l->known[0]);
}

/* Of this place. */
static void ledger_forget_there(struct ledger *l, uint64_t sectors, struct extent place) {
        MUST(ranges_forget(&l->ranges, place) == 0, "ranges_forget");
        uint64_t first = place.offset_bytes / SECTOR_BYTES, end = MIN(extent_end(place) / SECTOR_BYTES, sectors);
        memset(l->known + first, 0, (end - first) * sizeof l->known[0]);
}

static void ledger_remember(struct ledger *l, uint8_t generation) {
        if (memchr(l->past, generation, l->past_count))
                return;
        if (l->past_count < TARGET_PAST_MAX)
                l->past_count++;
        memmove(l->past + 1, l->past, l->past_count - 1);
        memmove(l->past_patterns + 1, l->past_patterns, (l->past_count - 1) * sizeof l->past_patterns[0]);
        memmove(l->past_written + 1, l->past_written, (l->past_count - 1) * sizeof l->past_written[0]);
        memmove(l->past_extents + 1, l->past_extents, (l->past_count - 1) * sizeof l->past_extents[0]);
        l->past[0] = generation;
        l->past_patterns[0] = (struct pattern_list){ 0 };
        l->past_written[0] = 0;
        l->past_extents[0] = (struct extent){ 0 };
}

/* What is stored with the sweep that writes. */
static void ledger_note(struct ledger *l, uint8_t generation, const struct sweep_record *record) {
        ledger_remember(l, generation);
        if (l->past[0] != generation)
                return;
        l->past_patterns[0] = record->patterns;
        l->past_written[0] = record->bytes.written;
        l->past_extents[0] = record->extent;
}

void books_init(struct books *b, struct chance *chance, struct history *history, struct disk *disk) {
        *b = (struct books){ .port.post = post, .chance = chance, .history = history, .disk = disk };
        b->ledger.known = memory(disk->sectors, sizeof(struct known));
        b->old.known = memory(disk->sectors, sizeof(struct known));
        b->written_well = memory(disk->sectors, sizeof(bool));
        b->runs = memory(RUNS_MAX, sizeof(struct news));
}

void books_deinit(struct books *b) {
        ranges_deinit(&b->ledger.ranges);
        ranges_deinit(&b->old.ranges);
        free(b->ledger.known);
        free(b->old.known);
        free(b->written_well);
        free(b->runs);
}

void books_begin_sweep(struct books *b, uint64_t sweep_id, struct extent extent) {
        b->sweep_id = sweep_id;
        b->extent = extent;
        b->started = b->stamped = b->adopted = b->failed = b->dead = false;
        b->sequence = b->durable_sequence = 0;
        b->generation = b->stamped_as = 0;
        b->patterns.count = 0;
        b->pass = UINT_MAX;
        b->segment = (struct extent){ 0 };
        b->run_count = 0;
        memset(b->written_well, 0, b->disk->sectors * sizeof b->written_well[0]);
}

struct target_record *books_target(const struct books *b) {
        size_t bytes = b->ledger.ranges.count * sizeof(struct stamped_range);
        struct target_record *t = memory(1, sizeof *t + bytes);
        *t = (struct target_record){
                .row = 1,
                .target_id = b->ledger.target_id,
                .last_generation = b->ledger.last_generation,
                .range_count = b->ledger.ranges.count,
        };
        for (; t->past_count < b->ledger.past_count; t->past_count++) {
                const struct stamp *stamp = &b->history->of[b->ledger.past[t->past_count]].stamp;
                t->past[t->past_count] = (struct past_generation){ .generation = stamp->generation,
                        .nonce = stamp->nonce,
                        .started_us = stamp->started_us,
                        .extent = b->ledger.past_extents[t->past_count],
                        .patterns = b->ledger.past_patterns[t->past_count],
                        .bytes_written = b->ledger.past_written[t->past_count] };
        }
        if (bytes > 0)
                memcpy(t->ranges, b->ledger.ranges.items, bytes);
        return t;
}

static void know_settled(struct books *b, struct extent e) {
        for (uint64_t i = e.offset_bytes / SECTOR_BYTES; i < extent_end(e) / SECTOR_BYTES; i++)
                b->ledger.known[i] = (struct known){
                        .settled = true, .count = 1, .generations = { (uint8_t)b->generation }
                };
}

static void know_announced(struct books *b, struct extent e) {
        for (uint64_t i = e.offset_bytes / SECTOR_BYTES; i < extent_end(e) / SECTOR_BYTES; i++) {
                struct known *k = &b->ledger.known[i];
                if (memchr(k->generations, (int)b->generation, k->count))
                        continue;
                k->generations[k->count++] = (uint8_t)b->generation;
                if (k->count > TARGET_OVERLAP_MAX)
                        *k = (struct known){ .forgotten = true };
        }
}

void books_preload(struct books *b, size_t generation) {
        const struct stamp *s = &b->history->of[generation].stamp;
        struct stamped_range stamp = { .generation = s->generation, .nonce = s->nonce, .started_us = s->started_us };
        struct extent all = { 0, b->disk->sectors * SECTOR_BYTES };
        b->generation = generation;
        b->ledger.target_id = s->target_id;
        b->ledger.last_generation = s->generation;
        MUST(ranges_settle(&b->ledger.ranges, all, &stamp) == 0, "ranges_settle");
        know_settled(b, all);
        ledger_remember(&b->ledger, (uint8_t)(generation - 1));
        ledger_remember(&b->ledger, (uint8_t)generation);
}

static void make_durable(struct books *b, struct request *r) {
        const struct news_mark *m = &r->news.mark;
        struct ledger *l = &b->ledger;
        r->durable = true;
        b->durable_sequence = r->news.sequence;
        l->target_id = m->target_id;
        l->last_generation = MAX(l->last_generation, m->generation);
        if (m->clears.length_bytes > 0)
                ledger_forget_there(l, b->disk->sectors, m->clears);
        if (r->news.kind == NEWS_STAMP && m->clears.length_bytes > 0)
                ledger_note(l, (uint8_t)b->stamped_as, &r->news.record);
        if (r->news.kind != NEWS_MARK)
                return;
        struct stamped_range stamp = { .generation = m->generation, .nonce = m->nonce, .started_us = m->started_us };
        MUST(ranges_settle(&l->ranges, m->settled, &stamp) == 0, "ranges_settle");
        MUST(ranges_announce(&l->ranges, m->ahead, &stamp) == 0, "ranges_announce");
        ledger_note(l, (uint8_t)b->stamped_as, &r->news.record);
        know_settled(b, m->settled);
        know_announced(b, m->ahead);
}

static void answer(struct books *b, struct request *r, struct sweep *sweep) {
        struct answer a = { .kind = ANSWER_DURABLE, .sequence = r->news.sequence };
        if (!r->durable) {
                a.kind = ANSWER_FAILED;
                b->failed = true;
                reason_set(&a.reason, "ledger", "Mend it.", "the state disk is full");
        }
        sweep_answer(sweep, &a);
}

void books_work(struct books *b, struct sweep *sweep) {
        while (b->request_count > 0) {
                struct request *r = &b->requests[0];
                bool fails = b->fail_after == 1;
                if (!r->durable && r->durable_us <= b->now_us && !fails)
                        make_durable(b, r);
                if (r->answer_us > b->now_us)
                        return;
                answer(b, r, sweep);
                if (b->fail_after > 1)
                        b->fail_after--;
                b->request_count--;
                memmove(b->requests, b->requests + 1, b->request_count * sizeof b->requests[0]);
        }
}

uint64_t books_next_us(const struct books *b) {
        uint64_t full = b->full_until_us > b->now_us ? b->full_until_us : UINT64_MAX;
        return b->request_count > 0 ? MIN(b->requests[0].answer_us, full) : full;
}

void books_crash(struct books *b) {
        for (size_t i = 0; i < b->request_count && chance_one_in(b->chance, 2); i++)
                if (!b->requests[i].durable)
                        make_durable(b, &b->requests[i]);
        b->request_count = 0;
        b->dead = true;
}

static void begin_generation(struct books *b, const struct news_mark *m) {
        MUST(m->generation > b->ledger.last_generation, "generation %" PRIu64 " does not grow", m->generation);
        MUST(b->ledger.target_id == 0 || m->target_id == b->ledger.target_id, "the target id changed");
        MUST(b->history->count < HISTORY_MAX, "too many generations");
        b->generation = b->stamped_as = b->history->count++;
        b->history->of[b->generation] = (struct content){
                .table = table_cache_get(b->history->tables, m->nonce),
                .stamp = {
                        .mode = MODE_PATTERN,
                        .target_id = m->target_id,
                        .generation = m->generation,
                        .nonce = m->nonce,
                        .started_us = m->started_us,
                },
        };
        b->stamped = true;
}

/* What the next segment is written with: a fixed pattern, or the stamps. */
static void begin_pass(struct books *b, unsigned pass) {
        b->pass = pass;
        b->generation = b->stamped_as;
        memset(b->written_well, 0, b->disk->sectors * sizeof b->written_well[0]);
        if (pass >= b->patterns.count)
                return;
        struct history *h = b->history;
        size_t i = 0;
        while (i < h->count && (!h->of[i].table->fixed || h->of[i].table->nonce != b->patterns.bytes[pass]))
                i++;
        MUST(i < HISTORY_MAX, "too many generations");
        if (i == h->count)
                h->of[h->count++].table = table_cache_get_fixed(h->tables, b->patterns.bytes[pass]);
        h->of[i].stamp = h->of[b->stamped_as].stamp;
        b->generation = i;
}

static void check_mark(const struct books *b, const struct news_mark *m) {
        for (uint64_t i = m->settled.offset_bytes; i < extent_end(m->settled); i += SECTOR_BYTES)
                MUST(b->written_well[i / SECTOR_BYTES], "sector %" PRIu64 " is settled without being written well",
                        i / SECTOR_BYTES);
        MUST(!books_is_fixed(b) || (m->settled.length_bytes == 0 && m->ahead.length_bytes == 0),
                "a mark of a fixed pattern tells of ranges");
        MUST(m->generation == b->history->of[b->generation].stamp.generation, "a mark of another generation");
}

/* What is forgotten is the sweep's own part of the disk; all of it where the disk says that the ledger is behind. */
static void check_clears(const struct books *b, const struct news *news) {
        struct extent clears = news->mark.clears;
        bool own = clears.offset_bytes == b->extent.offset_bytes && clears.length_bytes == b->extent.length_bytes;
        bool all = extent_contains(clears, (struct extent){ 0, b->disk->sectors * SECTOR_BYTES });
        if (news->kind == NEWS_ADOPTED)
                MUST(news->by_order ? own : all, "the wrong ranges are forgotten");
        else
                MUST(clears.length_bytes == 0 || (own && news->record.patterns.count > 0), "ranges are forgotten");
        MUST(news->record.extent.offset_bytes == b->extent.offset_bytes &&
                        news->record.extent.length_bytes == b->extent.length_bytes,
                "the record is of another extent");
}

static void take_request(struct books *b, const struct news *news) {
        MUST(news->sequence > b->sequence, "sequence numbers go back");
        MUST(b->request_count < REQUESTS_MAX, "too many requests");
        check_clears(b, news);
        b->sequence = news->sequence;
        uint64_t last = b->request_count > 0 ? b->requests[b->request_count - 1].answer_us : b->now_us;
        struct request *r = &b->requests[b->request_count++];
        *r = (struct request){ .news = *news };
        r->durable_us = MAX(last, b->now_us) + chance_below(b->chance, b->latency_us + 1);
        r->answer_us = r->durable_us + chance_below(b->chance, b->latency_us + 1);
        if (news->mark.ahead.length_bytes > 0)
                b->segment = news->mark.ahead;
}

static void take_fault(struct books *b, const struct news *news) {
        MUST(news->fault.place.length_bytes > 0, "a fault of no length");
        for (size_t i = 0; i < b->run_count; i++)
                if (b->runs[i].fault_serial == news->fault_serial) {
                        MUST(extent_contains(news->fault.place, b->runs[i].fault.place), "a run got smaller");
                        b->runs[i] = *news;
                        return;
                }
        MUST(b->run_count < RUNS_MAX, "too many runs");
        b->runs[b->run_count++] = *news;
}

/* Taken over with the news; nobody here asks for it. */
static void drop_survey(const struct news *news) {
        free(news->survey);
}

static bool post(struct news_port *port, const struct news *news) {
        struct books *b = (void *)port; /* its first member */
        if (b->dead) {
                drop_survey(news);
                return true;
        }
        if (b->full_until_us > b->now_us)
                return false;
        if (chance_one_in(b->chance, b->full_one_in)) {
                b->full_until_us = b->now_us + chance_between(b->chance, 1, 100000);
                return false;
        }
        MUST(news->sweep_id == b->sweep_id, "news of another sweep");
        drop_survey(news);
        switch (news->kind) {
        case NEWS_STARTED:
                MUST(!b->started, "started twice");
                b->started = true;
                break;
        case NEWS_ADOPTED:
                b->adopted = true;
                take_request(b, news);
                break;
        case NEWS_STAMP:
                if (!b->stamped)
                        begin_generation(b, &news->mark);
                b->patterns = news->record.patterns;
                b->pass = UINT_MAX; /* none is under way */
                take_request(b, news);
                break;
        case NEWS_MARK:
                if (news->checkpoint.pass != b->pass)
                        begin_pass(b, news->checkpoint.pass);
                check_mark(b, &news->mark);
                take_request(b, news);
                break;
        case NEWS_FAULT:
                take_fault(b, news);
                break;
        default:
                break;
        }
        return true;
}

static void copy_ledger(struct books *b, struct ledger *to, const struct ledger *from) {
        struct ranges ranges = { .count = from->ranges.count, .capacity = from->ranges.count };
        if (ranges.count > 0) {
                ranges.items = memory(ranges.count, sizeof ranges.items[0]);
                memcpy(ranges.items, from->ranges.items, ranges.count * sizeof ranges.items[0]);
        }
        ranges_deinit(&to->ranges);
        to->ranges = ranges;
        to->target_id = from->target_id;
        to->last_generation = from->last_generation;
        to->past_count = from->past_count;
        memcpy(to->past, from->past, sizeof to->past);
        memcpy(to->past_patterns, from->past_patterns, sizeof to->past_patterns);
        memcpy(to->past_written, from->past_written, sizeof to->past_written);
        memcpy(to->past_extents, from->past_extents, sizeof to->past_extents);
        memcpy(to->known, from->known, b->disk->sectors * sizeof to->known[0]);
}

void books_keep_copy(struct books *b) {
        copy_ledger(b, &b->old, &b->ledger);
}

void books_restore_copy(struct books *b) {
        copy_ledger(b, &b->ledger, &b->old);
}

void books_lose(struct books *b) {
        ledger_forget(&b->ledger, b->disk->sectors);
        b->ledger.target_id = b->ledger.last_generation = 0;
        b->ledger.past_count = 0;
}
