/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program may hang, leave children behind, or talk for ever; whatever it does, the next event has its turn. Its end
 * alone is no sign that it is done, nor is the end of its output: so both are waited for, until the time is up, and
 * then its whole group goes. Who leaves the group and closes the output is on its own.
 */
#include "program.h"

#include "ctl.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_S = 5 };

struct program {
        const char *path;
        pid_t pid;
        int ended_fd; /* readable when it has ended */
        int output_fd;
        size_t said;
        bool cut; /* it said more than it may */
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

/* Until it has ended and nobody holds its output any more. False: the time was up first. */
static bool attend(struct program *p, unsigned limit_s) {
        uint64_t end_us = clock_monotonic_us() + limit_s * USEC_PER_SEC;
        while (p->ended_fd >= 0 || p->output_fd >= 0) {
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

static bool judge(const struct program *p, bool in_time, unsigned limit_s) {
        int status = 0;
        while (waitpid(p->pid, &status, 0) < 0)
                if (errno != EINTR)
                        break;
        if (p->cut)
                ctl_complain("%s said more than %d bytes; the rest is left out", p->path, PROGRAM_OUTPUT_MAX);
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
        bool in_time = attend(&p, limit_s);
        if (!in_time) {
                (void)kill(-p.pid, SIGTERM);
                if (!attend(&p, GRACE_S))
                        (void)kill(-p.pid, SIGKILL);
        }
        close_fd(p.ended_fd);
        close_fd(p.output_fd);
        return judge(&p, in_time, limit_s);
}
