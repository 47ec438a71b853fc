/* SPDX-License-Identifier: Apache-2.0 */
/* client: a Varlink client on a Unix stream socket: JSON objects, each ended by a NUL, one call at a time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct client;

enum {
        CLIENT_OK,
        CLIENT_E_CLOSED,   /* the other side went away */
        CLIENT_E_GARBAGE,  /* what came is no Varlink reply */
        CLIENT_E_TOO_LONG, /* a reply past CLIENT_MESSAGE_MAX */
        CLIENT_E_TIMEOUT   /* nothing came or went for CLIENT_TIMEOUT_S */
};

enum { CLIENT_MESSAGE_MAX = 4 << 20, CLIENT_TIMEOUT_S = 30 };

/* error: the name of the error, or NULL; it points into message. parameters: always an object, owned by message. */
struct reply {
        json_t *message;
        const char *error;
        json_t *parameters;
        bool continues;
};

/* Negative errno of connect(2); -ENAMETOOLONG for a path that no socket can have. */
int client_open(struct client **ret, const char *socket_path);

/* Accepts NULL; returns NULL. */
struct client *client_free(struct client *c);

/* parameters is borrowed. more: several replies are welcome. CLIENT_E_CLOSED, CLIENT_E_TIMEOUT, negative errno. */
int client_send(struct client *c, const char *method, json_t *parameters, bool more);

/* The next reply to the last call; reply_deinit() it. Any value of the enum, or negative errno. */
int client_receive(struct client *c, struct reply *ret);

void reply_deinit(struct reply *reply);
