/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test drives its disk while the disk is in use, also while requests hang. So commands have a thread of their own,
 * and one connection is served after the other: what was answered has happened. A client that connects and stays
 * silent would keep the others out: it is given a second.
 */
#include "control.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_BYTES = 1024, LOOK_MS = 50 };

struct control {
        struct disk *disk;
        bool (*ended)(void *);
        void *userdata;
        int listen_fd;
        char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
        pthread_t thread;
        bool running;
};

static void run_line(struct disk *disk, char *line, char answer[static DISK_ANSWER_BYTES]) {
        line[strcspn(line, "\r\n")] = 0;
        disk_command(disk, line, answer);
}

int control_run_script(struct disk *disk, const char *path) {
        FILE *script = fopen(path, "re");
        if (!script)
                return -errno;
        char line[LINE_BYTES], answer[DISK_ANSWER_BYTES];
        int r = 0;
        for (unsigned number = 1; r == 0 && fgets(line, sizeof line, script); number++) {
                if (line[0] == '#' || line[0] == '\n')
                        continue;
                run_line(disk, line, answer);
                if (strncmp(answer, "ok", 2) != 0) {
                        fprintf(stderr, "%s:%u: %s\n", path, number, answer);
                        r = -EINVAL;
                }
        }
        fclose(script);
        return r;
}

/* Answers line by line until the client closes its side. */
static void serve(struct control *control, int fd) {
        struct timeval second = { .tv_sec = 1 };
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
        FILE *stream = fdopen(fd, "r+");
        if (!stream) {
                close(fd);
                return;
        }
        char line[LINE_BYTES], answer[DISK_ANSWER_BYTES];
        while (fgets(line, sizeof line, stream)) {
                run_line(control->disk, line, answer);
                size_t length = strlen(answer);
                answer[length] = '\n';
                if (send(fd, answer, length + 1, MSG_NOSIGNAL) < 0)
                        break;
        }
        fclose(stream);
}

static void *control_thread(void *userdata) {
        struct control *control = userdata;
        while (!control->ended(control->userdata)) {
                struct pollfd poll_fd = { .fd = control->listen_fd, .events = POLLIN };
                if (poll(&poll_fd, 1, LOOK_MS) <= 0)
                        continue;
                int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        serve(control, fd);
        }
        disk_end(control->disk);
        return NULL;
}

static int listen_on(struct control *control, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        if (!text_copy(address.sun_path, sizeof address.sun_path, path))
                return -ENAMETOOLONG;
        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        text_copy(control->path, sizeof control->path, path);
        if (listen(fd, 16) < 0)
                return -errno;
        control->listen_fd = STEAL_FD(fd);
        return 0;
}

DEFINE_FREEP(struct control, control_free, control_freep)

int control_new(struct control **ret, struct disk *disk, const char *path, bool (*ended)(void *), void *userdata) {
        CLEANUP(control_freep)
        struct control *control = calloc(1, sizeof *control);
        if (!control)
                return -ENOMEM;
        *control = (struct control){ .disk = disk, .ended = ended, .userdata = userdata, .listen_fd = -1 };
        int r = listen_on(control, path);
        if (r < 0)
                return r;
        r = -pthread_create(&control->thread, NULL, control_thread, control);
        if (r < 0)
                return r;
        control->running = true;
        *ret = STEAL(control);
        return 0;
}

struct control *control_free(struct control *control) {
        if (!control)
                return NULL;
        if (control->running)
                pthread_join(control->thread, NULL);
        close_fd(control->listen_fd);
        if (control->path[0])
                unlink(control->path);
        free(control);
        return NULL;
}
