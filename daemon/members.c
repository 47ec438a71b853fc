/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which devices there are: those that the configuration names, and the disks that its `match` entries take, as they
 * come and go. Disks are looked at on a thread of its own (lookout.h), when udev or the kernel's list says that
 * something changed; so is who stands at the paths of named devices, when the kernel has another disk there (sighting),
 * as what was seen of one disk must not be said of the next. What could go wrong is that a disk which died is
 * forgotten, with what was found on it: so who was taken stays, as missing, over restarts too, until it is back, left
 * out by the configuration, or retired by hand.
 */
#include "manager_private.h"

#include "media/disks.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-device.h>

#define FIRST_LOOK_MS 5000
#define POLL_US       (3 * USEC_PER_SEC)
#define QUIET_US      (300 * USEC_PER_MSEC) /* udev's events of one disk come in a bunch */

static struct device *take_device(struct device **devices, size_t count, const char *name) {
        for (size_t i = 0; i < count; i++)
                if (devices[i] && strcmp(devices[i]->config->name, name) == 0)
                        return STEAL(devices[i]);
        return NULL;
}

static void let_go(struct manager *m, struct device *d) {
        rests_let_go(m, d);
        if (d->wish.call && !d->thread)
                call_fail_not_running(STEAL(d->wish.call), d->config->name);
        if (!d->thread) {
                device_free(d);
                return;
        }
        sweep_thread_order(d->thread, SWEEP_CANCEL);
        d->order = SWEEP_CANCEL;
        m->leaving[m->leaving_count++] = d;
}

/* What the ledger knows of devices that were not there when it was read. What it knows of one that comes back while its
 * sweep from before is still ending is wrong: that sweep would be taken for one that rests, and be gone on with. */
static void remember_new(struct manager *m, const struct device *const *added, size_t count) {
        if (count > 0 && m->ready && routes_load(m))
                return;
        for (size_t i = 0; i < m->device_count; i++)
                for (size_t k = 0; m->ready && k < count; k++)
                        if (m->devices[i] == added[k] && !manager_is_leaving(m, added[k]->config->name))
                                m->devices[i]->unremembered = false; /* the worst is a sweep too early */
}

void members_has_left(struct manager *m, const char *name) {
        struct device *d = manager_device(m, name);
        const struct device *back[] = { d };
        if (d && d->unremembered && !manager_is_leaving(m, name))
                remember_new(m, back, ELEMENTS(back));
}

/* Devices go by their names: the rest of them goes on with its new configuration. Nothing is changed on -ENOMEM. */
static int install(struct manager *m, struct device_config *const *configs, size_t count) {
        size_t old_count = m->device_count, added_count = 0;
        CLEANUP_FREE struct device **devices = calloc(count + 1, sizeof *devices);
        CLEANUP_FREE const struct device **added = calloc(count + 1, sizeof *added);
        struct device **leaving = reallocarray(m->leaving, m->leaving_count + old_count + 1, sizeof *leaving);
        if (leaving)
                m->leaving = leaving;
        bool enough = devices && added && leaving;
        for (size_t i = 0; enough && i < count; i++)
                if (!manager_device(m, configs[i]->name)) {
                        enough = device_new(&devices[i], configs[i]) == 0;
                        added[added_count] = devices[i];
                        added_count += enough;
                }
        if (!enough) {
                for (size_t i = 0; devices && i < count; i++)
                        device_free(devices[i]);
                return -ENOMEM;
        }
        for (size_t i = 0; i < count; i++) {
                if (devices[i])
                        continue;
                devices[i] = take_device(m->devices, old_count, configs[i]->name);
                if (devices[i]->config != configs[i])
                        device_reconfigure(devices[i], configs[i]);
        }
        for (size_t i = 0; i < old_count; i++)
                if (m->devices[i])
                        let_go(m, m->devices[i]);
        free(m->devices);
        m->devices = STEAL(devices);
        m->device_count = count;
        remember_new(m, added, added_count);
        return 0;
}

/* What stands at the paths of the devices that are named one by one. */
static size_t own_devices(const struct settings *s, uint64_t *devices) {
        size_t n = 0;
        for (size_t i = 0; i < s->device_count; i++) {
                struct stat st;
                const char *path = s->devices[i]->path;
                if (strncmp(path, "/dev/", strlen("/dev/")) == 0 && stat(path, &st) == 0 && S_ISBLK(st.st_mode))
                        devices[n++] = st.st_rdev;
        }
        return n;
}

static int make_roster(struct roster **ret, const struct members *members, const struct settings *s) {
        CLEANUP_FREE const char **names = calloc(s->device_count + 1, sizeof *names);
        CLEANUP_FREE uint64_t *devices = calloc(s->device_count + 1, sizeof *devices);
        static const struct disk_list none = { 0 };
        if (!names || !devices)
                return -ENOMEM;
        for (size_t i = 0; i < s->device_count; i++)
                names[i] = s->devices[i]->name;
        struct roster_world world = {
                .entries = s->matches,
                .entry_count = members->looked ? s->match_count : 0,
                .disks = members->disks ? members->disks : &none,
                .before = members->roster,
                .names = names,
                .name_count = s->device_count,
                .devices = devices,
                .device_count = own_devices(s, devices),
        };
        return roster_new(ret, &world);
}

/* The configuration of a member: that which it has, while nothing of it changed. */
static int config_of(
        struct device_config **ret, struct manager *m, const struct settings *s, const struct roster_member *member) {
        struct device *d = manager_device(m, member->name);
        const struct device_config *c = d ? d->config : NULL;
        if (c && s == m->settings && c->key && strcmp(c->key, member->key) == 0 && strcmp(c->path, member->path) == 0) {
                *ret = device_config_ref(d->config);
                return 0;
        }
        return device_config_member(ret, s->matches[member->entry], member->name, member->path, member->key);
}

/* Identity is known before the first sweep: it is what the disk was taken by. */
static void note_disk(struct manager *m, const struct roster_member *member) {
        struct device *d = manager_device(m, member->name);
        d->unseen = member->disk == NULL;
        if (d->thread || !member->disk)
                return;
        device_identify(d, &member->disk->identity, member->disk->size_bytes);
        admit_identified(d, member->disk->device);
}

static void tell_left_out(struct manager *m, const struct roster *roster) {
        bool new = roster->left_out > 0 && strcmp(roster->left_out_disk, m->members.told_left_out) != 0;
        text_copy(m->members.told_left_out, sizeof m->members.told_left_out, roster->left_out_disk);
        if (new)
                routes_tell(m, EVENT_DAEMON, LOG_WARNING, NULL, NULL,
                        "/dev/%s is not swept: its name would be %s, which another device has (disks left out: %zu). Give it an entry of its own",
                        roster->left_out_disk, roster->left_out_name, roster->left_out);
}

static void tell_new(struct manager *m, const struct roster_member *member) {
        char unused[DEVICE_NAME_BYTES];
        const struct device *d = manager_device(m, member->name);
        if (member->disk && !roster_name(unused, member->disk))
                routes_tell(m, EVENT_DAEMON, LOG_WARNING, d, NULL,
                        "%s is swept from now on, under the kernel's name: it has neither serial nor WWN, and another disk at this path can't be told from it",
                        member->path);
        else if (m->ready)
                routes_tell(m, EVENT_DAEMON, LOG_NOTICE, d, NULL, "%s is swept from now on", member->path);
}

/* Tells the same names, identities and places: what is stored of it still holds. */
static void note_change(struct members *members, const struct roster *roster) {
        CLEANUP_FREE char *text = NULL;
        if (roster_write(&text, roster) < 0 || (members->stored && strcmp(members->stored, text) == 0))
                return;
        free(members->stored);
        members->stored = STEAL(text);
        members->to_store = true;
}

static int install_roster(struct manager *m, const struct settings *s, const struct roster *roster) {
        size_t count = 0, max = s->device_count + roster->count;
        CLEANUP_FREE struct device_config **configs = calloc(max + 1, sizeof *configs);
        if (!configs)
                return -ENOMEM;
        for (; count < s->device_count; count++)
                configs[count] = device_config_ref(s->devices[count]);
        int r = 0;
        for (size_t i = 0; r == 0 && i < roster->count; i++) {
                r = config_of(&configs[count], m, s, &roster->members[i]);
                count += r == 0;
        }
        if (r == 0)
                r = install(m, configs, count);
        for (size_t i = 0; i < count; i++)
                device_config_unref(configs[i]);
        return r;
}

int members_install(struct manager *m, const struct settings *s) {
        struct members *members = &m->members;
        struct roster *roster;
        int r = make_roster(&roster, members, s);
        if (r < 0)
                return r;
        r = install_roster(m, s, roster);
        if (r < 0) {
                roster_free(roster);
                return r;
        }
        for (size_t i = 0; i < roster->count; i++) {
                note_disk(m, &roster->members[i]);
                if (!roster_find(members->roster, roster->members[i].name))
                        tell_new(m, &roster->members[i]);
        }
        if (members->looked)
                note_change(members, roster);
        tell_left_out(m, roster);
        roster_free(members->roster);
        members->roster = roster;
        return 0;
}

/* Only in /dev, which is memory. A match is told by the disk, not by the path. */
static bool is_sighted(const struct device *d) {
        return !d->thread && !d->config->key && device_is_watched(d);
}

void members_sight(struct manager *m) {
        m->members.sighted_us = clock_monotonic_us();
        for (size_t i = 0; i < m->device_count; i++) {
                struct device *d = m->devices[i];
                uint64_t sighting = is_sighted(d) ? disks_sighting(d->config->path) : 0;
                if (sighting == 0 || sighting == d->sighting)
                        continue;
                device_estrange(d);
                d->sighting = sighting;
        }
}

static bool is_stranger(const struct device *d) {
        return d->strange && d->sighting != 0 && is_sighted(d);
}

/* again: also those that could not be recognised. */
static bool any_stranger(const struct manager *m, bool again) {
        for (size_t i = 0; i < m->device_count; i++)
                if (is_stranger(m->devices[i]) && (again || m->devices[i]->asked_sighting != m->devices[i]->sighting))
                        return true;
        return false;
}

static size_t ask_for_strangers(struct manager *m, const char **paths) {
        size_t n = 0;
        for (size_t i = 0; paths && i < m->device_count; i++) {
                struct device *d = m->devices[i];
                if (!is_stranger(d))
                        continue;
                d->asked_sighting = d->sighting;
                paths[n++] = d->config->path;
        }
        return n;
}

/* What is there need not be the same any more; then it is seen again. */
static void recognise(struct manager *m, const struct lookout_sight *s) {
        for (size_t i = 0; i < m->device_count; i++) {
                struct device *d = m->devices[i];
                if (!s->known || !is_stranger(d) || d->sighting != s->sighting || strcmp(d->config->path, s->path) != 0)
                        continue;
                device_identify(d, &s->identity, s->size_bytes);
                routes_retire_replaced(m, d);
        }
}

static void start_look(struct manager *m) {
        struct members *members = &m->members;
        CLEANUP_FREE const char **paths = calloc(m->device_count + 1, sizeof *paths);
        bool list = m->settings->match_count > 0;
        struct lookout_options options = {
                .state_dir = m->settings->state_dir,
                .store = members->to_store ? members->stored : NULL,
                .recall = list && !members->looked,
                .list = list,
                .paths = paths,
                .path_count = ask_for_strangers(m, paths),
                .done_fd = m->lookout_fd,
        };
        members->fingerprint = disks_fingerprint();
        members->changed = false;
        if (lookout_start(&members->lookout, &options) == 0)
                members->to_store = false;
        else
                members->changed = true; /* the clock tries again */
}

/* What was remembered is the roster before. Without memory for it the disks that are there are taken all the same. */
static void recall(struct members *members, struct lookout_result *result) {
        if (members->looked)
                return;
        members->looked = true;
        if (!result->remembered || roster_read(&members->roster, result->remembered) < 0)
                return;
        members->stored = STEAL(result->remembered);
}

/* Not at once: it would fail again. */
static void try_again(struct members *members) {
        members->changed = true;
        members->event_us = clock_monotonic_us();
}

static void take_result(struct manager *m) {
        struct members *members = &m->members;
        struct lookout_result result;
        members->lookout = lookout_finish(members->lookout, &result);
        if (result.store_status < 0) {
                members->to_store = true;
                if (!members->told_unstored)
                        routes_tell(m, EVENT_DAEMON, LOG_ERR, NULL, NULL,
                                "which disks were matched can't be stored in %s: %s", m->settings->state_dir,
                                strerror(-result.store_status));
        }
        members->told_unstored = result.store_status < 0;
        for (size_t i = 0; i < result.sight_count; i++)
                recognise(m, &result.sights[i]);
        if (result.status < 0) {
                try_again(members);
                lookout_result_done(&result);
                return;
        }
        if (!result.disks) {
                lookout_result_done(&result);
                return;
        }
        recall(members, &result);
        struct disk_list *before = members->disks;
        members->disks = STEAL(result.disks);
        if (members_install(m, m->settings) < 0) {
                try_again(members);
                disk_list_free(members->disks);
                members->disks = before;
        } else {
                disk_list_free(before);
        }
        lookout_result_done(&result);
}

int members_open(struct manager *m) {
        int r = members_install(m, m->settings);
        if (r < 0)
                return r;
        members_sight(m);
        if (m->settings->match_count == 0 && !any_stranger(m, false))
                return 0;
        start_look(m);
        struct pollfd p = { .fd = m->lookout_fd, .events = POLLIN };
        eventfd_t unused;
        if (m->members.lookout && poll(&p, 1, FIRST_LOOK_MS) > 0 && eventfd_read(m->lookout_fd, &unused) == 0)
                take_result(m);
        return 0;
}

void members_handle(struct manager *m) {
        if (!m->members.lookout)
                return;
        take_result(m);
        manager_look(m);
        if (m->ready && m->book)
                routes_retire_departed(m);
}

void members_look(struct manager *m, uint64_t now_us) {
        struct members *members = &m->members;
        bool wanted = m->settings->match_count > 0;
        if (now_us - members->sighted_us >= POLL_US)
                members_sight(m);
        bool strangers = any_stranger(m, true);
        if (members->lookout || (!wanted && !members->to_store && !strangers))
                return;
        bool poll_now = now_us - members->polled_us >= POLL_US;
        if (poll_now && wanted && !members->changed)
                members->changed = !members->looked || disks_fingerprint() != members->fingerprint;
        if (poll_now)
                members->polled_us = now_us;
        bool quiet = poll_now || now_us - members->event_us >= QUIET_US;
        bool store = members->to_store && (poll_now || !members->told_unstored);
        if ((wanted && members->changed && quiet) || store || (strangers && (poll_now || any_stranger(m, false))))
                start_look(m);
}

bool members_are_known(const struct manager *m) {
        return m->settings->match_count == 0 || m->members.looked;
}

uint64_t members_wait_us(const struct manager *m, uint64_t wait_us) {
        const struct members *members = &m->members;
        if (m->settings->match_count == 0)
                return wait_us;
        if (members->monitor)
                return members->changed && !members->lookout ? MIN(wait_us, QUIET_US) : wait_us;
        return MIN(wait_us, POLL_US);
}

static int on_udev(sd_device_monitor *monitor, sd_device *device, void *userdata) {
        struct manager *m = userdata;
        m->members.changed = true;
        m->members.event_us = clock_monotonic_us();
        manager_set_clock(m);
        return 0;
}

void members_listen(struct manager *m) {
        sd_device_monitor *monitor = NULL;
        if (access("/run/udev/control", F_OK) < 0 || sd_device_monitor_new(&monitor) < 0)
                return; /* the kernel's list is looked at from time to time */
        if (sd_device_monitor_filter_add_match_subsystem_devtype(monitor, "block", "disk") >= 0 &&
                sd_device_monitor_attach_event(monitor, m->event) >= 0 &&
                sd_device_monitor_start(monitor, on_udev, m) >= 0)
                m->members.monitor = STEAL(monitor);
        sd_device_monitor_unref(monitor);
}

void members_retire(struct manager *m, const char *name) {
        const struct roster_member *member = roster_find(m->members.roster, name);
        const struct device *d = manager_device(m, name);
        if (!member || member->disk || (d && d->thread))
                return;
        roster_remove(m->members.roster, name);
        (void)members_install(m, m->settings); /* else it goes with the next look */
        manager_look(m);
}

bool members_close(struct manager *m) {
        struct members *members = &m->members;
        sd_device_monitor_unref(members->monitor);
        members->monitor = NULL;
        struct pollfd p = { .fd = m->lookout_fd, .events = POLLIN };
        if (members->lookout && poll(&p, 1, MEMBERS_CLOSE_MS) > 0) {
                struct lookout_result result;
                members->lookout = lookout_finish(members->lookout, &result);
                lookout_result_done(&result);
        }
        if (members->lookout)
                return false;
        members->roster = roster_free(members->roster);
        members->disks = disk_list_free(members->disks);
        free(members->stored);
        members->stored = NULL;
        return true;
}
