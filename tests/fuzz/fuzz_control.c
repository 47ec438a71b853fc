/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all from a client: each message gets exactly one end, and no call is left open behind a peer that has
 * gone. The first byte says who is asking and in which pieces the rest comes. Without the listening socket, whose rate
 * limit would be all that is measured.
 */
#include "base/cleanup.h"
#include "control/connection.h"
#include "control/interface_text.h"
#include "control/varlink.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

struct client {
        struct connection *connection;
        struct call call;
        struct control_options options;
        bool is_root;
};

static void on_request(void *userdata, struct call *call, const struct control_request *request) {
        assert(request->method < METHOD_COUNT);
        assert(request->mode <= MODE_COUNT);
        assert(memchr(request->device, '\0', sizeof request->device));
        assert(memchr(request->overwrite, '\0', sizeof request->overwrite));
        assert(memchr(request->serial, '\0', sizeof request->serial));
        struct device_record device = { .path = request->overwrite, .mode = MODE_READ };
        memcpy(device.name, request->device, sizeof device.name);
        if (request->method == METHOD_CANCEL_SWEEP)
                return; /* left open: the peer goes first */
        for (int i = 0; i < 3 && call_takes_more(call) && !call_is_full(call); i++)
                call_reply_device(call, &device, true);
        if (request->id == 1)
                call_fail_no_such_device(call, request->device, NULL);
        else
                call_reply_device(call, &device, false);
}

static void on_message(void *userdata, const char *text, size_t length) {
        struct client *client = userdata;
        assert(!client->call.open);
        varlink_serve(&client->call, &client->options, client->is_root, text, length);
}

static void on_drained(void *userdata) {
        struct client *client = userdata;
        assert(client->connection);
}

static void on_gone(void *userdata) {
        struct client *client = userdata;
        client->connection = connection_free(client->connection);
}

static void feed(struct client *client, int fd, const uint8_t *data, size_t length, size_t piece) {
        while (length > 0 && client->connection) {
                ssize_t n = send(fd, data, MIN(piece, length), MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n > 0) {
                        data += n;
                        length -= (size_t)n;
                }
                while (sd_event_run(client->options.event, 0) > 0)
                        ;
                char replies[65536];
                while (recv(fd, replies, sizeof replies, MSG_DONTWAIT) > 0)
                        ;
                if (n < 0 && client->call.open)
                        break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
        if (length == 0)
                return 0;
        int fds[2];
        int r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
        assert(r == 0);
        struct client client = { .is_root = data[0] & 1,
                .options = { .interface_text = interface_text_sweepd,
                        .version = "1",
                        .url = "u",
                        .handlers.on_request = on_request } };
        r = sd_event_new(&client.options.event);
        assert(r >= 0);
        r = connection_new(&client.connection, client.options.event, fds[0],
                &(struct connection_handlers){ on_message, on_drained, on_gone, &client });
        assert(r == 0);
        client.call.connection = client.connection;

        feed(&client, fds[1], data + 1, length - 1, data[0] & 2 ? 1 + (size_t)(data[0] >> 2) : SIZE_MAX);
        close(fds[1]);
        while (client.connection && sd_event_run(client.options.event, 0) > 0)
                ;
        assert(!client.connection); /* a peer that has gone leaves nothing behind */
        sd_event_unref(client.options.event);
        return 0;
}
