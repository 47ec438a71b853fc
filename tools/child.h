/* SPDX-License-Identifier: Apache-2.0 */
/* child: runs another program in the foreground of the terminal. */
#pragma once

/*
 * Looks it up in PATH, gives it stdin_fd as its input, and waits for its end; meanwhile, and afterwards, the keys that
 * interrupt are its own. *ret_status: what waitpid(2) gives. 0, or negative errno where it could not be started.
 */
int child_run(int *ret_status, char *const *argv, int stdin_fd);
