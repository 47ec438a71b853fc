/* SPDX-License-Identifier: Apache-2.0 */
/*
 * news: what a sweep tells main, and what it asks it to make durable. A seam: the real one is a queue to main, the
 * tests' one a list. News that carries a sequence number is answered with sweep_answer() once the ledger has it.
 */
#pragma once

#include "model/extent.h"
#include "model/finding.h"
#include "model/identity.h"
#include "model/resume.h"
#include "model/survey.h"
#include "model/sweep_record.h"
#include "model/target_record.h"

#include <stdbool.h>
#include <stdint.h>

enum news_kind {
        NEWS_IDENTIFIED, /* identified: answered with the target's record, or a denial */
        NEWS_PERMITTED,  /* who only looks: nothing stands against a sweep. The last news but ENDED */
        NEWS_REFUSED,    /* reason: the interlock or the device said no; nothing was swept. The last news but ENDED */
        NEWS_STARTED,    /* checkpoint: the sweep passed every check and begins, or goes on from there */
        NEWS_ADOPTED,    /* stamp: the target bears stamps newer than the ledger; answered: its ranges are forgotten */
        NEWS_STAMP, /* mark, record, checkpoint: answered: target id and generation are durable; ranges are cleared */
        NEWS_MARK,  /* mark, record: answered: the mark is durable */
        NEWS_FAULT, /* fault: a new run of faults, or one that grew */
        NEWS_RECOVERED,  /* recovered: what an undo journal held is back, or there was nothing in it */
        NEWS_CHECKPOINT, /* record, checkpoint, survey: what the sweep could go on from; not answered */
        NEWS_ENDED       /* record, reached, survey; suspended, checkpoint: the very last news */
};

/* The durable promise before a write; as report/ledger.h has it. */
struct news_mark {
        uint64_t target_id;
        uint64_t generation;
        uint64_t nonce;
        uint64_t started_us;
        struct extent settled; /* holds this generation alone, flushed; may be empty */
        struct extent ahead;   /* will be written next; may be empty */
        struct extent clears;  /* nothing that was known of this place before counts from here on; may be empty */
};

struct news_identified {
        struct identity identity;
        uint64_t size_bytes;
        uint64_t disk;       /* device number of the whole disk */
        int write_cache;     /* 1, 0; -1: unknown */
        uint64_t timeout_us; /* that the kernel gives each command; 0: unknown */
};

struct news_recovered {
        bool tried; /* something was armed */
        uint64_t units_restored, units_foreign, units_lost;
};

struct news {
        enum news_kind kind;
        uint64_t sweep_id;
        uint64_t sequence; /* 0: no answer is wanted */
        struct reason reason;
        struct sweep_record record;
        struct extent reached; /* ended: the extent whose every unit was judged by the last pass */
        struct news_mark mark;
        struct checkpoint checkpoint;
        bool suspended; /* ended: not over, but to be gone on with from the checkpoint */
        struct news_recovered recovered;
        unsigned left_armed; /* ended: slots of the undo journal that must be recovered before anything else */
        int erase_error;     /* ended: positive errno; what was saved could not be erased from the undo journal */
        bool by_order;       /* adopted: because the user said so, not because of what the disk bears */
        uint64_t fault_serial;
        struct finding fault;  /* device, sweep, place, fault, persistence, text, detail, sample, last_seen_us */
        struct survey *survey; /* with a checkpoint and with the end; NULL: none. Heap, as is: */
        struct news_identified *identified; /* both are taken over by whoever takes the news */
};

struct news_port {
        /* Copies the news. False: no room now; the sweep waits and tries again. */
        bool (*post)(struct news_port *port, const struct news *news);
};

enum answer_kind { ANSWER_TARGET, ANSWER_DURABLE, ANSWER_FAILED, ANSWER_DENIED };

struct answer {
        enum answer_kind kind;
        uint64_t sequence;
        struct target_record *target; /* ANSWER_TARGET: heap, taken over */
        struct reason reason;         /* ANSWER_FAILED, ANSWER_DENIED */
};
