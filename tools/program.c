/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program may hang, leave children behind, or talk for ever; whatever it does, the next event has its turn. Its end
 * alone is no sign that it is done, nor is the end of its output: so both are waited for, until the time is up, and
 * then its whole group goes. Who leaves the group is on its own: where only such a one holds the output, the program is
 * done, and by its exit status; it must not be run again for what it has delivered.
 */
#include "program.h"

#include "ctl.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        GRACE_S = 5,
        LISTEN_S = 1 /* to who has left the group; and between two looks at it */
};

struct program {
        const char *path;
        pid_t pid;
        int ended_fd; /* readable when it has ended */
        int output_fd;
        size_t said;
        bool cut;      /* it said more than it may */
        bool deserted; /* who holds its output has left its group */
};

/* 0, or an errno. */
static int spawn(pid_t *ret, const char *path, char *const *environment, int output_fd) {
        posix_spawnattr_t attributes;
        posix_spawn_file_actions_t actions;
        char *const argv[] = { (char *)path, NULL };
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        int error = posix_spawnattr_init(&attributes);
        if (error != 0)
                return error;
        error = posix_spawn_file_actions_init(&actions);
        if (error == 0) {
                posix_spawnattr_setflags(
                        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
                posix_spawnattr_setpgroup(&attributes, 0);
                posix_spawnattr_setsigmask(&attributes, &none);
                posix_spawnattr_setsigdefault(&attributes, &all);
                error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
                if (error == 0)
                        error = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
                if (error == 0)
                        error = posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
                if (error == 0)
                        error = posix_spawn(ret, path, &actions, &attributes, argv, environment);
                posix_spawn_file_actions_destroy(&actions);
        }
        posix_spawnattr_destroy(&attributes);
        return error;
}

static bool start(struct program *p, char *const *environment) {
        int pipe_fds[2];
        if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
                ctl_complain("%s cannot be run: %s", p->path, strerror(errno));
                return false;
        }
        int error = spawn(&p->pid, p->path, environment, pipe_fds[1]);
        close_fd(pipe_fds[1]);
        p->output_fd = pipe_fds[0];
        if (error != 0) {
                close_fd(p->output_fd);
                ctl_complain("%s cannot be run: %s", p->path, strerror(error));
                return false;
        }
        p->ended_fd = pidfd_open(p->pid, 0);
        if (p->ended_fd >= 0)
                return true;
        ctl_complain("%s cannot be watched, and was ended: %s", p->path, strerror(errno));
        (void)kill(-p->pid, SIGKILL);
        (void)waitpid(p->pid, NULL, 0);
        close_fd(p->output_fd);
        return false;
}

/* Some of what it says. At the end of it output_fd is -1. */
static void take_output(struct program *p) {
        char text[4096];
        ssize_t n = read(p->output_fd, text, sizeof text);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                close_fd(p->output_fd);
                p->output_fd = -1;
                return;
        }
        size_t room = PROGRAM_OUTPUT_MAX - p->said, taken = MIN((size_t)n, room);
        (void)!write(STDERR_FILENO, text, taken);
        p->said += taken;
        p->cut |= taken < (size_t)n;
}

enum wanted { ITS_END, ITS_SILENCE /* and its end */ };

/* False: the time was up first. */
static bool attend(struct program *p, enum wanted wanted, uint64_t end_us) {
        while (p->ended_fd >= 0 || (wanted == ITS_SILENCE && p->output_fd >= 0)) {
                uint64_t now_us = clock_monotonic_us();
                if (now_us >= end_us)
                        return false;
                struct pollfd fds[] = { { .fd = p->ended_fd, .events = POLLIN },
                        { .fd = p->output_fd, .events = POLLIN } };
                if (poll(fds, ELEMENTS(fds), (int)((end_us - now_us) / 1000 + 1)) <= 0)
                        continue;
                if (fds[1].revents)
                        take_output(p);
                if (fds[0].revents) {
                        close_fd(p->ended_fd);
                        p->ended_fd = -1;
                }
        }
        return true;
}

static bool is_alive_in(const char *pid, pid_t group) {
        char path[64], text[512];
        snprintf(path, sizeof path, "/proc/%s/stat", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        ssize_t n = read(fd, text, sizeof text - 1);
        close_fd(fd);
        text[MAX(n, 0)] = 0;
        /* Its name may hold anything, and ends with the last bracket (proc_pid_stat(5)). */
        const char *rest = strrchr(text, ')');
        char state;
        int its_group;
        return rest && sscanf(rest, ") %c %*d %d", &state, &its_group) == 2 && its_group == group && state != 'Z';
}

/* The program itself, ended but not waited for, keeps the number of its group from being given again, and kill(2) can't
 * tell it from one that lives. True where it can't be told. */
static bool group_lives(pid_t group) {
        DIR *processes = opendir("/proc");
        bool lives = !processes;
        const struct dirent *entry;
        while (!lives && (entry = readdir(processes)))
                lives = isdigit((unsigned char)entry->d_name[0]) && is_alive_in(entry->d_name, group);
        if (processes)
                closedir(processes);
        return lives;
}

/* Until it has ended, and its output, or all but those who left its group. False: the time was up first. */
static bool finish(struct program *p, uint64_t end_us) {
        if (!attend(p, ITS_END, end_us))
                return false;
        for (;;) {
                uint64_t look_us = clock_monotonic_us() + LISTEN_S * USEC_PER_SEC;
                bool alone = !group_lives(p->pid);
                if (attend(p, ITS_SILENCE, alone ? look_us : MIN(look_us, end_us)))
                        return true;
                p->deserted = alone;
                if (alone)
                        return true;
                if (clock_monotonic_us() >= end_us && group_lives(p->pid))
                        return false;
        }
}

static bool judge(const struct program *p, bool in_time, unsigned limit_s) {
        int status = 0;
        while (waitpid(p->pid, &status, 0) < 0)
                if (errno != EINTR)
                        break;
        if (p->cut)
                ctl_complain("%s said more than %d bytes; the rest is left out", p->path, PROGRAM_OUTPUT_MAX);
        if (p->deserted)
                ctl_complain("%s left a process behind that holds its output; what that says from now on is left out",
                        p->path);
        if (!in_time)
                ctl_complain("%s, or what it left behind, was ended after %u s", p->path, limit_s);
        else if (WIFSIGNALED(status))
                ctl_complain("%s was ended by signal %d", p->path, WTERMSIG(status));
        else if (WEXITSTATUS(status) != 0)
                ctl_complain("%s failed with exit status %d", p->path, WEXITSTATUS(status));
        return in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool program_run(const char *path, char *const *environment, unsigned limit_s) {
        struct program p = { .path = path, .ended_fd = -1, .output_fd = -1 };
        if (!start(&p, environment))
                return false;
        bool in_time = finish(&p, clock_monotonic_us() + limit_s * USEC_PER_SEC);
        if (!in_time) {
                (void)kill(-p.pid, SIGTERM);
                if (!attend(&p, ITS_SILENCE, clock_monotonic_us() + GRACE_S * USEC_PER_SEC))
                        (void)kill(-p.pid, SIGKILL);
        }
        close_fd(p.ended_fd);
        close_fd(p.output_fd);
        return judge(&p, in_time, limit_s);
}
