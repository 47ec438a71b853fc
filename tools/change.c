/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that change something. The daemon alone decides whether they are allowed; what could go wrong here is to
 * report as done what was only asked for, so each says exactly what was accepted.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "field.h"
#include "must.h"

#include <inttypes.h>
#include <stdio.h>

enum { IDS_A_CALL = 512 }; /* no sweepd takes more at a time */

static void set_patterns(json_t *parameters, const struct pattern_list *list) {
        json_t *words = must(json_array());
        must_succeed(json_object_set_new(parameters, "patterns", words));
        for (size_t i = 0; i < list->count; i++) {
                char word[PATTERN_TEXT_BYTES];
                pattern_format(word, list->bytes[i]);
                must_succeed(json_array_append_new(words, json_string(word)));
        }
}

int command_start(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL;
        json_t *parameters = ctl_for_device(arguments->device);
        ctl_set(parameters, "mode", arguments->mode);
        ctl_set(parameters, "overwrite", arguments->overwrite);
        if (arguments->has_patterns)
                set_patterns(parameters, &arguments->patterns);
        if (!ctl_ask(ctl, "StartSweep", parameters, &answer))
                return STATUS_FAILED;
        uint64_t id;
        if (!field_number(answer, "sweep_id", &id))
                return ctl_complain("sweepd took the order, but named no sweep: sweepctl status %s", arguments->device);
        if (ctl->json)
                ctl_print_document(json_pack("{s:I}", "sweep_id", (json_int_t)id));
        else
                printf("Sweep %" PRIu64 " of %s runs, or is queued. Follow it: sweepctl wait %s\n", id,
                        arguments->device, arguments->device);
        return STATUS_FINE;
}

/* A call whose answer is empty. False: stderr says why. */
static bool order(struct ctl *ctl, const char *method, const char *device) {
        CLEANUP_JSON json_t *answer = NULL;
        if (!ctl_ask(ctl, method, ctl_for_device(device), &answer))
                return false;
        if (ctl->json)
                ctl_print_document(json_object());
        return true;
}

int command_cancel(struct ctl *ctl, const struct arguments *arguments) {
        if (!order(ctl, "CancelSweep", arguments->device))
                return STATUS_FAILED;
        if (!ctl->json)
                printf("The sweep of %s is being ended.\n", arguments->device);
        return STATUS_FINE;
}

/* What rests, and where; the sweep may still be on its way there. */
int command_pause(struct ctl *ctl, const struct arguments *arguments) {
        if (!order(ctl, "PauseSweep", arguments->device))
                return STATUS_FAILED;
        if (!ctl->json)
                printf("%s is paused: a sweep of it rests where it is, and none begins. Go on: sweepctl resume %s\n",
                        arguments->device, arguments->device);
        return STATUS_FINE;
}

int command_resume(struct ctl *ctl, const struct arguments *arguments) {
        if (!order(ctl, "ResumeSweep", arguments->device))
                return STATUS_FAILED;
        if (!ctl->json)
                printf("%s is not paused any more. How it goes on: sweepctl status %s\n", arguments->device,
                        arguments->device);
        return STATUS_FINE;
}

int command_retire(struct ctl *ctl, const struct arguments *arguments) {
        if (!order(ctl, "Retire", arguments->device))
                return STATUS_FAILED;
        if (!ctl->json)
                printf("The findings of %s are retired: sweepctl errors %s --all\n", arguments->device,
                        arguments->device);
        return STATUS_FINE;
}

/* Of these sweepd takes all, or none. */
static bool acknowledge(struct ctl *ctl, const uint64_t *ids, size_t count, const char *comment) {
        CLEANUP_JSON json_t *answer = NULL;
        json_t *parameters = must(json_object()), *list = must(json_array());
        must_succeed(json_object_set_new(parameters, "ids", list));
        for (size_t i = 0; i < count; i++)
                must_succeed(json_array_append_new(list, json_integer((json_int_t)ids[i])));
        ctl_set(parameters, "comment", comment);
        return ctl_ask(ctl, "Acknowledge", parameters, &answer);
}

int command_ack(struct ctl *ctl, const struct arguments *arguments) {
        for (size_t done = 0, count; done < arguments->id_count; done += count) {
                count = MIN(arguments->id_count - done, (size_t)IDS_A_CALL);
                if (acknowledge(ctl, arguments->ids + done, count, arguments->comment))
                        continue;
                if (done > 0)
                        ctl_complain("of %zu findings the first %zu are acknowledged, the others are not",
                                arguments->id_count, done);
                return STATUS_FAILED;
        }
        if (ctl->json)
                ctl_print_document(json_object());
        else
                printf("%zu finding%s acknowledged.\n", arguments->id_count, arguments->id_count == 1 ? "" : "s");
        return STATUS_FINE;
}

int command_alert_test(struct ctl *ctl, const struct arguments *arguments) {
        (void)arguments;
        if (!order(ctl, "TestAlert", NULL))
                return STATUS_FAILED;
        if (!ctl->json)
                puts("sweepd was told to send an alert. Where there is a journal: journalctl -t sweepd -p alert");
        return STATUS_FINE;
}

int command_reload(struct ctl *ctl, const struct arguments *arguments) {
        (void)arguments;
        if (!order(ctl, "Reload", NULL))
                return STATUS_FAILED;
        if (!ctl->json)
                puts("The configuration was read again.");
        return STATUS_FINE;
}
