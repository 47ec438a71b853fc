/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultdisk: a disk that fails as it is told, for tests on a real kernel.
 *
 *     faultdisk [--size SIZE] [--image FILE] [--control SOCKET] [--script FILE] [--seed N] MOUNTPOINT
 *     losetup --find --show --direct-io=on MOUNTPOINT/disk
 *
 * It mounts a file system with one file, `disk`, whose bytes are in memory or in an image file, stays in the
 * foreground, and unmounts on SIGTERM or SIGINT. A loop device over the file is a block device with these faults.
 * Detach the loop device first. The size is that of the image where it is not given.
 *
 * Commands come from the script at the start and from the socket while it runs, one a line; each is answered by one
 * line, "ok [TEXT]" or "error TEXT". Sizes and places are bytes, "4096", "64K", "2M". A fault is
 *
 *     ACTION REQUESTS [at=PLACE] [length=SIZE] [times=N] [KEY=VALUE]…
 *
 * and is answered by its number. REQUESTS is read, write, flush, several with commas, or all that the action can apply
 * to. It hits requests that touch the range (by default all), always or the first N times; a flush has no place. All
 * faults that hit a request apply, in the order in which they were given.
 *
 *     error read,write,flush [errno=EIO]      the request fails and does nothing
 *     flip read,write [bits=1 | bit=N]        bits by chance where range and request meet, or bit N counted from `at`
 *     lose write                              acknowledged, and never arrives
 *     misdirect write to=PLACE                what the range has arrives there instead
 *     tear write sectors=K                    of what the range has, the first K 512-byte sectors arrive
 *     zero read                               zeros
 *     stale read                              what the snapshot has
 *     delay read,write,flush ms=N             later
 *     hang read,write,flush                   no answer until release; a flush that hangs holds up its loop device
 *
 *     drop N | clear                          takes out one fault, or all
 *     hits N | hanging                        how often it hit; how many requests wait for release
 *     release [errno=E]                       those that hang complete, or fail
 *     snapshot                                keeps the disk as it is for `stale`
 *     cache off|volatile|lying                volatile: writes are in memory until a flush; lying: flushes do nothing
 *     powercut drop|keep|random SEED          what was not flushed is lost, kept, or either by the sector; then EIO
 *     remove [errno=ENODEV]                   every request fails
 *     poweron | return                        the end of these
 *     shrink SIZE                             the file is shorter (losetup --set-capacity tells the loop device)
 *     model hdd|ssd|none                      takes the time of one: seeks and transfers
 *     log FILE|off                            a line for each request: kind, offset, length, errno, arrival, end in µs
 *     reset                                   a sound disk again; what hangs completes; cache, snapshot and log stay
 *
 * Chance depends on --seed, the fault's number and its hits alone. The kernel splits requests at 1 MiB, and a loop
 * device at its max_sectors_kb: faults count what arrives.
 *
 * What could go wrong here: the kernel's page cache answering in place of the disk (the file is opened with direct
 * I/O), a request that hangs keeping the others out (each has a thread, and the kernel's limit of those in flight is
 * raised), and a file that looks sparse to those who refuse such (it has all its blocks and no holes).
 */
#define FUSE_USE_VERSION 312

#include "base/cleanup.h"
#include "base/text.h"
#include "cache.h"
#include "control.h"
#include "disk.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DISK_INODE = 2, THREADS_MAX = 1024, THREADS_IDLE = 16, IN_FLIGHT_MAX = 512 };

static const char *const disk_file = "disk";

static struct disk *disk_of(fuse_req_t request) {
        return fuse_req_userdata(request);
}

static void on_init(void *userdata, struct fuse_conn_info *connection) {
        connection->max_write = DISK_REQUEST_BYTES;
        connection->max_background = IN_FLIGHT_MAX;
        connection->congestion_threshold = IN_FLIGHT_MAX;
}

static bool stat_of(struct stat *status, fuse_ino_t inode, struct disk *disk) {
        *status = (struct stat){ .st_ino = inode };
        if (inode == FUSE_ROOT_ID) {
                status->st_mode = S_IFDIR | 0755;
                status->st_nlink = 2;
                return true;
        }
        status->st_mode = S_IFREG | 0600;
        status->st_nlink = 1;
        status->st_size = (off_t)disk_size_bytes(disk);
        status->st_blksize = 4096;
        status->st_blocks = status->st_size / SECTOR_BYTES;
        return inode == DISK_INODE;
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
        struct fuse_entry_param entry = { .ino = DISK_INODE };
        if (parent != FUSE_ROOT_ID || strcmp(name, disk_file) != 0) {
                fuse_reply_err(request, ENOENT);
                return;
        }
        stat_of(&entry.attr, DISK_INODE, disk_of(request));
        fuse_reply_entry(request, &entry);
}

static void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
        struct stat status;
        if (stat_of(&status, inode, disk_of(request)))
                fuse_reply_attr(request, &status, 0);
        else
                fuse_reply_err(request, ENOENT);
}

static void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
        if (inode != DISK_INODE) {
                fuse_reply_err(request, EISDIR);
                return;
        }
        file->direct_io = 1;
        fuse_reply_open(request, file);
}

static void on_read(fuse_req_t request, fuse_ino_t inode, size_t length, off_t offset, struct fuse_file_info *file) {
        uint64_t size_bytes = disk_size_bytes(disk_of(request));
        uint64_t from = (uint64_t)offset;
        length = from >= size_bytes ? 0 : MIN(length, size_bytes - from);
        CLEANUP_FREE uint8_t *data = malloc(MAX(length, (size_t)1));
        int r = data ? disk_read(disk_of(request), from, data, length) : -ENOMEM;
        if (r < 0)
                fuse_reply_err(request, -r);
        else
                fuse_reply_buf(request, (const char *)data, length);
}

static void on_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t length, off_t offset,
        struct fuse_file_info *file) {
        int r = disk_write(disk_of(request), (uint64_t)offset, (const uint8_t *)data, length);
        if (r < 0)
                fuse_reply_err(request, -r);
        else
                fuse_reply_write(request, length);
}

static void on_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *file) {
        fuse_reply_err(request, -disk_flush(disk_of(request)));
}

/* All of it is data, and the one hole is behind its end. */
static void on_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, struct fuse_file_info *file) {
        off_t size_bytes = (off_t)disk_size_bytes(disk_of(request));
        if (offset < 0 || offset >= size_bytes)
                fuse_reply_err(request, ENXIO);
        else
                fuse_reply_lseek(request, whence == SEEK_DATA ? offset : size_bytes);
}

static void on_readdir(fuse_req_t request, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file) {
        char entry[64];
        struct stat status;
        size_t length = 0;
        if (offset == 0) {
                stat_of(&status, DISK_INODE, disk_of(request));
                length = fuse_add_direntry(request, entry, sizeof entry, disk_file, &status, 1);
        }
        fuse_reply_buf(request, entry, MIN(length, room));
}

static const struct fuse_lowlevel_ops operations = {
        .init = on_init,
        .lookup = on_lookup,
        .getattr = on_getattr,
        .open = on_open,
        .read = on_read,
        .write = on_write,
        .fsync = on_fsync,
        .lseek = on_lseek,
        .readdir = on_readdir,
};

struct options {
        const char *image, *control, *script, *mount_point;
        uint64_t size_bytes, seed;
};

static int parse_options(struct options *options, int argc, char **argv) {
        static const struct option known[] = { { "size", required_argument, NULL, 's' },
                { "image", required_argument, NULL, 'i' }, { "control", required_argument, NULL, 'c' },
                { "script", required_argument, NULL, 'f' }, { "seed", required_argument, NULL, 'r' }, { 0 } };
        for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
                int r = 0;
                if (option == 's')
                        r = text_parse_size(&options->size_bytes, optarg);
                else if (option == 'r')
                        r = text_parse_size(&options->seed, optarg);
                else if (option == 'i')
                        options->image = optarg;
                else if (option == 'c')
                        options->control = optarg;
                else if (option == 'f')
                        options->script = optarg;
                else
                        r = -EINVAL;
                if (r < 0)
                        return r;
        }
        if (optind != argc - 1)
                return -EINVAL;
        options->mount_point = argv[optind];
        struct stat status;
        if (!options->size_bytes && options->image && stat(options->image, &status) == 0)
                options->size_bytes = (uint64_t)status.st_size;
        return options->size_bytes && options->size_bytes % SECTOR_BYTES == 0 ? 0 : -EINVAL;
}

static bool session_ended(void *session) {
        return fuse_session_exited(session);
}

/* Signals are for the main thread: there they end fuse_session_loop_mt(). */
static int start_control(struct control **ret, struct disk *disk, const char *path, struct fuse_session *session) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        int r = control_new(ret, disk, path, session_ended, session);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r;
}

static int serve(struct fuse_session *session) {
        struct fuse_loop_config *config = fuse_loop_cfg_create();
        fuse_loop_cfg_set_clone_fd(config, 0);
        fuse_loop_cfg_set_idle_threads(config, THREADS_IDLE);
        fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
        int r = fuse_session_loop_mt(session, config);
        fuse_loop_cfg_destroy(config);
        /* The control thread waits for this; it has not been said yet where somebody else unmounted us. */
        fuse_session_exit(session);
        return r < 0 ? r : 0;
}

static int mount_and_serve(struct disk *disk, const struct options *options) {
        char name[] = "faultdisk", option[] = "-o", value[] = "fsname=faultdisk,subtype=faultdisk";
        char *words[] = { name, option, value, NULL };
        struct fuse_args args = FUSE_ARGS_INIT(3, words);
        struct control *control = NULL;
        struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, disk);
        if (!session)
                return -EINVAL;
        int r = fuse_set_signal_handlers(session) == 0 ? 0 : -EINVAL;
        if (r == 0 && fuse_session_mount(session, options->mount_point) != 0)
                r = -ENODEV;
        if (r == 0 && options->control)
                r = start_control(&control, disk, options->control, session);
        if (r == 0)
                r = serve(session);
        fuse_session_exit(session);
        control_free(control);
        fuse_session_unmount(session);
        fuse_remove_signal_handlers(session);
        fuse_session_destroy(session);
        fuse_opt_free_args(&args);
        return r;
}

int main(int argc, char **argv) {
        struct options options = { 0 };
        struct disk *disk = NULL;
        if (parse_options(&options, argc, argv) < 0) {
                fprintf(stderr,
                        "usage: faultdisk [--size SIZE] [--image FILE] [--control SOCKET] [--script FILE] "
                        "[--seed N] MOUNTPOINT\nThe size is in whole 512-byte sectors.\n");
                return 2;
        }
        int r = disk_new(&disk, options.image, options.size_bytes, options.seed);
        if (r == 0 && options.script)
                r = control_run_script(disk, options.script);
        if (r == 0)
                r = mount_and_serve(disk, &options);
        disk_free(disk);
        if (r < 0)
                fprintf(stderr, "faultdisk: %s: %s\n", options.mount_point, strerror(-r));
        return r < 0 ? 1 : 0;
}
