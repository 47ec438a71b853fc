/* SPDX-License-Identifier: Apache-2.0 */
/*
 * others: who else uses the simulated disk, in bursts, and what a sweep owes them: out of their way soon after they
 * came, and never faster than it was told.
 */
#pragma once

#include "chance.h"
#include "media/engine.h"

struct sweep;

struct others {
        struct chance *chance;
        bool exist;
        bool busy;
        uint64_t turn_us;  /* when they begin, or cease */
        uint64_t since_us; /* busy: since when */
        uint64_t began_us; /* the sweep */
        uint64_t rate, sent_bytes, sent_count;
        bool sampling;
        bool answers_failed; /* of what fails nobody knows how it is counted */
        uint64_t bursts_met; /* so long that it had to notice */
};

/* exist: with bursts in this sweep. rate: that the sweep was told; 0: none. */
void others_begin_sweep(struct others *o, struct chance *chance, bool exist, uint64_t rate, uint64_t now_us);

/* Adds what they did since the last time. True: something. */
bool others_advance(struct others *o, struct engine_traffic *traffic, uint64_t now_us);

/* A request of the sweep is handed over, beside so many. noticed: the sweep can see what they do; sampling: it is one
 * of the look before the first write. */
void others_submitted(
        struct others *o, const struct engine_io *io, size_t beside, bool noticed, bool sampling, uint64_t now_us);
