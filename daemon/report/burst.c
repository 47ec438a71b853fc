/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that dies has thousands of findings in a minute, and a loose cable makes a disk come and go all night: whoever
 * is told each time stops to read, or his mail server stops him. What could go wrong with sums instead: counts that are
 * not exact, a burst whose last messages nobody hears of, and a first message that waits for others. So the first few
 * are told at once, the rest is counted by what it is, each sum has a time by which it comes, and a new burst begins
 * only after a rest.
 */
#include "report/burst.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct burst {
        char device[DEVICE_NAME_BYTES];
        enum event_kind kind;
        unsigned told;
        uint64_t last_us; /* of the last message, told or not */
        uint64_t gap_us;  /* from the first message of a sum to that sum */

        /* What was not told yet. */
        uint64_t count;
        uint64_t first_us;
        uint64_t by_turn[EVENT_TURN_COUNT];
        uint64_t by_fault[FAULT_COUNT];
        int priority;
        struct event last;
};

struct burst_book {
        struct burst **bursts;
        size_t count, capacity;
};

/* The others tell of what somebody did, or can't come often: each is told. */
static bool comes_in_bursts(enum event_kind kind) {
        switch (kind) {
        case EVENT_FINDING:
        case EVENT_FINDING_OVER:
        case EVENT_REFUSED:
        case EVENT_REFUSAL_OVER:
        case EVENT_DEADLINE:
        case EVENT_DEADLINE_OVER:
        case EVENT_DEVICE_MISSING:
        case EVENT_DEVICE_BACK:
        case EVENT_LEDGER:
        case EVENT_UNCHECKED:
        case EVENT_UNCHECKED_OVER:
                return true;
        default:
                return false;
        }
}

int burst_book_new(struct burst_book **ret) {
        struct burst_book *book = calloc(1, sizeof *book);
        if (!book)
                return -ENOMEM;
        *ret = book;
        return 0;
}

struct burst_book *burst_book_free(struct burst_book *book) {
        if (!book)
                return NULL;
        for (size_t i = 0; i < book->count; i++)
                free(book->bursts[i]);
        free(book->bursts);
        free(book);
        return NULL;
}

static bool is_over(const struct burst *b, uint64_t now_us) {
        return b->count == 0 && now_us - b->last_us >= BURST_QUIET_S * USEC_PER_SEC;
}

static void begin(struct burst *b, const struct event *event, uint64_t now_us) {
        *b = (struct burst){ .kind = event->kind, .last_us = now_us, .gap_us = BURST_SUM_FIRST_S * USEC_PER_SEC };
        text_copy(b->device, sizeof b->device, event->device);
}

static struct burst *append(struct burst_book *book) {
        if (book->count == book->capacity) {
                size_t capacity = MAX(2 * book->capacity, (size_t)8);
                struct burst **grown = reallocarray(book->bursts, capacity, sizeof *grown);
                if (!grown)
                        return NULL;
                book->bursts = grown;
                book->capacity = capacity;
        }
        struct burst *b = calloc(1, sizeof *b);
        if (b)
                book->bursts[book->count++] = b;
        return b;
}

/* One that is over makes room for another: there are never more than were needed within BURST_QUIET_S. */
static struct burst *find(struct burst_book *book, const struct event *event, uint64_t now_us) {
        struct burst *free_one = NULL;
        for (size_t i = 0; i < book->count; i++) {
                struct burst *b = book->bursts[i];
                bool over = is_over(b, now_us);
                if (!over && b->kind == event->kind && strcmp(b->device, event->device) == 0)
                        return b;
                if (over)
                        free_one = b;
        }
        struct burst *b = free_one ? free_one : append(book);
        if (b)
                begin(b, event, now_us);
        return b;
}

static void add(struct burst *b, const struct event *event, uint64_t now_us) {
        assert(event->turn < EVENT_TURN_COUNT);
        if (b->count++ == 0) {
                b->first_us = now_us;
                b->priority = event->priority;
        }
        b->priority = MIN(b->priority, event->priority);
        b->by_turn[event->turn]++;
        if (event->has_finding)
                b->by_fault[event->finding.fault]++;
        b->last = *event;
}

bool burst_book_passes(struct burst_book *book, const struct event *event, uint64_t monotonic_us) {
        if (!comes_in_bursts(event->kind))
                return true;
        struct burst *b = find(book, event, monotonic_us);
        if (!b) /* out of memory: too much is better than nothing */
                return true;
        b->last_us = monotonic_us;
        if (b->told < BURST_TOLD_MAX) {
                b->told++;
                return true;
        }
        add(b, event, monotonic_us);
        return false;
}

/* "3 new, 2 grown, 1 still open; read_error 5, slow 1" */
static void append_counts(char *text, size_t text_bytes, const struct burst *b) {
        static const char *const turns[EVENT_TURN_COUNT] = { "new", "grown", "still open" };
        const char *separator = "";
        for (size_t i = 0; i < EVENT_TURN_COUNT && b->kind == EVENT_FINDING; i++)
                if (b->by_turn[i] > 0) {
                        text_append(text, text_bytes, "%s%" PRIu64 " %s", separator, b->by_turn[i], turns[i]);
                        separator = ", ";
                }
        separator = *separator ? "; " : "";
        for (size_t i = 0; i < FAULT_COUNT; i++)
                if (b->by_fault[i] > 0) {
                        text_append(text, text_bytes, "%s%s %" PRIu64, separator, fault_name((enum fault)i),
                                b->by_fault[i]);
                        separator = ", ";
                }
}

/* The count comes first: event_sum_count() finds it there when the ledger tells of it. */
static void describe(char *text, size_t text_bytes, const struct burst *b) {
        char span[32];
        const char *s = b->count == 1 ? "" : "s";
        text_format_span(span, sizeof span, b->last_us - b->first_us);
        switch (b->kind) {
        case EVENT_FINDING:
                text_format(text, text_bytes, "%" PRIu64 " more message%s of findings within %s, in one: ", b->count, s,
                        span);
                append_counts(text, text_bytes, b);
                text_append(text, text_bytes, ". Each of them: sweepctl errors %s", b->device);
                break;
        case EVENT_FINDING_OVER:
                text_format(text, text_bytes, "%" PRIu64 " more finding%s over within %s: ", b->count,
                        b->count == 1 ? " is" : "s are", span);
                append_counts(text, text_bytes, b);
                text_append(text, text_bytes, ". Each of them: sweepctl errors %s --all", b->device);
                break;
        default:
                text_format(text, text_bytes, "%" PRIu64 " more message%s of kind %s within %s; the last: %s", b->count,
                        s, event_kind_name(b->kind), span, b->last.text);
                break;
        }
}

static void sum_up(struct burst *b, struct event *ret) {
        *ret = (struct event){ .kind = EVENT_SUM, .priority = b->priority, .count = b->count };
        text_copy(ret->device, sizeof ret->device, b->device);
        text_copy(ret->serial, sizeof ret->serial, b->last.serial);
        text_copy(ret->slot, sizeof ret->slot, b->last.slot);
        describe(ret->text, sizeof ret->text, b);
        b->count = 0;
        memset(b->by_turn, 0, sizeof b->by_turn);
        memset(b->by_fault, 0, sizeof b->by_fault);
        b->gap_us = MIN(2 * b->gap_us, BURST_SUM_MAX_S * USEC_PER_SEC);
}

bool burst_book_sum(struct burst_book *book, const char *device, uint64_t monotonic_us, struct event *ret) {
        for (size_t i = 0; i < book->count; i++) {
                struct burst *b = book->bursts[i];
                if (b->count == 0)
                        continue;
                if (device ? strcmp(b->device, device) != 0 : monotonic_us - b->first_us < b->gap_us)
                        continue;
                sum_up(b, ret);
                return true;
        }
        return false;
}
