/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lateness: which places of the simulated disk are slow, and what may be said of them: `slow` is what was late, and
 * late again when it was read alone, and nothing else is.
 */
#pragma once

#include "chance.h"
#include "media/engine.h"
#include "model/finding.h"
#include "model/survey.h"

#define LATENESS_SLOW_AFTER_US UINT64_C(3000000) /* more than chance makes any request take */

enum { SLOW_SPOTS_MAX = 3 };

struct slow_spot {
        struct extent place;
        uint64_t delay_us;
        uint32_t left; /* how often it still is slow */
};

struct lateness {
        struct chance *chance;
        uint64_t sectors;
        bool *late;   /* by sector: by a request of a pass */
        bool *again;  /* by the request that times the place alone */
        bool *due;    /* that one was alone for certain, so it must be told */
        bool *failed; /* that one was not answered */
        bool *tried;  /* there was one */
        size_t spot_count;
        struct slow_spot spots[SLOW_SPOTS_MAX];
        bool counts;        /* the disk counts its traffic */
        unsigned busy;      /* one in so many: somebody else uses the disk. 0: never */
        bool was_disturbed; /* ever */
        struct engine_traffic traffic;
        bool disturbed;         /* since the traffic was asked for last */
        struct extent on_trial; /* length 0: no late one */
};

void lateness_init(struct lateness *l, uint64_t sectors, struct chance *chance);
void lateness_deinit(struct lateness *l);
void lateness_begin_sweep(struct lateness *l);

/* How much longer a read of this place takes this time. trial: it times the place alone. */
uint64_t lateness_delay_us(struct lateness *l, struct extent place, bool trial);

/* Requests that were answered. */
void lateness_read(struct lateness *l, struct extent place, uint64_t latency_us, bool trial, bool ending);
void lateness_counted(struct lateness *l, const struct engine_io *io);

/* A request that times a place was not answered with data, for whatever reason. */
void lateness_cut_short(struct lateness *l);

/* The reason was the medium, or the way to it. */
void lateness_failed(struct lateness *l, struct extent place);
bool lateness_any_failed(const struct lateness *l);

/* Others used the disk since the traffic was asked for last. */
void lateness_disturb(struct lateness *l);

bool lateness_traffic(struct lateness *l, struct engine_traffic *ret);

/* A finding `slow`, or a read error that nothing else explains. */
void lateness_check_run(const struct lateness *l, const struct finding *f, uint32_t block_bytes);
bool lateness_block_was_tried(const struct lateness *l, uint64_t sector, uint32_t block_bytes);
bool lateness_has_failed(const struct lateness *l, uint64_t sector);
