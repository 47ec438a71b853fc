/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the parts, starts what is due, and takes everything down again. What could go wrong: a sweep that is started
 * twice, a reload that pulls the configuration away from under a running one, and an end that waits for a disk that
 * never answers. So a device has at most one thread, devices that leave stay until their sweep has ended, and the end
 * has a limit.
 */
#include "manager_private.h"

#include "base/cpus.h"
#include "control/interface_text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#define STOP_LIMIT_US     (4 * USEC_PER_SEC)
#define JOB_IDS           (UINT64_C(1) << 62) /* of what is no sweep: never stored */
#define CLOSE_LIMIT_US    (500 * USEC_PER_MSEC)
#define BUSY_TICK_US      USEC_PER_SEC        /* while something runs: for rates */
#define IDLE_TICK_US      (10 * USEC_PER_SEC) /* devices that came or went */
#define CLOCK_ACCURACY_US USEC_PER_MSEC       /* a window closes to the block */

struct device *manager_device(struct manager *m, const char *name) {
        for (size_t i = 0; i < m->device_count; i++)
                if (strcmp(m->devices[i]->config->name, name) == 0)
                        return m->devices[i];
        return NULL;
}

struct device *manager_device_of_sweep(struct manager *m, uint64_t sweep_id) {
        for (size_t i = 0; i < m->device_count; i++)
                if (m->devices[i]->thread && m->devices[i]->sweep_id == sweep_id)
                        return m->devices[i];
        for (size_t i = 0; i < m->leaving_count; i++)
                if (m->leaving[i]->sweep_id == sweep_id)
                        return m->leaving[i];
        return NULL;
}

size_t manager_running(const struct manager *m) {
        size_t running = m->leaving_count;
        for (size_t i = 0; i < m->device_count; i++)
                running += m->devices[i]->thread != NULL;
        return running;
}

static size_t count_attention(struct manager *m, uint64_t wall_us) {
        size_t n = 0;
        for (size_t i = 0; i < m->device_count; i++) {
                struct device_record record;
                struct finding_counts counts = finding_book_counts(m->book, m->devices[i]->config->name);
                device_fill_record(m->devices[i], &record, &counts, wall_us);
                n += record.needs_attention;
        }
        return n;
}

/* Told only when it changes: whoever listens may be slow, and each message may wait for it. */
void manager_notify_status(struct manager *m) {
        char text[sizeof m->notified];
        if (!m->ready || m->stopping)
                return;
        if (m->device_count == 0)
                text_copy(text, sizeof text,
                        "STATUS=Idle: no devices are configured. To see what there is: sweepd --list-disks");
        else
                text_format(text, sizeof text, "STATUS=Devices: %zu, %zu sweeping, %zu need attention", m->device_count,
                        manager_running(m), count_attention(m, clock_wall_us()));
        if (strcmp(text, m->notified) == 0)
                return;
        text_copy(m->notified, sizeof m->notified, text);
        sd_notify(0, text);
}

static uint64_t job_id(struct manager *m, const struct device *d) {
        if (d->to_recover)
                return JOB_IDS + m->next_job_id++;
        if (d->resume)
                return d->resume->record.id;
        return d->wish.wanted ? d->wish.sweep_id : m->next_sweep_id++;
}

/* Somebody wants it to go on now. */
static void take_over_wish(struct device *d) {
        if (!d->wish.wanted)
                return;
        d->resume->by_hand = true;
        if (!d->wish.overwrite)
                return;
        free(d->resume->overwrite);
        d->resume->overwrite = STEAL(d->wish.overwrite);
}

/* A sweep; but first of all, once, a look into the device's undo journal. */
static int start(struct manager *m, struct device *d) {
        bool resumes = d->resume && !d->to_recover;
        bool looks = device_next_look_us(d, clock_wall_us()) != SCHEDULE_NEVER;
        if (resumes)
                take_over_wish(d);
        const char *overwrite = resumes ? d->resume->overwrite : d->wish.overwrite;
        struct sweep_thread_options options = {
                .id = looks ? JOB_IDS + m->next_job_id++ : job_id(m, d),
                .config = d->config,
                .mode = resumes          ? d->resume->record.mode
                        : d->wish.wanted ? d->wish.mode
                                         : d->config->mode,
                .patterns = resumes      ? d->resume->record.patterns
                        : d->wish.wanted ? d->wish.patterns
                                         : d->config->patterns,
                .overwrite = overwrite,
                .recover_only = d->to_recover,
                .by_hand = d->by_hand,
                .look_only = looks,
                .state_dir = m->settings->state_dir,
                .pool = m->pool,
                .news = m->news,
        };
        int r = resumes ? rests_hand_over(m, d, &options.resume) : 0;
        if (r == 0)
                r = sweep_thread_start(&d->thread, &options);
        if (r < 0) {
                sweep_resume_free(options.resume);
                return r;
        }
        d->sweep_id = options.id;
        d->started_by_hand = d->wish.wanted || (resumes && d->resume->by_hand);
        free(d->running_overwrite);
        d->running_overwrite = overwrite ? strdup(overwrite) : NULL;
        d->recovering = options.recover_only;
        d->recovery_id = 0;
        d->running_config = device_config_ref(d->config);
        d->running_mode = options.mode;
        d->running_patterns = options.patterns;
        d->started_us = resumes ? d->resume->record.started_us : clock_wall_us();
        bool sweeps = !options.recover_only && !looks;
        if (sweeps && !resumes)
                d->began_us = clock_monotonic_us();
        if (sweeps)
                d->plan.after_boot = false;
        d->wish.begun_us = clock_monotonic_us();
        d->stall = (struct device_stall){ 0 };
        d->hung = false;
        d->under_way = false;
        d->looking = d->refused = looks; /* until it is seen not to be */
        if (looks)                       /* whatever comes of it */
                d->look_again_us = clock_wall_us() + DEVICE_LOOK_AGAIN_US;
        d->awaits_mark = 0;
        d->requests_before = m->outbox.numbered;
        d->order = SWEEP_RUN;
        d->rate = (struct device_rate){ 0 };
        return 0;
}

bool manager_is_leaving(const struct manager *m, const char *name) {
        for (size_t i = 0; i < m->leaving_count; i++)
                if (strcmp(m->leaving[i]->config->name, name) == 0)
                        return true;
        return false;
}

bool manager_may_start(const struct manager *m, const struct device *d) {
        return !d->thread && !d->absent && !d->unremembered && d->held_by_pid == 0 && !rescues_hold(m, d) &&
                !manager_is_leaving(m, d->config->name) && (d->to_recover || device_may_sweep(d));
}

/* Starts as many as may start now. */
void manager_admit(struct manager *m) {
        struct device *d;
        bool started = false;
        if (!m->ready || m->stopping)
                return;
        planner_look_at_clock(m, clock_monotonic_us(), clock_wall_us());
        for (size_t i = 0; i < m->device_count; i++)
                rests_drop_unfit(m, m->devices[i]);
        while ((d = admit_next(m, clock_wall_us())) != NULL) {
                int r = start(m, d);
                started |= r == 0;
                if (r == 0)
                        continue;
                routes_tell(m, EVENT_DAEMON, LOG_ERR, d, NULL, "a sweep could not be started: %s", strerror(-r));
                break;
        }
        if (started)
                planner_set_rates(m, clock_monotonic_us(), clock_wall_us());
}

static void forget_leaving(struct manager *m, struct device *d) {
        for (size_t i = 0; i < m->leaving_count; i++)
                if (m->leaving[i] == d) {
                        char name[DEVICE_NAME_BYTES];
                        text_copy(name, sizeof name, d->config->name);
                        m->leaving[i] = m->leaving[--m->leaving_count];
                        device_free(d);
                        members_has_left(m, name);
                        routes_retire_departed(m);
                        orphans_look(m);
                        return;
                }
}

/* Who asked for a start while an undo journal was being looked into need not wait for admission as well. */
static void answer_queued(struct manager *m) {
        for (size_t i = 0; i < m->device_count; i++) {
                struct device *d = m->devices[i];
                if (d->wish.call && !d->thread)
                        call_reply_sweep_id(STEAL(d->wish.call), d->wish.sweep_id);
        }
}

static void drop_wish(struct manager *m, struct device *d) {
        bool stored = d->wish.wanted;
        device_drop_wish(d);
        if (stored)
                rests_store_intent(m, d);
}

/* Nothing will come of what was asked for. */
static bool is_over(const struct device *d, bool of_before) {
        return d->order > SWEEP_PAUSE || (d->order == SWEEP_RUN && of_before);
}

void manager_sweep_ended(struct manager *m, struct device *d) {
        bool unheard = d->wish.wanted && !d->wish.call;
        bool recovered = d->recovering,
             of_before = !d->recovering && !d->refused; /* the wish is what the thread was started for */
        d->thread = sweep_thread_join(d->thread);
        if (strcmp(d->running_config->path, d->config->path) != 0)
                device_estrange(d);
        d->running_config = device_config_unref(d->running_config);
        d->under_way = d->recovering = d->looking = d->refused = d->by_hand = false;
        d->placed = false; /* until it is opened again its path counts */
        if (d->order == SWEEP_CANCEL && d->resume && !recovered)
                rests_end(m, d, END_CANCELLED, &(struct reason){ 0 });
        else if (d->order == SWEEP_CANCEL && unheard) /* whoever has its number can ask what became of it */
                routes_store_unbegun(m, d, END_CANCELLED, NULL);
        if (d->wish.call && is_over(d, of_before)) /* it never got as far as being refused */
                call_fail_not_running(STEAL(d->wish.call), d->config->name);
        if (d->order == SWEEP_CANCEL || d->order == SWEEP_GIVE_UP)
                drop_wish(m, d);
        d->hung = false;
        forget_leaving(m, d);
        if (m->stopping) { /* the clock has the limit for the others */
                if (manager_running(m) == 0)
                        sd_event_exit(m->event, 0);
                return;
        }
        m->some_ended = true;
}

/* Once for all that ended at the same time: each look at the plan asks of every device. */
static void follow_ended(struct manager *m) {
        if (!m->some_ended || m->stopping)
                return;
        m->some_ended = false;
        planner_set_rates(m, clock_monotonic_us(), clock_wall_us());
        manager_admit(m);
        answer_queued(m);
}

static void look_for_absent(struct manager *m) {
        for (size_t i = 0; i < m->device_count; i++) {
                struct device *d = m->devices[i];
                struct stat st;
                if (d->thread || !device_is_watched(d))
                        continue;
                d->absent = d->config->key ? d->unseen : stat(d->config->path, &st) < 0;
                if (d->absent)
                        device_note_absent(d, clock_monotonic_us(), clock_wall_us());
                else
                        device_note_present(d);
                if (d->absent == d->announced_absent)
                        continue;
                d->announced_absent = d->absent;
                d->placed = false;
                if (d->absent)
                        routes_tell(m, EVENT_DEVICE_MISSING, LOG_WARNING, d, NULL, "there is no device at %s",
                                d->config->path);
                else
                        routes_tell(
                                m, EVENT_DEVICE_BACK, LOG_NOTICE, d, NULL, "the device at %s is back", d->config->path);
        }
}

void manager_look(struct manager *m) {
        members_sight(m);
        members_look(m, clock_monotonic_us());
        look_for_absent(m);
        planner_set_rates(m, clock_monotonic_us(), clock_wall_us());
        manager_admit(m);
        manager_notify_status(m);
        manager_set_clock(m);
}

static int on_clock(sd_event_source *source, uint64_t usec, void *userdata) {
        struct manager *m = userdata;
        uint64_t monotonic_us = clock_monotonic_us();
        if (m->stopping) {
                stalls_look(m, monotonic_us);
                if (stopping_may_wait(m, monotonic_us - m->stopping_since_us))
                        sd_event_source_set_time(m->clock, monotonic_us + BUSY_TICK_US);
                else
                        sd_event_exit(m->event, 0);
                return sd_event_source_set_enabled(m->clock, SD_EVENT_ONESHOT);
        }
        if (!m->ready) { /* the ledger is being read: nothing else can begin before */
                outbox_look(m, monotonic_us);
                manager_set_clock(m);
                return 0;
        }
        members_look(m, monotonic_us);
        look_for_absent(m);
        stalls_look(m, monotonic_us);
        for (size_t i = 0; i < m->device_count; i++)
                device_sample_rate(m->devices[i], monotonic_us);
        planner_look(m, monotonic_us, clock_wall_us());
        rests_look_at_windows(m, clock_wall_us());
        outbox_look(m, monotonic_us);
        routes_tell_sums(m, NULL, monotonic_us);
        reminders_look(m, monotonic_us, clock_wall_us());
        history_look(m, monotonic_us, clock_wall_us());
        manager_admit(m);
        manager_notify_status(m);
        manager_set_clock(m);
        return 0;
}

/* Not later than the next device is due, and often enough for rates and for devices that come and go. */
void manager_set_clock(struct manager *m) {
        uint64_t now_us = clock_wall_us(), wait_us = manager_running(m) > 0 ? BUSY_TICK_US : IDLE_TICK_US, set_us;
        wait_us = reminders_wait_us(m, outbox_wait_us(m, members_wait_us(m, wait_us)));
        if (m->stopping) /* the clock has the limit for that */
                return;
        for (size_t i = 0; i < m->device_count; i++) {
                wait_us = MIN(wait_us, rests_window_wait_us(m->devices[i], now_us));
                if (m->devices[i]->held_by_pid > 0)
                        wait_us = MIN(wait_us, BUSY_TICK_US);
                uint64_t start_us = MIN(
                        device_next_start_us(m->devices[i], now_us), device_next_look_us(m->devices[i], now_us));
                if (manager_may_start(m, m->devices[i]) && start_us > now_us)
                        wait_us = MIN(wait_us, start_us - now_us);
        }
        /* Never later than it was: news that keep coming must not keep the clock from coming. */
        uint64_t next_us = clock_monotonic_us() + wait_us;
        if (sd_event_source_get_enabled(m->clock, NULL) > 0 && sd_event_source_get_time(m->clock, &set_us) >= 0)
                next_us = MIN(next_us, set_us);
        sd_event_source_set_time(m->clock, next_us);
        sd_event_source_set_enabled(m->clock, SD_EVENT_ONESHOT);
}

static void drain(int fd) {
        eventfd_t unused;
        (void)eventfd_read(fd, &unused);
}

static int on_news(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct manager *m = userdata;
        drain(fd);
        routes_handle_news(m);
        follow_ended(m);
        manager_set_clock(m);
        return 0;
}

static int on_ledger(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        drain(fd);
        routes_handle_ledger(userdata);
        follow_ended(userdata);
        return 0;
}

static int on_alerts(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        drain(fd);
        routes_handle_alerts(userdata);
        return 0;
}

static int on_lookout(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        drain(fd);
        members_handle(userdata);
        return 0;
}

static int on_rescues(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        drain(fd);
        rescues_handle(userdata);
        orphans_handle(userdata);
        return 0;
}

static const char *needs_restart(const struct settings *old, const struct settings *new) {
        bool same = strcmp(old->state_dir, new->state_dir) == 0 &&
                strcmp(old->control_socket, new->control_socket) == 0 &&
                old->workers == new->workers &&CPU_EQUAL(&old->cpus, &new->cpus);
        return same ? "" : "; what changed of state_dir, control_socket and verify counts from the next start on";
}

/* What state_dir, socket and workers say counts from the next start on. */
static int adopt_settings(struct manager *m, struct settings *settings) {
        int r = members_install(m, settings);
        if (r < 0)
                return r;
        m->members.changed = true;
        text_copy(settings->state_dir, sizeof settings->state_dir, m->settings->state_dir);
        text_copy(settings->control_socket, sizeof settings->control_socket, m->settings->control_socket);
        settings->workers = m->settings->workers;
        settings->cpus = m->settings->cpus;
        settings_free(m->settings);
        m->settings = settings;
        return 0;
}

static void tell_invalid(struct manager *m, const struct settings_error *error) {
        char place[SETTINGS_PLACE_BYTES];
        settings_error_place(place, error);
        routes_tell(m, EVENT_DAEMON, LOG_ERR, NULL, NULL, "%s: %s (what was running goes on as it was)", place,
                error->text);
}

static int on_reload(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct manager *m = userdata;
        struct reload_result result;
        drain(fd);
        if (!m->reload)
                return 0;
        m->reload = reload_finish(m->reload, &result);
        const char *later = result.status == SETTINGS_OK ? needs_restart(m->settings, result.settings) : "";
        if (result.status == SETTINGS_OK)
                result.status = adopt_settings(m, result.settings);
        if (result.status < 0) {
                result.error = (struct settings_error){ 0 };
                text_copy(result.error.file, sizeof result.error.file, m->config_file);
                text_copy(result.error.text, sizeof result.error.text, strerror(-result.status));
        }
        if (result.status == SETTINGS_OK) {
                routes_retire_departed(m);
                orphans_look(m);
        }
        if (result.status == SETTINGS_OK)
                routes_tell(m, EVENT_DAEMON, LOG_NOTICE, NULL, NULL, "configuration read, devices: %zu%s",
                        m->device_count, later);
        else
                tell_invalid(m, &result.error);
        sd_notify(0, "READY=1");
        if (!m->reload_again) /* else whoever waits may mean what is read only now */
                requests_reloaded(m, &result);
        manager_look(m);
        if (m->reload_again) {
                m->reload_again = false;
                manager_reload(m);
        }
        return 0;
}

void manager_reload(struct manager *m) {
        if (m->reload) { /* what is being read may be older than what was asked for */
                m->reload_again = true;
                return;
        }
        sd_notify(0, "RELOADING=1");
        int r = reload_start(&m->reload, m->config_file, &m->surroundings, m->reload_fd);
        if (r < 0) {
                struct reload_result failed = { .status = r };
                text_copy(failed.error.file, sizeof failed.error.file, m->config_file);
                text_copy(failed.error.text, sizeof failed.error.text, strerror(-r));
                requests_reloaded(m, &failed);
        }
}

void manager_stop(struct manager *m) {
        if (m->stopping)
                return;
        m->stopping = true;
        sd_notify(0, "STOPPING=1\nSTATUS=Stopping the sweeps");
        for (size_t i = 0; i < m->device_count; i++)
                if (m->devices[i]->thread) {
                        m->devices[i]->order = SWEEP_STOP;
                        sweep_thread_order(m->devices[i]->thread, SWEEP_STOP);
                }
        if (manager_running(m) == 0) {
                sd_event_exit(m->event, 0);
                return;
        }
        m->stopping_since_us = clock_monotonic_us();
        sd_event_source_set_time(m->clock, m->stopping_since_us + STOP_LIMIT_US);
        sd_event_source_set_enabled(m->clock, SD_EVENT_ONESHOT);
}

/* The ledger has been read, or does not answer: now the control socket opens, and what is due begins. */
void manager_ready(struct manager *m) {
        int r = control_new(&m->control, &m->control_options);
        if (r != CONTROL_OK) {
                routes_tell(m, EVENT_DAEMON, LOG_CRIT, NULL, NULL, "the control socket %s can't be opened: %s",
                        m->control_options.socket_path,
                        r == CONTROL_E_IN_USE ? "another daemon answers on it" : strerror(-r));
                sd_event_exit(m->event, 1);
                return;
        }
        planner_begin(m);
        m->ready = true;
        routes_tell(m, EVENT_DAEMON, LOG_INFO, NULL, NULL, "sweepd %s started, devices: %zu, verify workers: %u",
                SWEEPD_VERSION, m->device_count, verify_pool_workers(m->pool));
        sd_notify(0, "READY=1");
        orphans_look(m);
        members_listen(m);
        manager_look(m);
}

static int add_io(struct manager *m, int fd, sd_event_io_handler_t handler) {
        assert(m->source_count < ELEMENTS(m->sources));
        int r = sd_event_add_io(m->event, &m->sources[m->source_count], fd, EPOLLIN, handler, m);
        if (r >= 0)
                m->source_count++;
        return r;
}

static int open_fds(struct manager *m) {
        int *const fds[] = { &m->news_fd, &m->ledger_fd, &m->alerts_fd, &m->reload_fd, &m->rescues_fd, &m->lookout_fd };
        for (size_t i = 0; i < ELEMENTS(fds); i++) {
                *fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                if (*fds[i] < 0)
                        return -errno;
        }
        return 0;
}

static int listen_to_all(struct manager *m) {
        int r = add_io(m, m->news_fd, on_news);
        if (r >= 0)
                r = add_io(m, m->ledger_fd, on_ledger);
        if (r >= 0)
                r = add_io(m, m->alerts_fd, on_alerts);
        if (r >= 0)
                r = add_io(m, m->reload_fd, on_reload);
        if (r >= 0)
                r = add_io(m, m->rescues_fd, on_rescues);
        if (r >= 0)
                r = add_io(m, m->lookout_fd, on_lookout);
        if (r >= 0)
                r = sd_event_add_time(m->event, &m->clock, CLOCK_BOOTTIME, UINT64_MAX, CLOCK_ACCURACY_US, on_clock, m);
        return MIN(r, 0);
}

/* Sweeps, which verify by themselves while that keeps up, may run where this thread may; the workers test themselves.
 */
static int start_verifying(struct manager *m, const struct settings *settings, char *missed) {
        cpu_set_t cpus;
        int r = cpus_of_this_thread(&cpus);
        if (r == 0)
                r = self_test_run_on(&cpus, missed);
        if (r == SELF_TEST_OK)
                r = verify_pool_new(&m->pool, settings->workers, &settings->cpus);
        if (r == 0)
                r = verify_pool_self_test(m->pool, missed);
        if (r == SELF_TEST_OK)
                m->self_test_us = clock_wall_us();
        return r > 0 ? MANAGER_E_SELF_TEST : r;
}

static int build(struct manager *m, struct settings *settings, const struct manager_options *options, char *missed) {
        m->config_file = strdup(options->config_file);
        if (!m->config_file)
                return -ENOMEM;
        if (options->surroundings->state_directory) {
                m->state_directory = strdup(options->surroundings->state_directory);
                if (!m->state_directory)
                        return -ENOMEM;
                m->surroundings.state_directory = m->state_directory;
        }
        int r = open_fds(m);
        if (r < 0)
                return r;
        r = listen_to_all(m);
        if (r < 0)
                return r;
        r = start_verifying(m, settings, missed);
        if (r != 0)
                return r;
        m->settings = settings; /* ours from here on */
        r = routes_open(m, options->lines_on_stderr);
        if (r >= 0)
                r = members_open(m);
        if (r < 0)
                return r;
        stalls_take_note(m, options->note);
        manager_set_clock(m);
        return 0;
}

static void manager_freep(struct manager **m) {
        manager_free(*m);
}

int manager_new(struct manager **ret, struct settings *settings, const struct manager_options *options,
        char missed[static SELF_TEST_TEXT_BYTES]) {
        CLEANUP(manager_freep)
        struct manager *m = calloc(1, sizeof *m);
        if (!m)
                return -ENOMEM;
        m->news_fd = m->ledger_fd = m->alerts_fd = m->reload_fd = m->rescues_fd = m->lookout_fd = -1;
        m->event = sd_event_ref(options->event);
        m->surroundings = *options->surroundings;
        m->started_us = clock_wall_us();
        m->next_sweep_id = m->next_event_id = 1;
        m->control_options = (struct control_options){
                .event = options->event,
                .socket_path = settings->control_socket,
                .listen_fd = options->listen_fd,
                .interface_text = interface_text_sweepd,
                .version = SWEEPD_VERSION,
                .url = "https://sweepd.io",
                .handlers = { requests_handle, requests_drained, requests_gone, m },
        };
        int r = build(m, settings, options, missed);
        if (r != 0) {
                m->settings = NULL; /* still the caller's */
                return r;
        }
        *ret = STEAL(m);
        return 0;
}

/* Sweeps that did not end are stuck with their disk; their threads, and what those use, are left alone. */
static bool free_devices(struct manager *m) {
        bool all = true;
        for (size_t i = 0; i < m->device_count; i++) {
                if (m->devices[i] && m->devices[i]->thread)
                        all = false;
                else
                        device_free(m->devices[i]);
        }
        all &= m->leaving_count == 0;
        return all;
}

static void free_queue(struct queue *q, void (*free_item)(void *)) {
        void *item;
        while (q && queue_try_pop(q, &item, 1) == 1)
                free_item(item);
        queue_free(q);
}

static void free_news_item(void *item) {
        news_free(item);
}

static void free_request_item(void *item) {
        ledger_request_free(item);
}

bool manager_free(struct manager *m) {
        if (!m)
                return true;
        m->control = control_free(m->control);
        bool all = free_devices(m);
        all &= rescues_close(m, CLOSE_LIMIT_US);
        all &= members_close(m);
        all &= orphans_close(m, CLOSE_LIMIT_US);
        if (m->ledger) {
                routes_tell_sums(m, NULL, UINT64_MAX);
                routes_handle_alerts(m); /* may have something to say, which goes to the ledger, too */
                outbox_drain(m, CLOSE_LIMIT_US);
        }
        all &= ledger_free(m->ledger, CLOSE_LIMIT_US) == 0;
        all &= alerts_free(m->alerts, CLOSE_LIMIT_US) == 0;
        if (m->reload)
                all = false;
        if (!all)
                return false;
        for (size_t i = 0; i < m->source_count; i++)
                sd_event_source_unref(m->sources[i]);
        sd_event_source_unref(m->clock);
        verify_pool_free(m->pool);
        finding_book_free(m->book);
        burst_book_free(m->bursts);
        monitors_free(m);
        free_queue(m->news, free_news_item);
        free_queue(m->ledger_answers, free_request_item);
        free_queue(m->alerts_done, free);
        outbox_free(m);
        int fds[] = { m->news_fd, m->ledger_fd, m->alerts_fd, m->reload_fd, m->rescues_fd, m->lookout_fd };
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                close_fd(fds[i]);
        settings_free(m->settings);
        free(m->devices);
        free(m->leaving);
        free(m->state_directory);
        free(m->config_file);
        sd_event_unref(m->event);
        free(m);
        return true;
}
