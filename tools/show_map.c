/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The surface of a device as a picture: each cell is a region. It is looked at to see whether faults, slow places and
 * places that nobody has looked at lie together. It must not look better than things are: a cell shows the worst that
 * is known of its region, and one that was never reached doesn't look like one that is fine. Colour only repeats what
 * the characters say.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "paint.h"
#include "printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As many as the daemon keeps apart, in rows of a power of two that leave room for an offset. */
enum { REGIONS = 1024, CELLS_MIN = 8, CELLS_MAX = 256, OFFSET_COLUMNS = 12, LEGEND_BYTES = 80 };

enum cell {
        CELL_FAULT,
        CELL_UNREACHED,
        CELL_VERY_SLOW,
        CELL_SLOW,
        CELL_WEEK,
        CELL_MONTH,
        CELL_QUARTER,
        CELL_OLD,
        CELL_KINDS
};

static const struct {
        char letter;
        enum paint paint;
        uint64_t least_latency_us, most_age_us; /* what it takes to be this one; 0: nothing */
        const char *legend;
} cells[CELL_KINDS] = {
        [CELL_FAULT] = { 'X', PAINT_ALARM, 0, 0, "a fault that is not over" },
        [CELL_UNREACHED] = { '?', PAINT_DIM, 0, 0, "not reached yet" },
        [CELL_VERY_SLOW] = { 'S', PAINT_WARNING, USEC_PER_SEC, 0, "a request took 1 s or longer" },
        [CELL_SLOW] = { 's', PAINT_WARNING, USEC_PER_SEC / 5, 0, "a request took 200 ms or longer" },
        [CELL_WEEK] = { '#', PAINT_GOOD, 0, 7 * USEC_PER_DAY, "at most 7 days ago" },
        [CELL_MONTH] = { '+', PAINT_GOOD, 0, 31 * USEC_PER_DAY, "at most 31 days ago" },
        [CELL_QUARTER] = { '-', PAINT_PLAIN, 0, 92 * USEC_PER_DAY, "at most 92 days ago" },
        [CELL_OLD] = { '.', PAINT_PLAIN, 0, 0, "longer ago" },
};

struct map {
        json_t *regions;
        const char *age_of; /* the field of a region that its age is taken from */
        uint64_t now_us;
        bool colour;
        size_t counts[CELL_KINDS];
};

static enum cell cell_of(const struct map *map, const json_t *region) {
        uint64_t at_us, latency_us = field_count(region, "latency_max_us");
        if (field_count(region, "findings") > 0)
                return CELL_FAULT;
        if (!field_number(region, map->age_of, &at_us))
                return CELL_UNREACHED;
        for (enum cell c = CELL_VERY_SLOW; c <= CELL_SLOW; c++)
                if (latency_us >= cells[c].least_latency_us)
                        return c;
        uint64_t age_us = map->now_us > at_us ? map->now_us - at_us : 0;
        for (enum cell c = CELL_WEEK; c < CELL_OLD; c++)
                if (age_us <= cells[c].most_age_us)
                        return c;
        return CELL_OLD;
}

static size_t cells_in_row(size_t width) {
        size_t count = CELLS_MIN;
        while (count < CELLS_MAX && OFFSET_COLUMNS + 2 * count <= width)
                count *= 2;
        return count;
}

static void print_cell(struct map *map, enum cell cell) {
        map->counts[cell]++;
        char text[] = { cells[cell].letter, '\0' };
        paint_text(stdout, map->colour, cells[cell].paint, text);
}

static void print_picture(struct map *map, size_t row) {
        for (size_t i = 0; i < json_array_size(map->regions); i++) {
                const json_t *region = json_array_get(map->regions, i);
                char offset[64];
                text_format_size(offset, sizeof offset, field_count(region, "offset"));
                if (i % row == 0)
                        printf("%s%*s  ", i ? "\n" : "", OFFSET_COLUMNS - 2, offset);
                print_cell(map, cell_of(map, region));
        }
        printf("\n\n");
}

/* Only what is in the picture. */
static void print_legend(const struct map *map, size_t width) {
        for (enum cell c = 0; c < CELL_KINDS; c++) {
                bool age = c >= CELL_WEEK;
                if (map->counts[c] == 0)
                        continue;
                char text[] = { cells[c].letter, '\0' }, words[LEGEND_BYTES];
                text_format(words, sizeof words, "%s%s, in %zu",
                        !age                            ? ""
                                : map->age_of[0] == 'v' ? "verified "
                                                        : "read ",
                        cells[c].legend, map->counts[c]);
                words[printable_bytes(words, width - OFFSET_COLUMNS - 3)] = '\0';
                printf("%*s", OFFSET_COLUMNS, "");
                paint_text(stdout, map->colour, cells[c].paint, text);
                printf("  %s\n", words);
        }
}

static const json_t *slowest(const struct map *map) {
        const json_t *found = NULL;
        for (size_t i = 0; i < json_array_size(map->regions); i++) {
                const json_t *region = json_array_get(map->regions, i);
                if (field_count(region, "latency_max_us") > field_count(found, "latency_max_us"))
                        found = region;
        }
        return found;
}

static void print_words(const struct map *map, const char *device, size_t width) {
        const json_t *first = json_array_get(map->regions, 0), *slow = slowest(map);
        char size[64], place[PLACE_TEXT_BYTES], latency[SPAN_SHORT_BYTES];
        text_format_size(size, sizeof size, field_count(first, "length"));
        printf("\n");
        page_fact(stdout, width, "device", "%s, %zu regions of %s", device, json_array_size(map->regions), size);
        if (slow) {
                page_place(place, field_count(slow, "offset"));
                page_span_short(latency, field_count(slow, "latency_max_us"));
                page_fact(stdout, width, "slowest", "%s, in the region at %s", latency, place);
        }
        if (map->counts[CELL_FAULT] > 0)
                page_fact(stdout, width, "faults", "in %zu region%s: sweepctl errors %s", map->counts[CELL_FAULT],
                        map->counts[CELL_FAULT] == 1 ? "" : "s", device);
}

/* Regions without a byte: the device has fewer bytes than regions were asked for. */
static void add_regions(json_t *to, const json_t *regions) {
        for (size_t i = 0; i < json_array_size(regions); i++)
                if (field_count(json_array_get(regions, i), "length") > 0)
                        must_succeed(json_array_append(to, json_array_get(regions, i)));
}

static bool take_reply(void *userdata, const json_t *parameters) {
        const json_t *regions = json_object_get(parameters, "regions");
        if (json_array_size(userdata) + json_array_size(regions) > REGIONS) {
                ctl_complain("sweepd answered with more regions than were asked for");
                return false;
        }
        add_regions(userdata, regions);
        return true;
}

/* Where a mode compares, what was only read counts for nothing. */
static const char *age_field(const json_t *device) {
        return field_is(device, "mode", "read") ? "checked_at" : "verified_at";
}

int command_map(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL, *regions = must(json_array());
        json_t *parameters = ctl_for_device(arguments->device);
        must_succeed(json_object_set_new(parameters, "regions", json_integer(REGIONS)));
        if (!ctl_each(ctl, "GetMap", parameters, take_reply, regions))
                return STATUS_FAILED;
        if (ctl->json) {
                ctl_print_document(json_pack("{s:O}", "regions", regions));
                return STATUS_FINE;
        }
        if (!ctl_ask(ctl, "ListDevices", ctl_for_device(arguments->device), &answer))
                return STATUS_FAILED;
        if (json_array_size(regions) == 0)
                return ctl_complain("sweepd has not seen %s yet, and knows no surface of it: sweepctl status %s",
                        arguments->device, arguments->device);
        size_t width = page_width();
        struct map map = {
                .regions = regions,
                .age_of = age_field(json_object_get(answer, "device")),
                .now_us = clock_wall_us(),
                .colour = paint_wanted(page_output()),
        };
        print_picture(&map, cells_in_row(width));
        print_legend(&map, width);
        print_words(&map, arguments->device, width);
        return STATUS_FINE;
}
