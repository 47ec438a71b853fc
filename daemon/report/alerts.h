/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alerts: tells people: the journal where there is one, else syslog(3), and readable lines on stderr when the daemon is
 * run by hand. A thread of its own: the only one that may block on the journal's or syslog's socket.
 */
#pragma once

#include "model/event.h"

#include <stdbool.h>
#include <stddef.h>

struct alerts;
struct queue;

struct alerts_options {
        const char *journal_socket; /* normally ALERTS_JOURNAL_SOCKET; where nothing listens, syslog is used */
        bool lines_on_stderr;       /* run by hand */
        size_t capacity;            /* events that may wait */
        struct queue *done;         /* each event comes back here when it was delivered (borrowed) */
};

#define ALERTS_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* -ENOMEM, -EAGAIN. */
int alerts_new(struct alerts **ret, const struct alerts_options *options);

/* The event (heap) belongs to alerts until it comes back through `done`. False: full, nothing was taken. */
bool alerts_send(struct alerts *alerts, struct event *event);

/* Delivers what was sent, ends and joins the thread; -ETIMEDOUT as in ledger_free(). Accepts NULL. */
int alerts_free(struct alerts *alerts, uint64_t timeout_us);
