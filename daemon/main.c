/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process: options, the lock on the state directory, signals, the event loop. Two daemons on one ledger would tell
 * each other's writes apart by nothing, so the lock comes before all else; and a daemon that is stuck with a dead disk
 * gives the lock back by hand, as the kernel won't let its descriptors go.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/text.h"
#include "list_disks.h"
#include "manager.h"
#include "plan/settings.h"
#include "recover.h"
#include "simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

enum { NOTE_BYTES = 16 << 10 };

#define SIMULATE_MAX_US (3650 * USEC_PER_DAY)

static const char default_config[] = "/etc/sweepd/sweepd.conf";

static const char help[] = "sweepd [OPTION...]\n"
                           "\n"
                           "Finds failing storage by scheduled sweeps over block devices.\n"
                           "\n"
                           "  --config FILE    the configuration (default: /etc/sweepd/sweepd.conf)\n"
                           "  --check-config   check the configuration, say what is wrong with it, and end\n"
                           "  --simulate SPAN  that, and print what the plan would do in, say, 90d\n"
                           "  --now TIME       with it: from then on, such as 2026-03-01T12:00, local time\n"
                           "  --list-disks     print the disks, with an entry for each, and end;\n"
                           "                   PATH... behind it: these alone\n"
                           "  --recover        put back what undo journals hold of devices, and end\n"
                           "  --version        print the version\n"
                           "  --help           print this\n"
                           "\n"
                           "It runs in the foreground; systemd does the rest.\n"
                           "See sweepd(8) and sweepd.conf(5).\n";

struct options {
        const char *config;
        bool check_config, list_disks, recover;
        uint64_t simulate_us, now_us; /* 0: not given */
};

enum { OPTIONS_GO_ON, OPTIONS_DONE, OPTIONS_WRONG };

static bool take_span(uint64_t *ret, const char *text) {
        if (text_parse_span(ret, text) == 0 && *ret >= USEC_PER_HOUR && *ret <= SIMULATE_MAX_US)
                return true;
        fprintf(stderr, "--simulate: '%s' is no span from 1h to 3650d: write it like 90d.\n", text);
        return false;
}

static bool take_time(uint64_t *ret, const char *text) {
        if (simulate_parse_time(ret, text) == 0)
                return true;
        fprintf(stderr, "--now: '%s' is no time: write it like 2026-03-01T12:00.\n", text);
        return false;
}

static int parse_options(struct options *ret, int argc, char **argv) {
        enum { CONFIG = 256, CHECK_CONFIG, SIMULATE, NOW, LIST_DISKS, RECOVER, VERSION, HELP };
        static const struct option known[] = {
                { "config", required_argument, NULL, CONFIG },
                { "check-config", no_argument, NULL, CHECK_CONFIG },
                { "simulate", required_argument, NULL, SIMULATE },
                { "now", required_argument, NULL, NOW },
                { "list-disks", no_argument, NULL, LIST_DISKS },
                { "recover", no_argument, NULL, RECOVER },
                { "version", no_argument, NULL, VERSION },
                { "help", no_argument, NULL, HELP },
                { 0 },
        };
        *ret = (struct options){ .config = default_config };
        int c;
        while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0)
                switch (c) {
                case CONFIG:
                        ret->config = optarg;
                        break;
                case CHECK_CONFIG:
                        ret->check_config = true;
                        break;
                case SIMULATE:
                        if (!take_span(&ret->simulate_us, optarg))
                                return OPTIONS_WRONG;
                        ret->check_config = true;
                        break;
                case NOW:
                        if (!take_time(&ret->now_us, optarg))
                                return OPTIONS_WRONG;
                        break;
                case LIST_DISKS:
                        ret->list_disks = true;
                        break;
                case RECOVER:
                        ret->recover = true;
                        break;
                case VERSION:
                        puts("sweepd " SWEEPD_VERSION);
                        return OPTIONS_DONE;
                case HELP:
                        fputs(help, stdout);
                        return OPTIONS_DONE;
                default:
                        fputs("See: sweepd --help\n", stderr);
                        return OPTIONS_WRONG;
                }
        if (ret->now_us > 0 && ret->simulate_us == 0) {
                fputs("--now belongs to --simulate, which is not given. See: sweepd --help\n", stderr);
                return OPTIONS_WRONG;
        }
        if (optind < argc && !ret->list_disks) {
                fprintf(stderr, "sweepd takes no argument, but got '%s'. See: sweepd --help\n", argv[optind]);
                return OPTIONS_WRONG;
        }
        return OPTIONS_GO_ON;
}

static int load(struct settings **ret, const char *file, const struct settings_surroundings *surroundings) {
        struct settings_error error = { 0 };
        int r = settings_load(ret, &error, file, surroundings);
        if (r == SETTINGS_OK)
                return 0;
        char place[SETTINGS_PLACE_BYTES];
        settings_error_place(place, &error);
        if (r < 0)
                fprintf(stderr, "%s: %s\n", file, strerror(-r));
        else
                fprintf(stderr, "%s: %s\n", place, error.text);
        return -1;
}

/* One daemon for a state directory. The descriptor holds the lock; -1: it was said why not. */
static int lock_state(const char *state_dir) {
        char path[PATH_MAX + 8];
        text_format(path, sizeof path, "%s/lock", state_dir);
        if (mkdir(state_dir, 0700) < 0 && errno != EEXIST) {
                fprintf(stderr, "The state directory %s can't be created: %s. Create it, or set state_dir.\n",
                        state_dir, strerror(errno));
                return -1;
        }
        CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                fprintf(stderr, "%s can't be opened: %s. Let sweepd run as the owner of its state directory.\n", path,
                        strerror(errno));
                return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                fprintf(stderr, "Another sweepd is using the state directory %s. End it, or set another state_dir.\n",
                        state_dir);
                return -1;
        }
        return STEAL_FD(fd);
}

/* The control socket, where systemd hands one over. -1: none; -2: something else was handed over. */
static int inherited_socket(void) {
        int n = sd_listen_fds(1);
        if (n <= 0)
                return -1;
        if (n == 1 && sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_STREAM, 1) > 0)
                return SD_LISTEN_FDS_START;
        fputs("sweepd was handed something else than one listening Unix stream socket: see sweepd.socket.\n", stderr);
        return -2;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        struct manager *m = userdata;
        if (si->ssi_signo == SIGHUP)
                manager_reload(m);
        else
                manager_stop(m);
        return 0;
}

static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

/* Before any thread is started, so that none of them takes a signal. */
static void block_signals(void) {
        sigset_t set;
        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTS(signals); i++)
                sigaddset(&set, signals[i]);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGPIPE, SIG_IGN);
}

static int listen_to_signals(sd_event *event, struct manager *m) {
        for (size_t i = 0; i < ELEMENTS(signals); i++) {
                int r = sd_event_add_signal(event, NULL, signals[i], on_signal, m);
                if (r < 0)
                        return r;
        }
        return sd_event_set_watchdog(event, true);
}

/* Pages are locked as they are used: a system disk that hangs must not be able to page the daemon out. */
static void lock_memory(void) {
        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                fprintf(stderr,
                        "Memory is not locked: %s. A system disk that hangs may stop sweepd: set LimitMEMLOCK=infinity.\n",
                        strerror(errno));
}

/* What lies in the file of the lock: which devices still have I/O of a daemon that has ended. */
static void read_note(int lock_fd, char *note, size_t note_bytes) {
        ssize_t n = pread(lock_fd, note, note_bytes - 1, 0);
        note[MAX(n, 0)] = '\0';
}

static void leave_note(int lock_fd, const char *note) {
        size_t length = strlen(note);
        if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, note, length, 0) != (ssize_t)length)
                fputs("The next daemon could not be told which disks are stuck.\n", stderr);
}

static void unrefp(sd_event **event) {
        *event = sd_event_unref(*event);
}

static void say_why_not(int error, const char *missed) {
        if (error == MANAGER_E_SELF_TEST)
                fprintf(stderr,
                        "sweepd can't start: %s. Its verdicts would be worth nothing. Install sweepd anew; if that does "
                        "not help, have this machine's CPU and memory tested, or leave the CPU out: CPUAffinity= of the "
                        "service.\n",
                        missed);
        else
                fprintf(stderr, "sweepd can't start: %s\n", strerror(-error));
}

static int run(struct settings *settings, const char *config, const struct settings_surroundings *surroundings) {
        CLEANUP(unrefp)
        sd_event *event = NULL;
        struct manager *m;
        char missed[SELF_TEST_TEXT_BYTES];
        int lock_fd = lock_state(settings->state_dir);
        int listen_fd = inherited_socket();
        if (lock_fd < 0 || listen_fd < -1) {
                settings_free(settings);
                return EXIT_FAILURE;
        }
        char note[NOTE_BYTES];
        read_note(lock_fd, note, sizeof note);
        bool had_note = note[0];
        block_signals();
        lock_memory();
        struct manager_options options = {
                .config_file = config,
                .surroundings = surroundings,
                .note = note,
                .listen_fd = listen_fd,
                .lines_on_stderr = !getenv("INVOCATION_ID"),
        };
        int r = sd_event_new(&event);
        options.event = event;
        if (r >= 0)
                r = manager_new(&m, settings, &options, missed);
        if (r != 0) {
                say_why_not(r, missed);
                settings_free(settings);
                return EXIT_FAILURE;
        }
        r = listen_to_signals(event, m);
        if (r >= 0)
                r = sd_event_loop(event);
        manager_note(m, note, sizeof note);
        bool all = manager_free(m);
        if (had_note || note[0]) /* the state disk itself may hang: it is left alone where there is nothing to tell */
                leave_note(lock_fd, note);
        flock(lock_fd, LOCK_UN);
        close_fd(lock_fd);
        if (!all) {
                fputs("A disk does not give its I/O back; the process ends when the kernel lets it.\n", stderr);
                _exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The lock keeps a daemon away, which does the same by itself. */
static int recover(struct settings *settings) {
        CLEANUP_CLOSE int lock_fd = lock_state(settings->state_dir);
        int r = lock_fd < 0 ? 1 : recover_all(settings);
        if (r < 0)
                fprintf(stderr, "sweepd can't recover: %s\n", strerror(-r));
        settings_free(settings);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* No configuration is needed, nor one that is right: it only tells where the daemon would keep its own. */
static int list(const char *config, const struct settings_surroundings *surroundings, char *const *only) {
        struct settings *settings = NULL;
        struct settings_error unused;
        const char *directory = surroundings->state_directory;
        bool known = settings_load(&settings, &unused, config, surroundings) == SETTINGS_OK;
        int r = list_disks(known ? settings->state_dir : directory && *directory ? directory : "/var/lib/sweepd", only);
        if (r < 0)
                fprintf(stderr, "The disks can't be listed: %s\n", strerror(-r));
        settings_free(settings);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
        struct options options;
        struct settings_surroundings surroundings = { .state_directory = getenv("STATE_DIRECTORY") };
        struct settings *settings;
        tzset();
        switch (parse_options(&options, argc, argv)) {
        case OPTIONS_DONE:
                return EXIT_SUCCESS;
        case OPTIONS_WRONG:
                return EXIT_FAILURE;
        }
        if (cpus_of_this_thread(&surroundings.cpus) < 0) {
                fputs("The CPUs that sweepd may run on can't be told.\n", stderr);
                return EXIT_FAILURE;
        }
        if (options.list_disks)
                return list(options.config, &surroundings, argv + optind);
        if (load(&settings, options.config, &surroundings) < 0)
                return EXIT_FAILURE;
        if (options.recover && !options.check_config)
                return recover(settings);
        if (!options.check_config)
                return run(settings, options.config, &surroundings);
        printf("%s: fine, %zu device%s", options.config, settings->device_count,
                settings->device_count == 1 ? "" : "s");
        if (settings->match_count > 0)
                printf(", and those that %zu entr%s with match take%s", settings->match_count,
                        settings->match_count == 1 ? "y" : "ies", settings->match_count == 1 ? "s" : "");
        putchar('\n');
        uint64_t now_us = options.now_us ? options.now_us : clock_wall_us();
        int r = options.simulate_us > 0 ? simulate(settings, now_us, options.simulate_us)
                                        : simulate_warn(settings, now_us);
        if (r < 0)
                fprintf(stderr, "The plan can't be simulated: %s\n", strerror(-r));
        settings_free(settings);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
