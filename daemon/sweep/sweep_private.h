/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep_private: what the files of the sweep share. sweep.c has the steps, sweep_io.c the way of a block, sweep_judge.c
 * what is made of bytes that were read, sweep_ladder.c what becomes of those that were wrong, sweep_slow.c of those
 * that were late, sweep_pace.c when a request may go, sweep_survey.c what is measured, sweep_sample.c the look before
 * the first write, sweep_resume.c how a sweep is cut short and gone on with, sweep_report.c the news.
 */
#pragma once

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sweep/block.h"
#include "sweep/diagnose.h"
#include "sweep/fault_table.h"
#include "sweep/keeper.h"
#include "sweep/pace.h"
#include "sweep/recovery.h"
#include "sweep/sweep.h"

enum sweep_step {
        STEP_SAMPLE, /* look at both ends and spread units before the first write */
        STEP_ADOPT,  /* the ledger forgets ranges that no longer hold */
        STEP_CHECK,  /* retention: verify what the previous sweeps left */
        STEP_STAMP,  /* target id and generation become durable */
        STEP_MARK,   /* the next segment is announced to the ledger */
        STEP_WRITE,
        STEP_FLUSH,
        STEP_VERIFY,
        STEP_READ,
        STEP_REWRITE, /* refresh, preserve: the keeper overwrites and puts back */
        STEP_UNDO,    /* recovery puts back what the keeper left armed */
        STEP_DRAIN,   /* wait for all that is in flight, then for the news to go out */
        STEP_ENDED,
        STEP_COUNT
};

enum {
        SAMPLE_END_BYTES = 16 << 20,
        SAMPLE_SPREAD_UNITS = 1024,
        SAMPLE_RATE_MIN = 8 << 20, /* a second, whatever rate was set: else a low one never gets past it in a window */
        SAMPLE_UNITS_MAX = 4 * SAMPLE_END_BYTES / UNIT_BYTES + SAMPLE_SPREAD_UNITS,
        FOREIGN_ROW_BYTES = 256 << 10,
        FOREIGN_PLACES = 256,
        BAD_WRITES_MAX = 256,
        NARROW_STACK_MAX = 32,
        OURS_TRIES_MAX = 1000,
        SLOW_PLACES_MAX = 64,
        SLOW_TRIES_MAX = 5,
        LADDER_BLOCKS_MAX = 256, /* in the retention pass, and as many in those that write */
        STREAK_MIN = 16,
        STREAK_SPARED_MAX = 256,
        OUTBOX_MAX = 4,
        TABLES_MAX = 16
};

/* What may be at a place: the candidates hold references to their tables while somebody verifies by them. */
struct span {
        struct extent place; /* the expectation is the same in all of it */
        size_t count;        /* 0: nothing is expected here */
        bool fixed;          /* not stamps, but this pattern */
        uint8_t pattern;
        struct stamp stamps[EXPECTATION_MAX];
};

/* A block that is not judged as a whole: a part of it could not be read or was never written. */
struct narrowing {
        struct block *block; /* NULL: nothing to narrow */
        struct extent stack[NARROW_STACK_MAX];
        size_t depth;
        struct extent judging; /* of the block: was read, and is still to be judged; may be empty */
        struct block *part;    /* a copy of what of it was wrong, while that is on the ladder; NULL in mode read */
        struct extent piece;
        bool out;   /* the engine has the piece */
        bool found; /* some piece of the block was bad again */
        unsigned tries;
        uint64_t spent_us;
        struct engine_io io;
};

/*
 * Blocks near each other, all of whose units are bad, of which the same was found out. From STREAK_MIN such on as many
 * are spared a trial as were tried, STREAK_SPARED_MAX at most; then one is tried, and must come out the same.
 */
struct streak {
        unsigned length;    /* how many were tried in a row */
        unsigned spared;    /* since the last of them */
        uint64_t end_bytes; /* of the last block that was tried or spared */
        enum fault fault;   /* where that is known */
        int64_t cause;
};

enum ladder_rung { RUNG_READ_AGAIN, RUNG_WRITE_AGAIN, RUNG_FLUSH, RUNG_READ_BACK };

/* Blocks with wrong bytes, which are kept until it is known whether they are wrong for good. A bit a unit. */
struct ladder {
        struct block *first, *last; /* these wait */
        struct block *block;        /* NULL: none is on the ladder */
        enum ladder_rung rung;
        struct extent place;  /* what this rung reads or writes of the block */
        uint64_t done_bytes;  /* of a short completion */
        uint8_t *read_bytes;  /* of the block's size both, laid out as the block: so what was found first */
        uint8_t *write_bytes; /* stays as it is, and nothing is written from where it was read to */
        bool out;             /* the engine has the request */
        unsigned tries;
        unsigned taken; /* how many blocks were on the ladder */
        bool answered;  /* it went up to the rung that tells */
        struct streak streak;
        uint64_t spent_us;
        uint64_t still_bad[VERIFY_WORDS]; /* as it is known so far */
        uint64_t transient[VERIFY_WORDS], repaired[VERIFY_WORDS], persistent[VERIFY_WORDS];
        struct engine_io io;
};

struct slow_place {
        struct extent place;
        uint64_t latency_us;
};

/* Blocks that were right, but late. Between two passes, or two stretches of one, they are read once more alone. */
struct slow {
        size_t count;
        struct slow_place places[SLOW_PLACES_MAX]; /* the first is on trial */
        bool due;                                  /* before the pass goes on; at its end they are anyway */
        bool out;                                  /* the engine has the request */
        unsigned tries;
        uint64_t began_us;   /* of the trial; 0: not begun */
        uint64_t not_before; /* the next try */
        uint64_t spent_us;
        uint64_t done_bytes; /* of a short completion */
        uint64_t again_us;   /* how long this reading took */
        uint64_t asleep_us;  /* the longest that this thread did not run meanwhile */
        bool counted;        /* the traffic of the disk is known: */
        struct engine_traffic before;
        struct engine_io io;
};

/* What is known of others on the disk, and when the next request may go. */
struct pacing {
        bool begun;
        uint64_t rate; /* that main wants; 0: no limit */
        struct pace pace;
        bool counted;   /* an account is kept, since */
        bool uncertain; /* a request failed: nobody knows how that is counted */
        struct engine_traffic base;
        uint64_t own_read, own_written;         /* bytes, since then */
        uint64_t foreign_read, foreign_written; /* that were seen */
};

struct sampling {
        size_t next; /* index into what is sampled, in the order of sample_place() */
        size_t foreign_count;
        uint64_t foreign[SAMPLE_UNITS_MAX]; /* offsets of units that are neither ours nor damaged; when full, it is
                                               enough */
        uint64_t adopt_id;                  /* a target id found in stamps, where the ledger knows none */
        uint64_t newest_generation;
        bool newer;                           /* stamps of ours that are newer than the ledger */
        bool concluded;                       /* until then, the ledger may be behind */
        const struct sweep_suspect *not_ours; /* a signature that isn't forgiven */
};

/* What was counted of places behind a checkpoint. */
struct uncounted {
        struct sweep_bytes bytes;
        uint64_t covered_bytes, lost_bytes;
        uint64_t region_bytes; /* of the region that the checkpoint lies in */
};

/* Where the sweep can be gone on with, and how it is cut short. */
struct resting {
        struct checkpoint saved;
        uint64_t told_us;    /* when it was last told; monotonic */
        bool due;            /* nothing new is begun until all is back and the place is saved */
        bool halting;        /* told to pause, and waiting for that */
        uint64_t halting_us; /* since then */
        bool suspended;      /* ends without being over, unless something fails */
        bool resumed;        /* it began in the middle */
        struct checkpoint from;
};

struct sweep {
        struct sweep_options o;
        enum sweep_step step;
        uint64_t now_us, wall_us, pumped_us;
        bool refused;

        struct block_pool *pool;
        struct table_cache *tables;
        struct table *table; /* of this sweep's generation */
        struct content content;
        struct fault_table *faults;

        enum sweep_step pass_step; /* the pass that the blocks which are out belong to; stays when the sweep drains */
        struct extent pass;        /* what it goes over */
        uint32_t pass_number;
        uint64_t cursor;
        uint64_t next_look;    /* where in the pass the device is looked at again */
        uint64_t next_look_us; /* and when at the latest; monotonic */
        unsigned blocks_out;
        unsigned in_flight;
        uint64_t debt_looked_us; /* when the oldest request in flight was last looked for */
        struct engine_io flush;
        unsigned flush_tries;      /* after errors that are ours */
        int flush_error;           /* of the first flush of this segment; 0: none */
        struct engine_io **unsent; /* ring of unsent_room */
        size_t unsent_first, unsent_count, unsent_room;
        struct block *arrived_first, *arrived_last;
        size_t arrived_count;
        struct block *failed_first, *failed_last;
        struct narrowing narrow;
        struct ladder ladder;
        struct slow slow;
        struct pacing pacing;
        bool lone_cpu;          /* there is no other CPU to verify on once more */
        bool spared;            /* no other CPU was asked about what is being judged */
        struct streak opinions; /* of blocks on which two CPUs agreed */

        struct span span; /* of the last look-up, as a cache */
        struct span own;  /* what this sweep writes */
        struct extent segment;
        uint64_t segment_bytes;    /* of those to come */
        uint64_t segment_began_us; /* monotonic; its first write */
        bool segment_flushed, segment_spoiled;
        struct extent bad_writes[BAD_WRITES_MAX]; /* of this segment: what they hold is not judged */
        size_t bad_write_count;
        uint64_t covered_bytes; /* judged by the last pass */
        uint64_t reached_end;   /* by the pass that is under way */
        unsigned fixed_over;    /* how many of the passes with a fixed pattern are over */

        struct sampling sample;

        struct keeper *keeper;     /* refresh, preserve */
        struct recovery *recovery; /* in STEP_UNDO, and until the end */
        unsigned left_armed;       /* slots of the journal that are left to a later recovery, or to a person */

        uint64_t sequence; /* of the last news that wants an answer */
        uint64_t answered; /* the last one that was made durable */
        struct news outbox[OUTBOX_MAX];
        size_t outbox_count;
        bool too_foreign; /* what is withheld is somebody else's data, not damage */
        bool has_doubts;
        uint64_t lost_bytes; /* that could be neither read nor written */
        bool faults_dirty;
        uint64_t faults_reported_us;
        struct sweep_record record;

        struct survey survey;
        struct resting rest;
        uint64_t region_step;
        uint64_t region_checked[REGIONS_MAX], region_verified[REGIONS_MAX]; /* bytes, of this round of passes */
};

/* sweep.c */
void sweep_enter(struct sweep *s, enum sweep_step next);
void sweep_begin(struct sweep *s, enum sweep_step first);
void sweep_finish(struct sweep *s, enum sweep_end end);
void sweep_fail(struct sweep *s, enum sweep_end end, const char *rule, const char *remedy, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
void sweep_wind_down(struct sweep *s, enum sweep_end end, const char *rule, const char *remedy, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
void sweep_settle_withheld(struct sweep *s, bool foreign);
static inline bool sweep_is_ending(const struct sweep *s) {
        return s->step >= STEP_DRAIN;
}

/* The pass that is under way, or comes next, is one with a fixed pattern. */
static inline bool sweep_is_fixed(const struct sweep *s) {
        return s->fixed_over < s->record.patterns.count;
}
void sweep_name_pass(const struct sweep *s, struct detail *detail);

/* sweep_io.c */
struct io_fault {
        enum engine_op op;
        int error; /* positive errno */
        struct extent place;
        bool narrowed;
        enum persistence persistence;
};
void sweep_add_io_fault(struct sweep *s, const struct io_fault *f);
int sweep_io_init(struct sweep *s);
bool sweep_io_reap(struct sweep *s);
bool sweep_io_submit(struct sweep *s);
void sweep_io_tell_debt(struct sweep *s);
void sweep_io_owe(struct sweep *s, const struct engine_io *io, uint64_t since_us);
bool sweep_io_narrows(const struct sweep *s);
bool sweep_io_narrow(struct sweep *s);
bool sweep_io_read_next(struct sweep *s, struct extent place, const struct span *span);
bool sweep_io_write_next(struct sweep *s, struct extent place);
void sweep_io_flush(struct sweep *s);
void sweep_io_take_back(struct sweep *s);
void sweep_io_abandon(struct sweep *s);
void sweep_io_take_apart(struct sweep *s, struct block *b);
bool sweep_io_idle(const struct sweep *s);
bool sweep_device_is_there(struct sweep *s);
void sweep_io_enqueue(struct sweep *s, struct engine_io *io);
int sweep_io_error(const struct sweep *s, const struct engine_io *io);
bool sweep_error_counts(struct sweep *s, int error);
void sweep_block_append(struct block **first, struct block **last, struct block *b);

/* sweep_judge.c */
bool sweep_judge_arrived(struct sweep *s);
bool sweep_judge_take_back(struct sweep *s);
bool sweep_judge_piece(struct sweep *s, struct block *b, struct extent *piece);
void sweep_judge_units(struct sweep *s, const struct expectation *e, const uint8_t *bytes, struct extent piece,
        const uint64_t *bad_units, enum persistence persistence);
void sweep_judge_end(struct sweep *s, struct block *b);
bool sweep_unit_is_bad(struct sweep *s, const struct expectation *e, const uint8_t *bytes, struct extent unit,
        enum persistence persistence);
void sweep_diagnose(struct sweep *s, struct diagnosis *ret, struct fault_run *fault, const struct expectation *e,
        const uint8_t *bytes, struct extent unit);
void sweep_block_done(struct sweep *s, struct block *b);
const struct span *sweep_span(struct sweep *s, uint64_t offset_bytes);
bool sweep_span_expect(struct sweep *s, struct expectation *e, const struct span *span);
void sweep_expectation_release(struct expectation *e);
void sweep_add_unrestored(struct sweep *s, const struct stamp *stamp, struct extent unit);
struct extent sweep_past_extent(const struct sweep *s, const struct past_generation *past);
void sweep_ground(struct sweep *s, struct diagnosis_ground *g, uint64_t offset_bytes);

/* sweep_ladder.c */
int sweep_ladder_init(struct sweep *s);
void sweep_ladder_deinit(struct sweep *s);
bool sweep_verify(struct sweep *s, struct verify_job *job);
bool sweep_verify_again(struct sweep *s, struct verify_job *job);
void sweep_ladder_add(struct sweep *s, struct block *b);
bool sweep_ladder(struct sweep *s);
void sweep_ladder_completed(struct sweep *s);
void sweep_ladder_abandon(struct sweep *s);
void sweep_ladder_forget(struct sweep *s);
void sweep_settle_sampled(struct sweep *s);
void sweep_settle_repairs(struct sweep *s);

/* sweep_pace.c */
void sweep_pace_look(struct sweep *s);
bool sweep_pace_takes(struct sweep *s, const struct engine_io *io, unsigned out);
void sweep_pace_took_back(struct sweep *s, const struct engine_io *io);
void sweep_pace_answered(struct sweep *s, const struct engine_io *io);

/* sweep_resume.c */
void sweep_resume_begin(struct sweep *s, const struct sweep_resume *resume);
void sweep_resume_regions(struct sweep *s, uint64_t at_bytes);
uint64_t sweep_resume_at(const struct sweep *s, enum sweep_round round);
void sweep_save(struct sweep *s, enum sweep_round round, uint64_t at_bytes, const struct uncounted *beyond);
void sweep_save_start(struct sweep *s, enum sweep_step first);
bool sweep_save_when_quiet(struct sweep *s);
void sweep_suspend(struct sweep *s, bool at_once);
/* It is being suspended, so what lies behind the checkpoint is done once more. */
static inline bool sweep_comes_again(const struct sweep *s) {
        return s->rest.suspended && s->record.end == END_NONE;
}

/* sweep_rewrite.c */
bool sweep_step_rewrite(struct sweep *s);
void sweep_begin_undo(struct sweep *s);
bool sweep_step_undo(struct sweep *s);
bool sweep_rewrite_is_idle(struct sweep *s);

/* sweep_slow.c */
void sweep_slow_note(struct sweep *s, const struct block *b);
bool sweep_slow_holds(const struct sweep *s);
bool sweep_slow(struct sweep *s);
void sweep_slow_completed(struct sweep *s);
void sweep_slow_abandon(struct sweep *s);

/* sweep_survey.c */
void sweep_survey_init(struct sweep *s);
/* The region that begins there, or before. */
size_t sweep_region_at(const struct sweep *s, uint64_t offset_bytes);
void sweep_survey_begin_round(struct sweep *s);
void sweep_survey_request(struct sweep *s, const struct engine_io *io);
void sweep_survey_checked(struct sweep *s, struct extent place);
void sweep_survey_verified(struct sweep *s, struct extent place);

/* sweep_sample.c */
bool sweep_sample_place(struct sweep *s, struct extent *ret);
void sweep_sample_judge(struct sweep *s, const uint8_t *bytes, struct extent place);
void sweep_sample_unreadable(struct sweep *s, struct extent place);
void sweep_sample_conclude(struct sweep *s);
void sweep_sample_forget(struct sweep *s);

/* sweep_report.c */
void sweep_post(struct sweep *s, enum news_kind kind, bool wants_answer, const struct news_mark *mark);
bool sweep_report(struct sweep *s, bool all);
void sweep_add_fault(struct sweep *s, struct fault_run *fault);
void sweep_settle_doubts(struct sweep *s, uint64_t limit_bytes);
uint64_t sweep_frontier(const struct sweep *s);
void sweep_publish(struct sweep *s);
