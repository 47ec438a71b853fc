/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ctrl-C is for the program that has the terminal: if it ended us, the shell and that program would fight over it. And
 * what we ignore it must not inherit, or nobody could end it.
 */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* 0, or an errno. */
static int start(pid_t *ret, char *const *argv, int stdin_fd) {
        posix_spawnattr_t attributes;
        posix_spawn_file_actions_t actions;
        sigset_t keys;
        sigemptyset(&keys);
        sigaddset(&keys, SIGINT);
        sigaddset(&keys, SIGQUIT);
        int error = posix_spawnattr_init(&attributes);
        if (error != 0)
                return error;
        error = posix_spawn_file_actions_init(&actions);
        if (error == 0) {
                posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
                posix_spawnattr_setsigdefault(&attributes, &keys);
                error = posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO);
                if (error == 0)
                        error = posix_spawnp(ret, argv[0], &actions, &attributes, argv, environ);
                posix_spawn_file_actions_destroy(&actions);
        }
        posix_spawnattr_destroy(&attributes);
        return error;
}

int child_run(int *ret_status, char *const *argv, int stdin_fd) {
        signal(SIGINT, SIG_IGN);
        signal(SIGQUIT, SIG_IGN);
        pid_t pid;
        int error = start(&pid, argv, stdin_fd), status = 0;
        if (error != 0)
                return -error;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        *ret_status = status;
        return 0;
}
