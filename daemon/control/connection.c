/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client may send anything in pieces of any size, never read what it asked for, or vanish between two bytes. What
 * could go wrong: memory without end (a message without an end, replies that nobody takes), a stack without end (a
 * reply that starts the next request, that replies, ...), and a connection that is freed while somebody is still
 * talking to it. So both directions have limits, the next message is always handed over from the event loop, and a
 * connection ends only there: everything else just says what it wants (settle() then does it).
 */
#include "control/connection.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define FIRST_MESSAGE_US (5 * USEC_PER_SEC)
#define STALL_US         (10 * USEC_PER_SEC)

struct connection {
        struct connection_handlers handlers;
        int fd;
        sd_event_source *stream;
        sd_event_source *turn;     /* deferred: hands over the next message */
        sd_event_source *deadline; /* of the first message, later of a peer that does not read */
        bool deadline_runs;

        char input[CONNECTION_MESSAGE_BYTES_MAX + 1];
        size_t input_bytes;
        size_t scanned_bytes; /* no NUL among the first so many */
        bool heard;           /* a whole message has come */
        bool ended;           /* the peer sends no more */
        bool deaf;            /* the peer takes no more */

        char *output;
        size_t output_size, output_from, output_to; /* queued: [from, to) */
        bool filled;                                /* on_drained is owed */
        bool moved;                                 /* some of it was taken since settle() looked last */

        bool busy; /* a message was handed over, and connection_next() is awaited */
        bool finishing;
        bool cut;
};

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *userdata);
static int on_turn(sd_event_source *source, void *userdata);
static int on_deadline(sd_event_source *source, uint64_t at_us, void *userdata);

DEFINE_FREEP(struct connection, connection_free, connection_freep)

int connection_new(struct connection **ret, sd_event *event, int fd, const struct connection_handlers *handlers) {
        CLEANUP(connection_freep)
        struct connection *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->fd = -1;
        c->handlers = *handlers;
        int r = sd_event_add_io(event, &c->stream, fd, EPOLLIN, on_stream, c);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &c->turn, on_turn, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->turn, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &c->deadline, CLOCK_MONOTONIC, FIRST_MESSAGE_US, 0, on_deadline, c);
        if (r < 0)
                return r;
        c->deadline_runs = true;
        c->fd = fd; /* from here on it is ours to close */
        *ret = STEAL(c);
        return 0;
}

struct connection *connection_free(struct connection *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->stream);
        sd_event_source_disable_unref(c->turn);
        sd_event_source_disable_unref(c->deadline);
        close_fd(c->fd);
        free(c->output);
        free(c);
        return NULL;
}

static size_t queued(const struct connection *c) {
        return c->output_to - c->output_from;
}

/* One more byte than the longest message without an end among them: a message all the same, to be refused. */
static bool has_message(struct connection *c) {
        if (c->finishing)
                return false;
        const char *end = memchr(c->input + c->scanned_bytes, '\0', c->input_bytes - c->scanned_bytes);
        c->scanned_bytes = end ? (size_t)(end - c->input) : c->input_bytes;
        return end || c->input_bytes == sizeof c->input;
}

static bool is_over(struct connection *c) {
        if (c->cut)
                return true;
        if (c->deaf && c->busy)
                return true;
        if (queued(c) > 0 || c->busy)
                return false;
        return c->finishing || (c->ended && !has_message(c));
}

/* A peer that goes on reading, however slowly, starts the span anew. */
static int settle_deadline(struct connection *c) {
        bool moved = c->moved;
        c->moved = false;
        bool wanted = !c->heard || c->finishing || queued(c) > CONNECTION_STALLED_BYTES;
        if (!wanted) {
                c->deadline_runs = false;
                return sd_event_source_set_enabled(c->deadline, SD_EVENT_OFF);
        }
        if (c->deadline_runs && !moved)
                return 0;
        c->deadline_runs = true;
        int r = sd_event_source_set_time_relative(c->deadline, STALL_US);
        return r < 0 ? r : sd_event_source_set_enabled(c->deadline, SD_EVENT_ONESHOT);
}

static int settle_sources(struct connection *c) {
        bool reads = !c->ended && !c->finishing && c->input_bytes < sizeof c->input;
        uint32_t events = (reads ? EPOLLIN : 0) | (queued(c) > 0 ? EPOLLOUT : 0);
        int r = sd_event_source_set_io_events(c->stream, events);
        if (r < 0)
                return r;
        bool turn = !c->busy && !c->filled && has_message(c);
        r = sd_event_source_set_enabled(c->turn, turn ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        return r < 0 ? r : settle_deadline(c);
}

/* The last act of each handler: waits for what can come next, or ends the connection. */
static void settle(struct connection *c) {
        if (is_over(c) || settle_sources(c) < 0)
                c->handlers.on_gone(c->handlers.userdata); /* c is freed */
}

/* Has settle() called soon, from the event loop. */
static void arrange(struct connection *c) {
        (void)sd_event_source_set_enabled(c->turn, SD_EVENT_ONESHOT); /* fails only after a fork */
}

static void receive(struct connection *c) {
        if (c->input_bytes == sizeof c->input || c->ended)
                return;
        ssize_t n = recv(c->fd, c->input + c->input_bytes, sizeof c->input - c->input_bytes, MSG_DONTWAIT);
        if (n < 0)
                c->cut = c->cut || (errno != EAGAIN && errno != EINTR);
        else if (n == 0)
                c->ended = true;
        else
                c->input_bytes += (size_t)n;
        c->heard = c->heard || has_message(c);
}

static void transmit(struct connection *c) {
        ssize_t n = send(c->fd, c->output + c->output_from, queued(c), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
                c->cut = c->cut || (errno != EAGAIN && errno != EINTR);
                return;
        }
        c->moved = true;
        c->output_from += (size_t)n;
        if (queued(c) == 0)
                c->output_from = c->output_to = 0;
        if (c->filled && queued(c) < CONNECTION_DRAINED_BYTES) {
                c->filled = false;
                c->handlers.on_drained(c->handlers.userdata);
        }
}

/* Nobody is there to read, but what was asked for before that (oneway, perhaps) is still to be done. */
static void stop_sending(struct connection *c) {
        c->deaf = true;
        c->filled = false;
        c->output_from = c->output_to = 0;
}

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct connection *c = userdata;
        if (events & (EPOLLHUP | EPOLLERR))
                stop_sending(c);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(c);
        if (!c->cut && queued(c) > 0)
                transmit(c);
        settle(c);
        return 0;
}

/* Moves what follows the message to the front. */
static void consume(struct connection *c, size_t bytes) {
        assert(bytes <= c->input_bytes);
        c->input_bytes -= bytes;
        c->scanned_bytes = 0;
        memmove(c->input, c->input + bytes, c->input_bytes);
}

static int on_turn(sd_event_source *source, void *userdata) {
        struct connection *c = userdata;
        if (!c->cut && !c->busy && !c->filled && has_message(c)) {
                size_t length = c->scanned_bytes;
                c->heard = true;
                c->busy = true;
                c->handlers.on_message(c->handlers.userdata, c->input, length);
                consume(c, MIN(length + 1, c->input_bytes));
        }
        settle(c);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t at_us, void *userdata) {
        struct connection *c = userdata;
        c->handlers.on_gone(c->handlers.userdata);
        return 0;
}

/* Room for so many more bytes at the end of the queue. */
static int make_room(struct connection *c, size_t bytes) {
        size_t used = queued(c);
        if (bytes > CONNECTION_QUEUE_BYTES_MAX - used)
                return -ENOBUFS;
        if (c->output_from > 0) {
                memmove(c->output, c->output + c->output_from, used);
                c->output_from = 0;
                c->output_to = used;
        }
        if (used + bytes <= c->output_size)
                return 0;
        size_t size = MAX(used + bytes, MIN(2 * c->output_size, (size_t)CONNECTION_QUEUE_BYTES_MAX));
        char *output = realloc(c->output, size);
        if (!output)
                return -ENOMEM;
        c->output = output;
        c->output_size = size;
        return 0;
}

void connection_send(struct connection *c, const char *text) {
        size_t bytes = strlen(text) + 1;
        arrange(c);
        if (c->cut || c->deaf)
                return;
        if (c->output_size - c->output_to < bytes && make_room(c, bytes) < 0) {
                c->cut = true;
                return;
        }
        memcpy(c->output + c->output_to, text, bytes);
        c->output_to += bytes;
        c->filled = c->filled || queued(c) > CONNECTION_FULL_BYTES;
}

bool connection_is_full(const struct connection *c) {
        return c->filled || c->cut || c->deaf;
}

void connection_next(struct connection *c) {
        assert(c->busy);
        c->busy = false;
        arrange(c);
}

void connection_finish(struct connection *c) {
        c->finishing = true;
        arrange(c);
}

void connection_cut(struct connection *c) {
        c->cut = true;
        arrange(c);
}
