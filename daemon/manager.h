/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager: routes between the parts: news of sweeps to the ledger, the finding book and the alerts; the ledger's
 * acknowledgements back to sweeps and devices; what is due to new sweeps. It owns the parts and no policy.
 */
#pragma once

#include "plan/settings.h"
#include "sweep/self_test.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

struct manager;

struct manager_options {
        sd_event *event;
        const char *config_file;
        const struct settings_surroundings *surroundings;
        const char *note;     /* what the daemon before this one left by manager_note() */
        int listen_fd;        /* control socket from systemd, or -1 */
        bool lines_on_stderr; /* run by hand */
};

enum { MANAGER_OK, MANAGER_E_SELF_TEST };

/*
 * settings: taken over on success. Starts all threads; ready when the ledger has been read. Negative errno.
 * MANAGER_E_SELF_TEST: damage that was planted was missed; the text says what, and on which CPU.
 */
int manager_new(struct manager **ret, struct settings *settings, const struct manager_options *options,
        char missed[static SELF_TEST_TEXT_BYTES]);

/* SIGHUP. The outcome is told as an event. */
void manager_reload(struct manager *m);

/* SIGTERM: stops the sweeps, and ends the event loop when they have ended or time is up. */
void manager_stop(struct manager *m);

/* Which devices have I/O that did not come back, of this process or of one before it: for the next daemon. */
void manager_note(const struct manager *m, char *note, size_t note_bytes);

/*
 * Ends what can be ended. False: a thread is stuck in the kernel with a disk that does not answer; everything else is
 * closed and durable, and the process must end by _exit(). Accepts NULL.
 */
bool manager_free(struct manager *m);
