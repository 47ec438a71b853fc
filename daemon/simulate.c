/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether windows are long enough is seen after months, or here. An answer that was computed in another way than the
 * daemon does would sooner or later differ from what it does: so this file only gathers devices and prints; what
 * happens is plan/forecast.c's, which asks the same functions.
 */
#include "simulate.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "media/disks.h"
#include "media/sysfs.h"
#include "media/topology.h"
#include "plan/calendar.h"
#include "plan/forecast.h"
#include "plan/roster.h"
#include "plan/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define YEAR_US (365 * USEC_PER_DAY)

struct show {
        size_t count, room;
        struct forecast_device *devices;
        struct device_config **configs; /* the references of those that are members */
        size_t config_count;
        char **texts; /* what happens to each */
        FILE **streams;
};

DEFINE_FREEP(struct disk_list, disk_list_free, disk_list_freep)
DEFINE_FREEP(struct roster, roster_free, roster_freep)

int simulate_parse_time(uint64_t *ret_us, const char *text) {
        struct tm tm = { .tm_isdst = -1 };
        const char *end = strptime(text, "%Y-%m-%d", &tm);
        if (end && *end == 'T')
                end = strptime(end + 1, "%H:%M", &tm);
        if (!end || *end)
                return -EINVAL;
        struct tm as_written = tm;
        time_t at = mktime(&tm);
        bool exists = tm.tm_mday == as_written.tm_mday && tm.tm_mon == as_written.tm_mon; /* 30 February does not */
        if (at <= 0 || !exists)
                return -EINVAL;
        *ret_us = (uint64_t)at * USEC_PER_SEC;
        return 0;
}

/* --- which devices --- */

/* By the kernel's memory alone. 0: it is not there. */
static uint64_t size_of(const char *path, struct disk_place *place) {
        struct stat st;
        uint64_t sectors;
        if (stat(path, &st) < 0)
                return 0;
        if (!S_ISBLK(st.st_mode))
                return S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        topology_read(place, "/sys", st.st_rdev);
        CLEANUP_CLOSE int dir = sysfs_open(st.st_rdev);
        return dir >= 0 && sysfs_number(dir, "size", &sectors) ? sectors * SYSFS_SECTOR_BYTES : 0;
}

static void add(struct show *s, const struct device_config *config) {
        struct disk_place place = { 0 };
        uint64_t size = size_of(config->path, &place);
        if (size == 0)
                size = config->create_size_bytes; /* its first sweep makes it */
        uint64_t extent_bytes = device_config_extent(config, size).length_bytes;
        if (extent_bytes == 0 && size == 0)
                printf("\n%s: left out, as there is nothing at %s\n", config->name, config->path);
        else if (extent_bytes == 0)
                printf("\n%s: left out, as %s ends before its extent does\n", config->name, config->path);
        else
                s->devices[s->count++] = (struct forecast_device){ .config = config,
                        .extent_bytes = extent_bytes,
                        .place = place,
                        .controller = disk_place_controller_number(&place) };
}

static int add_member(struct show *s, const struct settings *settings, const struct roster_member *m) {
        struct device_config *config;
        int r = device_config_member(&config, settings->matches[m->entry], m->name, m->path, m->key);
        if (r < 0)
                return r;
        s->configs[s->config_count++] = config;
        add(s, config);
        return 0;
}

static int find_members(struct roster **ret, const struct settings *settings, const struct disk_list *disks) {
        CLEANUP_FREE const char **names = calloc(settings->device_count + 1, sizeof *names);
        CLEANUP_FREE uint64_t *devices = calloc(settings->device_count + 1, sizeof *devices);
        if (!names || !devices)
                return -ENOMEM;
        struct roster_world world = { .entries = settings->matches,
                .entry_count = settings->match_count,
                .disks = disks,
                .names = names,
                .name_count = settings->device_count,
                .devices = devices };
        for (size_t i = 0; i < settings->device_count; i++) {
                struct stat st;
                names[i] = settings->devices[i]->name;
                if (stat(settings->devices[i]->path, &st) == 0 && S_ISBLK(st.st_mode))
                        devices[world.device_count++] = st.st_rdev;
        }
        return roster_new(ret, &world);
}

static int gather(struct show *s, const struct settings *settings) {
        CLEANUP(disk_list_freep)
        struct disk_list *disks = NULL;
        CLEANUP(roster_freep)
        struct roster *roster = NULL;
        int r = settings->match_count > 0 ? disks_list(&disks) : 0;
        if (r == 0 && disks)
                r = find_members(&roster, settings, disks);
        if (r < 0)
                return r;
        s->room = settings->device_count + (roster ? roster->count : 0);
        s->devices = calloc(s->room + 1, sizeof *s->devices);
        s->configs = calloc(s->room + 1, sizeof *s->configs);
        s->texts = calloc(s->room + 1, sizeof *s->texts);
        s->streams = calloc(s->room + 1, sizeof *s->streams);
        if (!s->devices || !s->configs || !s->texts || !s->streams)
                return -ENOMEM;
        for (size_t i = 0; i < settings->device_count; i++)
                add(s, settings->devices[i]);
        for (size_t i = 0; r == 0 && roster && i < roster->count; i++)
                r = add_member(s, settings, &roster->members[i]);
        for (size_t i = 0; r == 0 && i < s->count; i++) {
                size_t unused;
                s->streams[i] = open_memstream(&s->texts[i], &unused);
                r = s->streams[i] ? 0 : -ENOMEM;
        }
        return r;
}

/* --- what happens --- */

static void print_stretch(FILE *to, const struct forecast_event *e) {
        char from[64], until[64], rate[32], bytes[32];
        double seconds = (double)(e->to_us - e->from_us) / (double)USEC_PER_SEC;
        text_format_local(from, sizeof from, e->from_us);
        text_format_local(until, sizeof until, e->to_us);
        text_format_size(rate, sizeof rate, seconds > 0 ? (uint64_t)((double)e->bytes / seconds) : e->bytes);
        text_format_size(bytes, sizeof bytes, e->bytes);
        bool fast = seconds > 0 && (double)e->bytes / seconds > (double)AGENDA_SPEED * 1.01;
        fprintf(to, "  %s to %s  %10s/s  %10s%s\n", from, until, rate, bytes,
                fast ? "  (if the device is as fast as rate_max)" : "");
}

static void print_short(FILE *to, const struct forecast_device *d, const struct forecast_event *e) {
        static const char *const why[] = { [PACING_NO_TIME] = "no window opens before",
                [PACING_WINDOW] = "no window is long enough to write and verify a segment in it",
                [PACING_RATE_MAX] = "rate_max is too low",
                [PACING_SPEED] = "a device that does no more is too slow",
                [PACING_HOST] = "limits.rate is too low for all that is due by then",
                [PACING_CROWD] = "too few may run at a time for all that is due by then" };
        static const char *const lost[] = { [AGENDA_FREE] = "it is not planned before",
                [AGENDA_SPREAD] = "its turn is not before",
                [AGENDA_WRITES] = "write_limit holds it back until",
                [AGENDA_WINDOW] = "its windows are closed until" };
        char now[64], deadline[64], start[64] = "";
        text_format_local(now, sizeof now, e->from_us);
        text_format_local(deadline, sizeof deadline, e->deadline_us);
        if (d->lost)
                text_format_local(start, sizeof start, e->to_us);
        fprintf(to, "  %s: the deadline %s can't be met: %s%s%s.\n", now, deadline,
                d->lost ? lost[d->lost_by] : why[d->short_of], d->lost ? " " : "", start);
        char advice[256] = "";
        if (d->lost && d->lost_by == AGENDA_WRITES)
                text_append(advice, sizeof advice, " write_limit = %.1f or more;", agenda_least_write_limit(d->config));
        if (d->advice.rate > 0)
                text_append(advice, sizeof advice, " %s = \"%" PRIu64 "M\" or more;",
                        d->short_of == PACING_HOST ? "limits.rate" : "rate_max", d->advice.rate >> 20);
        if (d->advice.window_minutes > 0)
                text_append(advice, sizeof advice, " a window of %u minutes or more;", d->advice.window_minutes);
        if (d->short_of == PACING_WINDOW)
                text_append(advice, sizeof advice, " a smaller segment;");
        if (d->advice.open_minutes_a_week > 0)
                text_append(advice, sizeof advice, " windows of %u hours a week or more (there are %u);",
                        d->advice.open_minutes_a_week / 60, calendar_week_minutes(d->config->calendar) / 60);
        if (d->advice.every_us > 0) {
                char span[32];
                text_format_span_key(span, sizeof span, d->advice.every_us);
                text_append(advice, sizeof advice, " every = \"%s\" or more;", span);
        }
        if (advice[0])
                fprintf(to, "    one of these would help:%.*s\n", (int)strlen(advice) - 1, advice);
}

static void print_end(FILE *to, const struct forecast_event *e) {
        char from[64], until[64], deadline[64];
        text_format_local(from, sizeof from, e->from_us);
        text_format_local(until, sizeof until, e->to_us);
        text_format_local(deadline, sizeof deadline, e->deadline_us);
        bool has_deadline = e->deadline_us != SCHEDULE_NEVER;
        fprintf(to, "  swept whole from %s to %s", from, until);
        if (has_deadline)
                fprintf(to, "; deadline %s: %s", deadline, e->in_time ? "met" : "MISSED");
        fputs("\n", to);
}

static void print_missed(FILE *to, const struct forecast_event *e) {
        char first[64], deadline[64];
        text_format_local(first, sizeof first, e->from_us);
        text_format_local(deadline, sizeof deadline, e->deadline_us);
        if (e->from_us == e->deadline_us)
                fprintf(to, "  no sweep begins before the deadline %s: MISSED\n", deadline);
        else
                fprintf(to, "  no sweep begins before all deadlines from %s to %s: MISSED\n", first, deadline);
}

static void tell(void *userdata, const struct forecast_device *device, const struct forecast_event *event) {
        struct show *s = userdata;
        FILE *to = s->streams[device - s->devices];
        char until[64];
        text_format_local(until, sizeof until, event->to_us);
        switch (event->kind) {
        case FORECAST_HELD:
                fprintf(to, "  held back by write_limit until %s\n", until);
                break;
        case FORECAST_STRETCH:
                print_stretch(to, event);
                break;
        case FORECAST_SHORT:
                print_short(to, device, event);
                break;
        case FORECAST_MISSED:
                print_missed(to, event);
                break;
        case FORECAST_ENDED:
                print_end(to, event);
                break;
        }
}

/* From start to start, where there are several: the last sweep has no whole period in what was lived through. */
static double full_writes_a_year(const struct forecast_device *d, uint64_t span_us) {
        double each = d->sweeps > 0 ? (double)d->written_bytes / (double)d->extent_bytes / (double)d->sweeps : 0;
        uint64_t between_us = d->history.last_started_us - d->first_us;
        if (d->sweeps < 2 || between_us == 0)
                return each * (double)d->sweeps * ((double)YEAR_US / (double)span_us);
        return each * (double)(d->sweeps - 1) * ((double)YEAR_US / (double)between_us);
}

static void print_device(const struct forecast_device *d, const char *text, uint64_t span_us) {
        char size[32], every[32], written[32];
        text_format_size(size, sizeof size, d->extent_bytes);
        text_format_span(every, sizeof every, d->config->every_us);
        text_format_size(written, sizeof written, d->written_bytes);
        bool never = d->config->every_us == EVERY_NEVER;
        printf("\n%s: mode %s, %s, %s%s, open %u of 168 hours a week\n%s", d->config->name,
                sweep_mode_name(d->config->mode), size, never ? "only by hand" : "every ", never ? "" : every,
                calendar_week_minutes(d->config->calendar) / 60, text);
        printf("  whole sweeps: %" PRIu64 ", deadlines missed: %" PRIu64 ", written: %s, full writes a year: %.1f\n",
                d->sweeps, d->missed, written, full_writes_a_year(d, span_us));
}

static void print_head(uint64_t from_us, uint64_t until_us) {
        char from[64], until[64], speed[32];
        text_format_local(from, sizeof from, from_us);
        text_format_local(until, sizeof until, until_us);
        text_format_size(speed, sizeof speed, AGENDA_SPEED);
        printf("From %s to %s, as if no device had ever been swept. Disks are taken to do %s/s, or what rate_max allows; "
               "nobody else uses them.\n",
                from, until, speed);
}

static void deinit(struct show *s) {
        for (size_t i = 0; s->texts && i < s->room; i++) {
                if (s->streams && s->streams[i])
                        fclose(s->streams[i]);
                free(s->texts[i]);
        }
        for (size_t i = 0; i < s->config_count; i++)
                device_config_unref(s->configs[i]);
        free(s->devices);
        free(s->configs);
        free(s->texts);
        free(s->streams);
}

int simulate(const struct settings *settings, uint64_t from_us, uint64_t span_us) {
        CLEANUP(deinit)
        struct show s = { 0 };
        print_head(from_us, from_us + span_us);
        int r = gather(&s, settings);
        if (r < 0)
                return r;
        struct forecast_options options = {
                .limits = { .rate = settings->rate_bytes,
                        .concurrent_sweeps = settings->concurrent_sweeps,
                        .per_controller = settings->per_controller },
                .from_us = from_us,
                .until_us = from_us + span_us,
                .tell = tell,
                .userdata = &s,
        };
        r = forecast_run(s.devices, s.count, &options);
        for (size_t i = 0; r == 0 && i < s.count; i++) {
                if (fflush(s.streams[i]) != 0)
                        return -ENOMEM;
                print_device(&s.devices[i], s.texts[i] ? s.texts[i] : "", span_us);
        }
        return r;
}

/* As the plan would say of its first sweep, with a disk that is fast. */
static int look_at_windows(const struct settings *settings, const struct device_config *c, uint64_t now_us) {
        struct disk_place unused = { 0 };
        uint64_t extent_bytes = device_config_extent(c, size_of(c->path, &unused)).length_bytes;
        struct pacing_job job = { .deadline_us = c->every_us == EVERY_NEVER ? SCHEDULE_NEVER : now_us + 2 * c->every_us,
                .left_bytes = agenda_work_bytes(
                        c->mode, c->patterns.count, MAX(extent_bytes, device_config_segment_bytes(c, c->mode))),
                .lump_bytes = agenda_lump_bytes(c, c->mode, extent_bytes),
                .lump_wait_us = agenda_lump_wait_us(c, c->mode),
                .calendar = c->calendar,
                .rate_max = c->rate_max_bytes,
                .speed = AGENDA_SPEED };
        struct pacing_limits limits = { .rate = settings->rate_bytes };
        struct pacing_advice advice;
        int r = pacing_plan(&job, 1, &limits, now_us);
        if (r < 0 || job.short_of != PACING_WINDOW)
                return r;
        char lump[32], possible[32], window[64] = "";
        text_format_size(lump, sizeof lump, job.lump_bytes);
        text_format_size(possible, sizeof possible, job.possible);
        pacing_advise(&advice, &job, job.left_bytes, c->every_us, now_us);
        if (advice.window_minutes > 0)
                text_format(window, sizeof window, "a window of %u minutes or more, ", advice.window_minutes);
        printf("%s (line %d): no sweep would get any further: a segment is written and verified in one go, %s in all, which at %s/s takes longer than its longest window, %u minutes. What would help: %sa higher rate, or a smaller segment.\n",
                c->name, c->line, lump, possible, calendar_longest_minutes(c->calendar), window);
        return 0;
}

int simulate_warn(const struct settings *settings, uint64_t now_us) {
        int r = 0;
        for (size_t i = 0; i < settings->device_count && r == 0; i++)
                r = look_at_windows(settings, settings->devices[i], now_us);
        return r;
}
