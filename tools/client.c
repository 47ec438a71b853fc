/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody else may answer on the socket, or a broken daemon: whatever comes is bounded, parsed strictly and given up
 * on at the first doubt. A daemon that stops in mid-reply must not hold the user for ever, hence the timeouts.
 */
#include "client.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

struct client {
        int fd;
        char *buffer;
        size_t room, used;
        size_t scanned; /* this many bytes of the buffer are known to hold no NUL */
};

DEFINE_FREEP(struct client, client_free, client_freep)

static int limit_waiting(int fd) {
        struct timeval limit = { .tv_sec = CLIENT_TIMEOUT_S };
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
                return -errno;
        return 0;
}

int client_open(struct client **ret, const char *socket_path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = strlen(socket_path);
        if (length >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        memcpy(address.sun_path, socket_path, length + 1);
        CLEANUP(client_freep)
        struct client *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return -errno;
        int r = limit_waiting(c->fd);
        if (r < 0)
                return r;
        if (connect(c->fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        *ret = STEAL(c);
        return 0;
}

struct client *client_free(struct client *c) {
        if (!c)
                return NULL;
        close_fd(c->fd);
        free(c->buffer);
        free(c);
        return NULL;
}

/* The values of the enum that an errno of send(2) or recv(2) stands for. */
static int client_error(int error) {
        switch (error) {
        case EAGAIN:
                return CLIENT_E_TIMEOUT;
        case EPIPE:
        case ECONNRESET:
                return CLIENT_E_CLOSED;
        default:
                return -error;
        }
}

static int send_all(int fd, const char *data, size_t length) {
        while (length > 0) {
                ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EPIPE) /* why it hung up may be there to be read */
                        return 0;
                if (n < 0)
                        return client_error(errno);
                data += n;
                length -= (size_t)n;
        }
        return 0;
}

static void unrefp(json_t **p) {
        json_decref(*p);
}

int client_send(struct client *c, const char *method, json_t *parameters, bool more) {
        assert(json_is_object(parameters));
        CLEANUP(unrefp)
        json_t *message = json_pack("{s:s, s:O}", "method", method, "parameters", parameters);
        if (!message || (more && json_object_set_new(message, "more", json_true()) < 0))
                return -ENOMEM;
        CLEANUP_FREE char *text = json_dumps(message, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        return send_all(c->fd, text, strlen(text) + 1);
}

/* Reads once more into the buffer, which grows as needed. */
static int fill(struct client *c) {
        if (c->used == c->room) {
                if (c->room >= CLIENT_MESSAGE_MAX)
                        return CLIENT_E_TOO_LONG;
                size_t room = c->room ? 2 * c->room : (size_t)64 * 1024;
                char *buffer = realloc(c->buffer, room);
                if (!buffer)
                        return -ENOMEM;
                c->buffer = buffer;
                c->room = room;
        }
        ssize_t n;
        do
                n = recv(c->fd, c->buffer + c->used, c->room - c->used, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return client_error(errno);
        c->used += (size_t)n;
        return n == 0 ? CLIENT_E_CLOSED : CLIENT_OK;
}

/* Takes a reply apart. The reference to message moves to *ret on success only. */
static int reply_from(struct reply *ret, json_t *message) {
        if (!json_is_object(message))
                return CLIENT_E_GARBAGE;
        json_t *error = json_object_get(message, "error");
        json_t *parameters = json_object_get(message, "parameters");
        json_t *continues = json_object_get(message, "continues");
        if ((error && !json_is_string(error)) || (continues && !json_is_boolean(continues)))
                return CLIENT_E_GARBAGE;
        if (!parameters || json_is_null(parameters)) {
                parameters = json_object();
                if (!parameters || json_object_set_new(message, "parameters", parameters) < 0)
                        return -ENOMEM;
        }
        if (!json_is_object(parameters))
                return CLIENT_E_GARBAGE;
        *ret = (struct reply){ .message = message,
                .error = json_string_value(error),
                .parameters = parameters,
                .continues = json_is_true(continues) };
        return CLIENT_OK;
}

static int parse_first(struct client *c, size_t length, struct reply *ret) {
        json_error_t where;
        json_t *message = json_loadb(c->buffer, length, JSON_REJECT_DUPLICATES, &where);
        if (!message)
                return json_error_code(&where) == json_error_out_of_memory ? -ENOMEM : CLIENT_E_GARBAGE;
        int r = reply_from(ret, message);
        if (r != CLIENT_OK)
                json_decref(message);
        return r;
}

int client_receive(struct client *c, struct reply *ret) {
        for (;;) {
                char *end = c->used > c->scanned ? memchr(c->buffer + c->scanned, '\0', c->used - c->scanned) : NULL;
                if (end) {
                        size_t length = (size_t)(end - c->buffer);
                        int r = parse_first(c, length, ret);
                        c->used -= length + 1;
                        memmove(c->buffer, end + 1, c->used);
                        c->scanned = 0;
                        return r;
                }
                c->scanned = c->used;
                int r = fill(c);
                if (r != CLIENT_OK)
                        return r;
        }
}

void reply_deinit(struct reply *reply) {
        json_decref(reply->message);
        *reply = (struct reply){ 0 };
}
