/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket and who may hold a connection. What could go wrong: taking the socket away from a daemon that runs, or
 * deleting a file that was never a socket; a peer that takes all connections so that root can't get one; a shortage
 * of descriptors that has the loop spin on a connection which it can't accept. An accepted peer is whoever the kernel
 * says that it was when it connected; nothing that it sends changes that.
 */
#include "control/control.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "control/call.h"
#include "control/connection.h"
#include "control/varlink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
        CONNECTIONS_MAX = 32,
        CONNECTIONS_FOR_ROOT = 8, /* of them: kept free, so that others can't lock root out */
        CONNECTIONS_MAX_A_USER = 8,
        ACCEPTS_A_SECOND = 1000
};

#define SOCKET_GROUP "sweepd"

struct client {
        struct control *control;
        struct connection *connection;
        struct call call;
        uid_t uid;
};

struct control {
        struct control_options options;
        sd_event_source *listener;
        int fd;
        struct sockaddr_un address;
        bool bound; /* by us, as this very file: */
        dev_t bound_device;
        ino_t bound_inode;
        struct client *clients[CONNECTIONS_MAX];
};

DEFINE_FREEP(struct control, control_free, control_freep)

static struct client *client_free(struct client *client) {
        if (!client)
                return NULL;
        const struct control_handlers *handlers = &client->control->options.handlers;
        if (client->call.open)
                handlers->on_gone(handlers->userdata, &client->call);
        connection_free(client->connection);
        free(client);
        return NULL;
}

DEFINE_FREEP(struct client, client_free, client_freep)

static void on_message(void *userdata, const char *text, size_t length_bytes) {
        struct client *client = userdata;
        varlink_serve(&client->call, &client->control->options, client->uid == 0, text, length_bytes);
}

static void on_drained(void *userdata) {
        struct client *client = userdata;
        const struct control_handlers *handlers = &client->control->options.handlers;
        if (client->call.open && client->call.continued)
                handlers->on_drained(handlers->userdata, &client->call);
}

static void on_gone(void *userdata) {
        struct client *client = userdata;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (client->control->clients[i] == client)
                        client->control->clients[i] = NULL;
        client_free(client);
}

static int client_new(struct client **ret, struct control *c, int fd, uid_t uid) {
        CLEANUP(client_freep)
        struct client *client = calloc(1, sizeof *client);
        if (!client)
                return -ENOMEM;
        client->control = c;
        client->uid = uid;
        int r = connection_new(&client->connection, c->options.event, fd,
                &(struct connection_handlers){ on_message, on_drained, on_gone, client });
        if (r < 0)
                return r;
        client->call.connection = client->connection;
        *ret = STEAL(client);
        return 0;
}

/* The limit that one more connection of this user would break, or 0. */
static unsigned broken_limit(const struct control *c, uid_t uid) {
        unsigned all = 0, of_user = 0, limit = CONNECTIONS_MAX - (uid == 0 ? 0 : CONNECTIONS_FOR_ROOT);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (c->clients[i]) {
                        all++;
                        of_user += c->clients[i]->uid == uid;
                }
        if (all >= limit)
                return limit;
        return uid != 0 && of_user >= CONNECTIONS_MAX_A_USER ? CONNECTIONS_MAX_A_USER : 0;
}

/* The buffer of a new socket has room for that; a peer that is gone already needs no answer. */
static void turn_away(int fd, unsigned limit) {
        CLEANUP_FREE char *text = call_too_many_text(limit);
        if (text)
                (void)send(fd, text, strlen(text) + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void admit(struct control *c, int accepted) {
        CLEANUP_CLOSE int fd = accepted;
        struct ucred peer;
        socklen_t length = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
                return;
        unsigned limit = broken_limit(c, peer.uid);
        if (limit > 0) {
                turn_away(fd, limit);
                return;
        }
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (!c->clients[i]) {
                        if (client_new(&c->clients[i], c, fd, peer.uid) == 0)
                                STEAL_FD(fd);
                        return;
                }
}

/* What can't be accepted now stays in the backlog; the source's rate limit keeps that from becoming a busy loop. */
static int on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0)
                admit(userdata, accepted);
        return 0;
}

/* Removes what is left of a daemon that is gone. CONTROL_E_IN_USE: it is not. -EEXIST: that is no socket. */
static int clear_stale(const struct sockaddr_un *address) {
        struct stat file;
        if (lstat(address->sun_path, &file) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(file.st_mode))
                return -EEXIST;
        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
                return CONTROL_E_IN_USE;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

/* A file for root and its group, from its first moment. */
static int bind_private(int fd, const struct sockaddr_un *address) {
        mode_t before = umask(0117);
        int r = bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
        umask(before);
        return r;
}

/* Where the system has the group. Run by hand by somebody else, the socket is theirs. */
static int give_to_group(const struct sockaddr_un *address) {
        const struct group *group = getgrnam(SOCKET_GROUP);
        if (group && geteuid() == 0 && lchown(address->sun_path, (uid_t)-1, group->gr_gid) < 0)
                return -errno;
        return 0;
}

/* Which file it became, so that at the end a successor's socket at the same path is left alone. */
static int remember_bound(struct control *c) {
        struct stat file;
        if (lstat(c->address.sun_path, &file) < 0)
                return -errno;
        c->bound = true;
        c->bound_device = file.st_dev;
        c->bound_inode = file.st_ino;
        return 0;
}

static int open_socket(struct control *c, const char *path) {
        c->address.sun_family = AF_UNIX;
        if (!text_copy(c->address.sun_path, sizeof c->address.sun_path, path))
                return -ENAMETOOLONG;
        int r = clear_stale(&c->address);
        if (r != 0)
                return r;
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return -errno;
        r = bind_private(c->fd, &c->address);
        if (r < 0)
                return r;
        r = remember_bound(c);
        if (r < 0)
                return r;
        r = give_to_group(&c->address);
        if (r < 0)
                return r;
        return listen(c->fd, CONNECTIONS_MAX) < 0 ? -errno : 0;
}

/* systemd hands the socket over as it was configured; a peer that leaves before accept() must not block us. */
static int set_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

static int watch(struct control *c, int fd) {
        int r = sd_event_add_io(c->options.event, &c->listener, fd, EPOLLIN, on_listener, c);
        if (r < 0)
                return r;
        return sd_event_source_set_ratelimit(c->listener, USEC_PER_SEC / 10, ACCEPTS_A_SECOND / 10);
}

int control_new(struct control **ret, const struct control_options *options) {
        CLEANUP(control_freep)
        struct control *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->options = *options;
        c->fd = -1;
        int r = options->listen_fd >= 0 ? set_nonblocking(options->listen_fd) : open_socket(c, options->socket_path);
        if (r != 0)
                return r;
        r = watch(c, options->listen_fd >= 0 ? options->listen_fd : c->fd);
        if (r < 0)
                return r;
        if (options->listen_fd >= 0)
                c->fd = options->listen_fd;
        *ret = STEAL(c);
        return CONTROL_OK;
}

static void unlink_bound(const struct control *c) {
        struct stat file;
        if (c->bound && lstat(c->address.sun_path, &file) == 0 && file.st_dev == c->bound_device &&
                file.st_ino == c->bound_inode)
                (void)unlink(c->address.sun_path);
}

struct control *control_free(struct control *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                c->clients[i] = client_free(c->clients[i]);
        sd_event_source_disable_unref(c->listener);
        unlink_bound(c);
        close_fd(c->fd);
        free(c);
        return NULL;
}
