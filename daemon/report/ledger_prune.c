/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "report/ledger_store_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
        PRUNE_ROWS = 100,     /* that one request looks at: a millisecond or so, in which nobody else is served */
        VACUUM_PAGES = 64,    /* that one request gives back */
        SPARE_PAGES_MAX = 256 /* that stay: what is pruned today is written anew tomorrow */
};

/* The statements of each kind of row; sum: ST_COUNT where nothing is summed up. */
struct prune_statements {
        enum statement next, sum, drop;
};

static int prune_rows(struct ledger_store *store, enum statement which, const struct ledger_prune *p, uint64_t last) {
        struct query q = query_begin(store, which);
        query_put_number(&q, p->after);
        query_put_number(&q, last);
        query_put_number(&q, p->before_us);
        if (which == ST_SUM_OLD_SWEEPS || which == ST_PRUNE_SWEEPS)
                query_put_number(&q, TARGET_PAST_MAX);
        if (which == ST_PRUNE_EVENTS)
                query_put_number(&q, p->events_to);
        return query_run(&q);
}

/* Looks at the next few rows. Behind the last of a kind the next one begins. */
static int prune_some(struct ledger_store *store, const struct prune_statements *s, struct ledger_prune *p) {
        struct query q = query_begin(store, s->next);
        query_put_number(&q, p->after);
        query_put_number(&q, PRUNE_ROWS);
        int r = query_step(&q);
        uint64_t last = r > 0 ? query_take_number(&q) : 0;
        query_end(&q);
        if (r < 0)
                return r;
        if (last == 0) {
                p->after = 0;
                p->stage++;
                return 0;
        }
        r = s->sum == ST_COUNT ? 0 : prune_rows(store, s->sum, p, last);
        if (r == 0)
                r = prune_rows(store, s->drop, p, last);
        if (r == 0)
                p->after = last;
        return r;
}

/* A ledger of an early version has no map of its pages, and gives none back: what is free there is only used again. */
static int give_back_pages(struct ledger_store *store, struct ledger_prune *p) {
        char mode[16], answer[32], give[64];
        int r = store_ask(store, "PRAGMA auto_vacuum", mode, sizeof mode);
        if (r == 0)
                r = store_ask(store, "PRAGMA freelist_count", answer, sizeof answer);
        if (r < 0)
                return r;
        if (strcmp(mode, "2") != 0 || strtol(answer, NULL, 10) <= SPARE_PAGES_MAX) {
                p->stage++;
                return 0;
        }
        text_format(give, sizeof give, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
        return store_execute(store, give);
}

/* Once for all of them: it is a walk over those that stay. */
static int find_events_beyond(struct ledger_store *store, struct ledger_prune *p) {
        struct query q = query_begin(store, ST_EVENTS_BEYOND);
        query_put_number(&q, LEDGER_EVENTS_MAX);
        int r = query_step(&q);
        if (r > 0)
                p->events_to = query_take_number(&q);
        query_end(&q);
        return MIN(r, 0);
}

int past_prune(struct ledger_store *store, struct ledger_request *request) {
        static const struct prune_statements of[] = {
                [LEDGER_PRUNE_EVENTS] = { ST_NEXT_EVENTS, ST_COUNT, ST_PRUNE_EVENTS },
                [LEDGER_PRUNE_FINDINGS] = { ST_NEXT_FINDINGS, ST_SUM_OLD_FINDINGS, ST_PRUNE_FINDINGS },
                [LEDGER_PRUNE_SWEEPS] = { ST_NEXT_SWEEPS, ST_SUM_OLD_SWEEPS, ST_PRUNE_SWEEPS },
        };
        struct ledger_prune *p = &request->prune;
        assert(p->stage < LEDGER_PRUNE_OVER);
        if (p->stage == LEDGER_PRUNE_EVENTS && p->after == 0) {
                int r = store_run_with_number(store, ST_AGE, p->aged_us);
                if (r == 0)
                        r = find_events_beyond(store, p);
                if (r < 0)
                        return r;
        }
        return p->stage == LEDGER_PRUNE_FILE ? give_back_pages(store, p) : prune_some(store, &of[p->stage], p);
}
