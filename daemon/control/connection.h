/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: one client's byte stream, cut into messages that end with NUL (varlink.org, "Wire format"), and the
 * queue of what is on its way back. Keeps the limits of design 12. Knows nothing of what the messages mean.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct connection;

enum {
        CONNECTION_MESSAGE_BYTES_MAX = 64 << 10,
        CONNECTION_FULL_BYTES = 256 << 10,    /* from here on: send no more for now */
        CONNECTION_DRAINED_BYTES = 64 << 10,  /* and down to here: go on */
        CONNECTION_STALLED_BYTES = 2 << 20,   /* a peer that lets more than this lie is cut off */
        CONNECTION_QUEUE_BYTES_MAX = 16 << 20 /* a sender that does not heed "full" loses the connection */
};

/*
 * on_message: a message without its NUL, borrowed for the time of the function; where length_bytes is over
 * CONNECTION_MESSAGE_BYTES_MAX, the beginning of one that is too long. No other comes before connection_next().
 * on_drained: it was full, and has room again. on_gone: it is over; the owner frees it in this function. All come
 * from the event loop, never out of a function below.
 */
struct connection_handlers {
        void (*on_message)(void *userdata, const char *text, size_t length_bytes);
        void (*on_drained)(void *userdata);
        void (*on_gone)(void *userdata);
        void *userdata;
};

/* Takes the descriptor over on success; it must be non-blocking. Negative errno. */
int connection_new(struct connection **ret, sd_event *event, int fd, const struct connection_handlers *handlers);

/* Without on_gone. Accepts NULL; returns NULL. */
struct connection *connection_free(struct connection *c);

/* Queues a message; its NUL is added. Where that can't be done, the connection is cut off. */
void connection_send(struct connection *c, const char *text);

/* True: wait for on_drained, or on_gone, before sending more. */
bool connection_is_full(const struct connection *c);

/* The message that was handed over is dealt with; the next may come. */
void connection_next(struct connection *c);

/* Takes nothing more, and ends when all that is queued was sent. */
void connection_finish(struct connection *c);

/* Ends without sending what is queued. */
void connection_cut(struct connection *c);
