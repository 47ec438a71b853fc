/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer is collected whole, in memory, and only then shown: so a pager that is not there, or dies, costs nothing,
 * a complaint is not overdrawn by it, and the exit status is that of the command. A pager can start other programs; as
 * root it is asked not to.
 */
#include "pager.h"

#include "base/cleanup.h"
#include "child.h"
#include "ctl.h"
#include "page.h"
#include "paint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

bool pager_begin(struct pager *p, bool wanted) {
        *p = (struct pager){ .terminal_fd = -1 };
        if (!wanted || !isatty(STDOUT_FILENO))
                return true;
        CLEANUP_CLOSE int text_fd = memfd_create("answer", MFD_CLOEXEC);
        CLEANUP_CLOSE int terminal_fd = dup(STDOUT_FILENO);
        if (text_fd < 0 || terminal_fd < 0 || dup2(text_fd, STDOUT_FILENO) < 0) {
                ctl_complain("cannot collect the answer: %s", strerror(errno));
                return false;
        }
        p->terminal_fd = STEAL_FD(terminal_fd);
        page_set_output(p->terminal_fd);
        return true;
}

/* NULL: there should be none. "": nobody has chosen one. */
static const char *chosen_pager(void) {
        const char *chosen = getenv("SWEEPCTL_PAGER");
        if (!chosen)
                chosen = getenv("PAGER");
        if (!chosen) /* less stops to complain of a terminal that can do too little */
                return paint_possible(page_output()) ? "" : NULL;
        return *chosen && strcmp(chosen, "cat") != 0 ? chosen : NULL;
}

/* False: nobody has seen the text. */
static bool run_pager(const char *chosen, int text_fd) {
        char *shell[] = { (char *)"sh", (char *)"-c", (char *)chosen, NULL };
        char *less[] = { (char *)"less", (char *)"-FRSX", NULL };
        int status;
        if (geteuid() == 0)
                setenv("LESSSECURE", "1", 1);
        if (child_run(&status, *chosen ? shell : less, text_fd) < 0)
                return false;
        /* The statuses by which a shell says that it could not run the program. */
        return !WIFEXITED(status) || (WEXITSTATUS(status) != 127 && WEXITSTATUS(status) != 126);
}

static bool copy_to_terminal(int text_fd) {
        char buffer[64 * 1024];
        ssize_t n = lseek(text_fd, 0, SEEK_SET);
        while (n >= 0 && (n = read(text_fd, buffer, sizeof buffer)) > 0)
                for (ssize_t done = 0, w; done < n; done += w) {
                        w = write(STDOUT_FILENO, buffer + done, (size_t)(n - done));
                        if (w < 0)
                                return false;
                }
        return n == 0;
}

bool pager_end(struct pager *p) {
        if (p->terminal_fd < 0)
                return true;
        CLEANUP_CLOSE int terminal_fd = STEAL_FD(p->terminal_fd);
        CLEANUP_CLOSE int text_fd = dup(STDOUT_FILENO);
        page_set_output(STDOUT_FILENO);
        if (text_fd < 0 || dup2(terminal_fd, STDOUT_FILENO) < 0) {
                ctl_complain("cannot show the answer: %s", strerror(errno));
                return false;
        }
        const char *chosen = chosen_pager();
        if (lseek(text_fd, 0, SEEK_END) == 0)
                return true;
        if (chosen && lseek(text_fd, 0, SEEK_SET) == 0 && run_pager(chosen, text_fd))
                return true;
        if (!copy_to_terminal(text_fd)) {
                ctl_complain("cannot show the answer: %s", strerror(errno));
                return false;
        }
        return true;
}
