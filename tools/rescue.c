/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an undo journal still holds may be the last copy of somebody's data. What could go wrong: it is written over
 * another file, or to a terminal; a copy with a gap in it is taken for a whole one; and something is forgotten that
 * nobody looked at. So files are only ever made anew, each piece is told with what is wrong with it, and what could not
 * be read fails the command when all the rest was written.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NOTE_BYTES = 1024 };

static void note_of(char to[static NOTE_BYTES], const json_t *rescue) {
        text_format(
                to, NOTE_BYTES, "%s; in %s", field_text_or(rescue, "text", "-"), field_text_or(rescue, "journal", "-"));
}

/* Of many copies in a row, all with the same to say, the last one says it. next: or NULL. */
static void show_rescue(struct table *table, const json_t *rescue, const json_t *next) {
        static const char *const never = "unknown";
        char id[24], since[TIME_TEXT_BYTES], place[PLACE_TEXT_BYTES], length[PLACE_TEXT_BYTES];
        snprintf(id, sizeof id, "%" PRIu64, field_count(rescue, "id"));
        field_time_short(since, rescue, "armed_at", never);
        page_place(place, field_count(rescue, "offset"));
        text_format_size(length, sizeof length, field_count(rescue, "length"));
        const char *cells[] = { id, field_text_or(rescue, "device", "?"), field_text_or(rescue, "kind", "?"), since,
                place, length };
        table_add(table, cells);
        char note[NOTE_BYTES], next_note[NOTE_BYTES] = "";
        note_of(note, rescue);
        if (next)
                note_of(next_note, next);
        if (strcmp(note, next_note) != 0)
                table_note(table, note);
}

static void show_rescues(const json_t *rescues) {
        static const struct column columns[] = {
                { "ID", COLUMN_KEY },
                { "DEVICE", COLUMN_KEY },
                { "KIND", COLUMN_KEY },
                { "SINCE", COLUMN_OPTIONAL },
                { "OFFSET", COLUMN_PLAIN },
                { "LENGTH", COLUMN_PLAIN },
        };
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(rescues); i++)
                show_rescue(table, json_array_get(rescues, i), json_array_get(rescues, i + 1));
        table_print(table, stdout, page_width());
        table_free(table);
        puts("\nTake one out: sweepctl rescue export ID --output FILE\nTry again:    sweepctl rescue retry ID\n"
             "Give one up:  sweepctl rescue forget ID");
}

int command_rescue_list(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *rescues = NULL;
        if (!ctl_list(ctl, "ListRescues", ctl_for_device(arguments->device), "rescue", &rescues))
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_pack("{s:O}", "rescues", rescues));
        else if (json_array_size(rescues) > 0)
                show_rescues(rescues);
        else
                printf("No undo journal%s%s holds anything.\n", arguments->device ? " of " : "",
                        arguments->device ? arguments->device : "");
        return STATUS_FINE;
}

struct export {
        int fd;
        const char *output; /* NULL: the pieces one after the other */
        size_t pieces, doubtful;
        uint64_t bytes;
        json_t *told; /* with --json */
};

static int digit_of(char c) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *at = c ? strchr(digits, c) : NULL;
        return at ? (int)(at - digits) : -1;
}

/* In place of the text, which is longer. False: that is no base64. */
static bool decode(char *text, size_t *ret_length) {
        size_t length = strlen(text), padding = 0, used = 0;
        if (length % 4 != 0)
                return false;
        while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
                padding++;
        for (size_t i = 0; i < length; i += 4) {
                uint32_t three = 0;
                for (size_t k = 0; k < 4; k++) {
                        int digit = i + k >= length - padding ? 0 : digit_of(text[i + k]);
                        if (digit < 0)
                                return false;
                        three = three << 6 | (uint32_t)digit;
                }
                text[used++] = (char)(three >> 16);
                text[used++] = (char)(three >> 8 & 255);
                text[used++] = (char)(three & 255);
        }
        *ret_length = used - padding;
        return true;
}

static bool write_piece(const struct export *x, const char *bytes, size_t length, uint64_t offset) {
        for (size_t done = 0; done < length;) {
                ssize_t n = x->output ? pwrite(x->fd, bytes + done, length - done, (off_t)(offset + done))
                                      : write(x->fd, bytes + done, length - done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        ctl_complain("cannot write %s: %s", x->output ? x->output : "to standard output",
                                strerror(n < 0 ? errno : EIO));
                        return false;
                }
                done += (size_t)n;
        }
        return true;
}

static void tell_piece(struct export *x, uint64_t offset, size_t length, const char *text) {
        if (!x->told)
                fprintf(stderr, "offset %" PRIu64 ", %zu bytes%s%s\n", offset, length, text ? ": " : "",
                        text ? text : "");
        x->pieces++;
        x->doubtful += text != NULL;
        x->bytes += length;
        if (x->told)
                must_succeed(json_array_append_new(x->told,
                        json_pack("{s:I, s:I, s:s?}", "offset", (json_int_t)offset, "length", (json_int_t)length,
                                "text", text)));
}

static bool take_piece(void *userdata, const json_t *parameters) {
        struct export *x = userdata;
        const char *base64 = json_string_value(json_object_get(parameters, "data_base64"));
        uint64_t offset;
        size_t length;
        if (!base64 || !field_number(parameters, "offset", &offset)) /* the end of a list without an item */
                return true;
        CLEANUP_FREE char *bytes = must(strdup(base64));
        if (!decode(bytes, &length)) {
                ctl_complain("what sweepd answered is no base64");
                return false;
        }
        if (!write_piece(x, bytes, length, offset))
                return false;
        tell_piece(x, offset, length, field_text(parameters, "text"));
        return true;
}

/* False: stderr says why. */
static bool open_output(struct ctl *ctl, const struct arguments *arguments, struct export *x) {
        x->output = arguments->output;
        if (!x->output && (isatty(STDOUT_FILENO) || ctl->json)) {
                ctl_complain("these are raw bytes: say into which file: sweepctl rescue export %" PRIu64
                             " --output FILE",
                        arguments->id);
                return false;
        }
        x->fd = x->output ? open(x->output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : STDOUT_FILENO;
        if (x->fd < 0)
                ctl_complain("cannot make the file %s: %s", x->output, strerror(errno));
        return x->fd >= 0;
}

static bool close_output(struct export *x) {
        if (!x->output)
                return true;
        int error = fsync(x->fd) < 0 ? errno : 0;
        if (close(x->fd) < 0 && error == 0)
                error = errno;
        if (error)
                ctl_complain("cannot write %s: %s", x->output, strerror(error));
        return error == 0;
}

static json_t *with_id(uint64_t id) {
        return json_pack("{s:I}", "id", (json_int_t)id);
}

int command_rescue_export(struct ctl *ctl, const struct arguments *arguments) {
        struct export x = { .fd = -1 };
        if (!open_output(ctl, arguments, &x))
                return STATUS_FAILED;
        CLEANUP_JSON json_t *told = ctl->json ? must(json_array()) : NULL;
        x.told = told;
        bool whole = ctl_each(ctl, "ExportRescue", with_id(arguments->id), take_piece, &x);
        whole &= close_output(&x);
        if (!whole && x.output && x.pieces == 0)
                (void)unlink(x.output);
        if (!whole)
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_pack("{s:O}", "pieces", told));
        else if (x.pieces == 0)
                fputs("All of it is in its place on the device, as it was saved.\n", stderr);
        if (x.doubtful > 0)
                return ctl_complain(
                        "of %zu pieces %zu are not what was saved, or could not be read", x.pieces, x.doubtful);
        return STATUS_FINE;
}

int command_rescue_retry(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL;
        if (!ctl_ask(ctl, "RetryRescue", with_id(arguments->id), &answer))
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_object());
        else
                puts("It is tried again now. What came of it: sweepctl status, sweepctl rescue list");
        return STATUS_FINE;
}

/* Borrows from *list. NULL: stderr says why. */
static const json_t *look_up(struct ctl *ctl, uint64_t id, json_t **list) {
        if (!ctl_list(ctl, "ListRescues", ctl_for_device(NULL), "rescue", list))
                return NULL;
        for (size_t i = 0; i < json_array_size(*list); i++)
                if (field_count(json_array_get(*list, i), "id") == id)
                        return json_array_get(*list, i);
        ctl_complain("no undo journal holds anything under the number %" PRIu64 ": sweepctl rescue list", id);
        return NULL;
}

/* What is about to be given up is shown first. False: stderr says why. */
static bool ask_serial(struct ctl *ctl, uint64_t id, char *serial, size_t serial_bytes) {
        CLEANUP_JSON json_t *list = NULL;
        const json_t *rescue = look_up(ctl, id, &list);
        if (!rescue)
                return false;
        fprintf(stderr,
                "%s, offset %" PRIu64 ", %" PRIu64 " bytes: %s.\nTo give it up for good, type the serial of the disk "
                "whose data it is: ",
                field_text_or(rescue, "device", "?"), field_count(rescue, "offset"), field_count(rescue, "length"),
                field_text_or(rescue, "text", "-"));
        if (!fgets(serial, (int)serial_bytes, stdin))
                serial[0] = '\0';
        serial[strcspn(serial, "\n")] = '\0';
        if (!serial[0])
                ctl_complain("nothing was typed: nothing is forgotten");
        return serial[0] != '\0';
}

int command_rescue_forget(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL;
        char typed[4096];
        const char *serial = arguments->serial;
        if (!serial && !isatty(STDIN_FILENO))
                return ctl_complain("rescue forget needs --serial: that of the disk whose data is given up");
        if (!serial && !ask_serial(ctl, arguments->id, typed, sizeof typed))
                return STATUS_FAILED;
        json_t *parameters = must(with_id(arguments->id));
        ctl_set(parameters, "serial", serial ? serial : typed);
        if (!ctl_ask(ctl, "ForgetRescue", parameters, &answer))
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_object());
        else
                puts("It is forgotten. The device is looked at again now: sweepctl status");
        return STATUS_FINE;
}
