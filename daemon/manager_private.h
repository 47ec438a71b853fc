/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager_private: what the files of the manager share. manager.c builds and ends it and starts sweeps, members.c says
 * which devices there are, admit.c which may start, planner.c how fast they go, rests.c which are interrupted, routes.c
 * moves news, acknowledgements and events, outbox.c holds what the ledger can't take yet, history.c keeps the ledger
 * from growing, reminders.c tells again what is open, requests.c answers the control socket, rescues.c what it is asked
 * about undo journals, orphans.c finds those that nobody asks about.
 */
#pragma once

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/text.h"
#include "control/control.h"
#include "device.h"
#include "lookout.h"
#include "manager.h"
#include "plan/roster.h"
#include "reload.h"
#include "report/alerts.h"
#include "report/burst.h"
#include "report/finding_book.h"
#include "report/ledger.h"
#include "sweep/verify.h"

#include <stddef.h>
#include <systemd/sd-device.h>

enum { RESCUE_TASKS_MAX = 4 }; /* each has a thread */

enum { NEWS_QUEUE_MAX = 1024, LEDGER_QUEUE_MAX = 256, ALERTS_QUEUE_MAX = 1024, WAITING_MAX = 4096 };

/* Ledger requests that wait, the oldest first: from `first` to before `end`. */
struct waiting {
        struct ledger_request *items[2 * WAITING_MAX];
        size_t first, end;
        size_t told; /* of them: findings and events */
};

/* On the way to the ledger. */
struct outbox {
        struct waiting backlog;              /* not yet sent: there was no room */
        struct waiting retries;              /* refused, as the state disk could not take it; sent again by the clock */
        uint64_t numbered;                   /* so many were, as ledger_request.sequence */
        size_t out;                          /* sent, and not answered */
        uint64_t heard_us;                   /* monotonic: of the last answer, or of the request after a rest */
        uint64_t retried_us;                 /* likewise */
        unsigned late_looks;                 /* in a row */
        bool hung;                           /* it does not answer */
        uint64_t events_lost, findings_lost; /* that found no room since it was told last */
        bool again;                          /* findings are to be stored anew, those with higher ids than this one: */
        uint64_t again_after;
};

/* The disks that entries with `match` take. */
struct members {
        struct roster *roster;   /* NULL: not made yet */
        struct disk_list *disks; /* that were there at the last look; NULL: there was none */
        struct lookout *lookout; /* a look is under way */
        bool looked;             /* what is remembered and what is there are known */
        uint64_t sighted_us;     /* monotonic; when the paths of named devices were looked at last */
        bool changed;            /* there is something to look at */
        bool to_store;           /* `stored` is not on the disk yet */
        bool told_unstored;
        char *stored; /* the roster as text */
        char told_left_out[DISK_NAME_BYTES];
        uint64_t fingerprint, polled_us, event_us;
        sd_device_monitor *monitor; /* NULL: udev does not run */
};

/* What the plan of all devices stands on. */
struct planner {
        uint64_t seed;                      /* of this host */
        uint64_t awake_us;                  /* wall time; of agenda_question */
        uint64_t looked_us, looked_wall_us; /* monotonic and wall time of the last look; 0: none yet */
        uint64_t rated_us;                  /* monotonic; when rates were set last */
        uint64_t rate_again_us;             /* how long they hold */
};

struct manager {
        sd_event *event;
        char *config_file;
        struct settings_surroundings surroundings;
        char *state_directory;
        struct settings *settings;
        struct device **devices; /* those of the configuration first, in its order */
        size_t device_count;
        struct device **leaving; /* dropped by a reload while their sweep runs */
        size_t leaving_count;

        struct verify_pool *pool;
        struct finding_book *book;
        struct queue *news;
        int news_fd;
        struct ledger *ledger;
        struct queue *ledger_answers;
        int ledger_fd;
        struct outbox outbox;
        enum ledger_state ledger_state;
        char ledger_text[512];
        bool booted;          /* this daemon is the first one since the host was started, and not the first of all */
        bool ledger_was_read; /* false: it could not be read yet; what it remembers is missing */
        struct alerts *alerts;
        struct burst_book *bursts;
        uint64_t reminded_us; /* monotonic; of the last look for what is to be told again */
        struct queue *alerts_done;
        int alerts_fd;
        uint64_t events_folded; /* that found no room since the last that did */
        struct monitors *monitors;
        struct control *control;
        struct rescue_task *rescues[RESCUE_TASKS_MAX];
        int rescues_fd;
        struct orphans *orphans; /* NULL: not looked for yet */
        struct planner planner;
        bool some_ended;        /* sweeps, or recoveries, and nothing followed from that yet */
        bool pruning;           /* a request for it is on its way */
        uint64_t aged_us;       /* wall time; of ledger_load */
        uint64_t prune_next_us; /* monotonic */
        struct reload *reload;
        int reload_fd;
        struct call *reload_call;
        bool reload_again;
        struct control_options control_options;
        struct members members;
        int lookout_fd;

        sd_event_source *sources[8];
        size_t source_count;
        sd_event_source *clock;
        char notified[160]; /* the STATUS= that was told last */
        bool ready;
        bool stopping;
        uint64_t stopping_since_us; /* monotonic */
        uint64_t started_us, self_test_us;
        uint64_t next_job_id;
        uint64_t next_sweep_id, next_event_id;
};

/* manager.c */
struct device *manager_device(struct manager *m, const char *name);
struct device *manager_device_of_sweep(struct manager *m, uint64_t sweep_id);
/* The sweep of a device of that name, from before it was left out, still runs or puts originals back. */
bool manager_is_leaving(const struct manager *m, const char *name);
size_t manager_running(const struct manager *m);
bool manager_may_start(const struct manager *m, const struct device *d);
void manager_admit(struct manager *m);
void manager_set_clock(struct manager *m);
void manager_notify_status(struct manager *m);
void manager_ready(struct manager *m);
/* Devices may have come or gone: who is absent, and who may start. */
void manager_look(struct manager *m);
void manager_sweep_ended(struct manager *m, struct device *d);

/* members.c */
enum { MEMBERS_CLOSE_MS = 500 };

/* At the start: the devices of the configuration, and the disks that are there, unless a look at them takes long. */
int members_open(struct manager *m);
/* The devices as these settings and what is known of disks say. -ENOMEM: all is as before. */
int members_install(struct manager *m, const struct settings *s);
/* The last sweep of a device that had left is over: one that came back under its name meanwhile is remembered now. */
void members_has_left(struct manager *m, const char *name);
/* Has udev tell of disks that come and go, where it runs. */
void members_listen(struct manager *m);
/* A look is over. */
void members_handle(struct manager *m);
/* By the clock: begins a look where something may have changed. */
void members_look(struct manager *m, uint64_t now_us);
/* Notes which named devices have something else at their paths than before, so that it is looked at. */
void members_sight(struct manager *m);
/* The longest that the clock may wait. */
uint64_t members_wait_us(const struct manager *m, uint64_t wait_us);
/* False: there may be devices that are not known yet. */
bool members_are_known(const struct manager *m);
/* A disk that is missing is not waited for any longer. */
void members_retire(struct manager *m, const char *name);
/* False: a thread is stuck with a disk. */
bool members_close(struct manager *m);

/* admit.c */
/* The device whose turn it is to start; NULL: none may. */
struct device *admit_next(struct manager *m, uint64_t now_us);
/* What a queued device waits for. False: it is not known here. */
bool admit_explain(const struct manager *m, const struct device *d, struct reason *ret);
/* It was opened, and lies on that disk. */
void admit_identified(struct device *d, uint64_t disk);
/* Another one that is being swept, and shares a disk with this; NULL: none. */
const struct device *admit_same_disk(const struct manager *m, const struct device *d);

/* routes.c */
/* What the ledger remembers, of devices that are new to the daemon, too. False: no room, or no memory. */
bool routes_load(struct manager *m);
int routes_open(struct manager *m, bool lines_on_stderr);
void routes_handle_news(struct manager *m);
void routes_handle_ledger(struct manager *m);
void routes_handle_alerts(struct manager *m);
void routes_store_unbegun(struct manager *m, const struct device *d, enum sweep_end end, const struct reason *reason);
/* Ends all findings of a device, by order. It need not be configured any more. */
void routes_retire(struct manager *m, const char *device);
/* Ends the findings of devices that the configuration does not name any more, but for those whose last sweep still
 * runs. */
void routes_retire_departed(struct manager *m);
/* Ends the findings of the disk that was swept last, where another one has its place for certain. */
void routes_retire_replaced(struct manager *m, struct device *d);
/* What it remembers comes when it answers: until then the daemon goes on as with none. */
void routes_start_without_ledger(struct manager *m, const char *why);
/* How the ledger is; told where that has changed. */
void routes_note_ledger(struct manager *m, enum ledger_state state, const char *text);
/* Its sweep writes no more before the ledger can be used. */
bool routes_waits_for_ledger(const struct manager *m, const struct device *d);
/* Sweeps that wait for what the ledger knows of their targets go on without, or are refused. */
void routes_begin_without_past(struct manager *m, const char *why);
void routes_tell(struct manager *m, enum event_kind kind, int priority, const struct device *d,
        const struct finding *finding, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* A sweep of the device is over. */
void routes_tell_end(struct manager *m, int priority, const struct device *d, const struct sweep_record *sweep,
        const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A finding that is open, its turn, and where it is. */
void routes_tell_finding(
        struct manager *m, const struct device *d, const struct finding *finding, enum event_turn turn);
/* What was folded of the device; NULL: of any, where it is time. */
void routes_tell_sums(struct manager *m, const char *device, uint64_t monotonic_us);

void routes_store_finding(struct manager *m, const struct finding *finding);

/* outbox.c */
void outbox_open(struct manager *m);
/* In order, but for what is newer of the same thing. False: there is no room; the request is freed. */
bool outbox_send(struct manager *m, struct ledger_request *request);
/* Whether there is room for what follows from news of sweeps. */
bool outbox_takes_news(const struct manager *m);
/* The state disk does not answer: nobody should wait for it. */
bool outbox_hangs(const struct manager *m);
/* Something has come back from the ledger. */
void outbox_heard(struct manager *m);
/* A mark that was refused is sent again: its sweep goes on waiting. */
bool outbox_keeps(const struct manager *m, const struct ledger_request *mark);
/* Takes it over: frees it, or sends it again later. */
void outbox_answered(struct manager *m, struct ledger_request *request);
/* Sends what can be sent now. */
void outbox_go_on(struct manager *m, uint64_t monotonic_us);
/* The same by the clock, which also tells whether the ledger hangs. */
void outbox_look(struct manager *m, uint64_t monotonic_us);
/* The longest that the clock may wait. */
uint64_t outbox_wait_us(const struct manager *m, uint64_t wait_us);
/* Before the end: hands what still waits to the ledger, for as long as that takes it. */
void outbox_drain(struct manager *m, uint64_t limit_us);
void outbox_free(struct manager *m);

/* history.c */
/* By the clock: begins to take what is too old out of the ledger, where it is time. */
void history_look(struct manager *m, uint64_t monotonic_us, uint64_t wall_us);
/* A part of it was done, or could not be. */
void history_pruned(struct manager *m, const struct ledger_request *request);

/* reminders.c */
/* By the clock: tells again what is open, and what nobody looks at any more. */
void reminders_look(struct manager *m, uint64_t monotonic_us, uint64_t wall_us);
/* The longest that the clock may wait. */
uint64_t reminders_wait_us(const struct manager *m, uint64_t wait_us);

/* planner.c */
/* Once, before any device is asked what is planned. */
void planner_begin(struct manager *m);

/* A device is remembered; past: what the ledger has of it, or NULL. Whether it waited while the host was started. */
void planner_note_boot(const struct manager *m, struct device *d, const struct ledger_device *past);
/* Before anything is begun: where the clock was set, what is due by the new one waits for its turn. */
void planner_look_at_clock(struct manager *m, uint64_t monotonic_us, uint64_t wall_us);
/* Often: whether the clock was set, and whether rates have to be looked at again. */
void planner_look(struct manager *m, uint64_t monotonic_us, uint64_t wall_us);
/* Something has begun, ended or changed. */
void planner_set_rates(struct manager *m, uint64_t monotonic_us, uint64_t wall_us);

/* stopping.c */
/* Whether a daemon that was told to end so long ago waits for a sweep or a recovery. */
bool stopping_may_wait(const struct manager *m, uint64_t waited_us);

/* stalls.c */
/* Once a second: who hangs, who answers again, whose caller has waited long enough. */
void stalls_look(struct manager *m, uint64_t now_us);
/* Before a sweep's thread is joined: what hung has come back. */
void stalls_sweep_ended(struct manager *m, struct device *d);
/* What the kernel gives the device for a command: io_timeout is never less than twice that. */
void stalls_note_timeout(struct manager *m, struct device *d, uint64_t kernel_timeout_us);
/* What the daemon before this one left: which devices still have I/O of its process. */
void stalls_take_note(struct manager *m, const char *note);

/* requests.c */
void requests_handle(void *userdata, struct call *call, const struct control_request *request);
void requests_drained(void *userdata, struct call *call);
void requests_gone(void *userdata, struct call *call);
/* A page that was asked for has come; takes the request over. */
void requests_page(struct manager *m, struct ledger_request *page);
/* A configuration was read. */
void requests_reloaded(struct manager *m, const struct reload_result *result);

/* monitors.c */
int monitors_open(struct manager *m);
/* After the control socket: no call is open any more. */
void monitors_free(struct manager *m);
/* It has happened; its number is given. */
void monitors_note(struct manager *m, const struct event *event);
/* The ledger has all events up to this one that it will ever have. */
void monitors_stored(struct manager *m, uint64_t id);
void monitors_request(struct manager *m, struct call *call, const struct control_request *r);
/* Takes the answer to LEDGER_LIST_EVENTS over. */
void monitors_page(struct manager *m, struct ledger_request *page);
/* False: it is no call of Monitor. */
bool monitors_drained(struct manager *m, struct call *call);
void monitors_gone(struct manager *m, struct call *call);

/* orphans.c */
/* Looks for undo journals that hold something, and belong to no device that is configured. */
void orphans_look(struct manager *m);
void orphans_handle(struct manager *m); /* rescues_fd was signalled */
size_t orphans_count(const struct manager *m);
const char *orphans_journal(const struct manager *m, size_t index);
/* False: a thread is stuck with a disk. */
bool orphans_close(struct manager *m, uint64_t timeout_us);

/* rests.c */
/* The sweep has ended to be gone on with. Takes what the news has. */
void rests_begin(struct manager *m, struct device *d, struct news *news);
/* It won't be. */
void rests_end(struct manager *m, struct device *d, enum sweep_end end, const struct reason *reason);
/* What the ledger remembers of it. */
void rests_load(struct manager *m, struct device *d, struct ledger_device *past);
/* It leaves the configuration; or left it while no daemon ran. */
void rests_let_go(struct manager *m, struct device *d);
void rests_forget(struct manager *m, struct ledger_device *past);
/* The configuration is another one since: it is ended. */
void rests_drop_unfit(struct manager *m, struct device *d);
/* For the thread that goes on with it; heap. -ENOMEM. */
int rests_hand_over(struct manager *m, struct device *d, struct sweep_resume **ret);
void rests_fill_place(const struct device *d, const struct checkpoint *at, struct ledger_place *ret);
/* False: it can't be stored now. */
bool rests_store_intent(struct manager *m, struct device *d);
void rests_intent_stored(struct manager *m, const struct ledger_request *request);
uint64_t rests_count_findings(struct manager *m, const char *device, uint64_t sweep_id);
void rests_steer(struct device *d);
/* Windows close in mid-sweep, and open for what rests. */
void rests_look_at_windows(struct manager *m, uint64_t wall_us);
/* Until the window of a sweep that runs closes; UINT64_MAX: none does. */
uint64_t rests_window_wait_us(const struct device *d, uint64_t wall_us);
void rests_pause(struct manager *m, struct call *call, struct device *d);
void rests_resume(struct manager *m, struct call *call, struct device *d);

/* rescues.c */
void rescues_request(struct manager *m, struct call *call, const struct control_request *r);
/* Something has come from a journal, or a client has room for more of it. */
void rescues_handle(struct manager *m);
/* A call, of whatever kind, is dead. */
void rescues_gone(struct manager *m, struct call *call);
/* The device's undo journal is being changed: nobody else may open it. */
bool rescues_hold(const struct manager *m, const struct device *d);
/* False: a thread is stuck with a disk. */
bool rescues_close(struct manager *m, uint64_t timeout_us);
