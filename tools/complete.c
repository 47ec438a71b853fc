/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completions that are kept beside the program fall behind it, so shells ask it: it knows its commands and options, and
 * the daemon knows the names of devices and the numbers of findings. Somebody waits with a finger on the key: a daemon
 * that doesn't answer soon has no names.
 */
#include "complete.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "field.h"
#include "must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_S = 2, WORD_BYTES = 128 };

/* What has been typed before the word in question. */
struct typed {
        const struct command *commands, *command; /* command: NULL: not known yet */
        const char *first;                        /* of a command of two words; NULL: none yet */
        const char *word;                         /* the one in question, from where it can be completed */
        const char *before;                       /* the same word from its beginning */
        const char *socket_path;
        size_t operands;
        int option;           /* the one whose value the word is; -1: none */
        bool far, only_words; /* far: another host is asked */
};

static void offer(const struct typed *t, const char *word, const char *what) {
        if (strncmp(word, t->word, strlen(t->word)) == 0)
                printf("%.*s%s\t%s\n", (int)(t->word - t->before), t->before, word, what);
}

/* Of commands of two words first the first one, once, and then the second. */
static void offer_commands(const struct typed *t) {
        const char *last = "";
        size_t last_length = 0;
        for (const struct command *c = t->commands; c->name; c++) {
                size_t length = strcspn(c->name, " ");
                bool again = length == last_length && strncmp(c->name, last, length) == 0;
                char first[WORD_BYTES];
                text_copy(first, MIN(sizeof first, length + 1), c->name);
                if (t->first && c->name[length] && strcmp(first, t->first) == 0)
                        offer(t, c->name + length + 1, c->summary);
                else if (!t->first && !again)
                        offer(t, first, c->name[length] ? "" : c->summary);
                last = c->name;
                last_length = length;
        }
}

static void offer_options(const struct typed *t) {
        for (int i = 0; i < OPTION_COUNT; i++)
                if (options_belongs(t->command, i))
                        offer(t, options_name(i), "");
}

/* A word for each record that the daemon lists. */
static void offer_listed(const struct typed *t, const char *method, const char *field) {
        if (t->far)
                return; /* it would take a login for each key */
        struct ctl ctl;
        alarm(PATIENCE_S);
        if (!ctl_open(&ctl, t->socket_path, false))
                return;
        CLEANUP_JSON json_t *records = NULL;
        bool known = ctl_list(&ctl, method, must(json_object()), field, &records);
        for (size_t i = 0; known && i < json_array_size(records); i++) {
                const json_t *record = json_array_get(records, i);
                char number[WORD_BYTES], what[WORD_BYTES], verdict[VERDICT_TEXT_BYTES] = "";
                text_format(number, sizeof number, "%" PRIu64, field_count(record, "id"));
                if (field_text(record, "verdict"))
                        field_verdict(verdict, record);
                text_format(what, sizeof what, "%s %s",
                        field_text_or(record, "device", field_text_or(record, "state", "")),
                        field_text_or(record, "fault", verdict));
                offer(t, field_text_or(record, "name", number), what);
        }
        ctl_close(&ctl);
}

static void offer_operand(const struct typed *t) {
        if (t->operands > 0 && t->command->operand != OPERAND_IDS)
                return;
        switch (t->command->operand) {
        case OPERAND_NONE:
                break;
        case OPERAND_DEVICE:
        case OPERAND_DEVICE_OPTIONAL:
                offer_listed(t, "ListDevices", "device");
                break;
        case OPERAND_ID:
        case OPERAND_IDS:
                offer_listed(t, "ListFindings", "finding");
                break;
        case OPERAND_RESCUE:
                offer_listed(t, "ListRescues", "rescue");
                break;
        }
}

static void offer_value(const struct typed *t) {
        switch (t->option) {
        case OPTION_MODE:
                for (const char *const *mode = options_modes; *mode; mode++)
                        offer(t, *mode, "");
                break;
        case OPTION_EXEC:
        case OPTION_OUTPUT:
        case OPTION_SOCKET:
                puts(":file");
                break;
        case OPTION_HOST:
                puts(":host");
                break;
        default:
                break;
        }
}

static const struct command *find(const struct command *commands, const char *first, const char *second) {
        char name[WORD_BYTES];
        text_format(name, sizeof name, "%s%s%s", first ? first : "", first ? " " : "", second);
        for (const struct command *c = commands; c->name; c++)
                if (strcmp(c->name, name) == 0)
                        return c;
        return NULL;
}

static void take_word(struct typed *t, const char *word) {
        if (t->command)
                t->operands++;
        else if (!(t->command = find(t->commands, t->first, word)))
                t->first = word;
}

static void take_value(struct typed *t, const char *value) {
        if (t->option == OPTION_SOCKET)
                t->socket_path = value;
        t->option = -1;
}

/* The option of a word that may go on with its value; -1: there is none. */
static int option_in(const char *word) {
        char name[WORD_BYTES];
        text_copy(name, MIN(sizeof name, strcspn(word, "=") + 1), word);
        return options_find(name);
}

static void take_option(struct typed *t, const char *word) {
        const char *equals = strchr(word, '=');
        int option = option_in(word);
        t->far |= option == OPTION_HOST;
        if (option < 0 || !options_takes_value(option))
                return;
        t->option = option;
        if (equals)
                take_value(t, equals + 1);
}

static bool is_option(const struct typed *t, const char *word) {
        return !t->only_words && word[0] == '-' && word[1];
}

static void take(struct typed *t, const char *word) {
        if (t->option >= 0 && strcmp(word, "=") == 0)
                return; /* bash makes three words of "--mode=read" */
        if (t->option >= 0)
                take_value(t, word);
        else if (strcmp(word, "--") == 0)
                t->only_words = true;
        else if (is_option(t, word))
                take_option(t, word);
        else
                take_word(t, word);
}

/* The word in question may itself hold an option and the beginning of its value. */
static void take_last(struct typed *t, const char *word) {
        const char *equals = t->option < 0 && is_option(t, word) ? strchr(word, '=') : NULL;
        t->word = t->before = t->option >= 0 && strcmp(word, "=") == 0 ? "" : word;
        if (!equals)
                return;
        t->option = option_in(word);
        t->word = equals + 1;
}

void complete(const struct command *commands, char **words) {
        struct typed t = { .commands = commands, .socket_path = OPTIONS_SOCKET_DEFAULT, .option = -1 };
        for (; words[0] && words[1]; words++)
                take(&t, words[0]);
        take_last(&t, words[0] ? words[0] : "");
        if (t.option >= 0)
                offer_value(&t);
        else if (*t.word == '-' && !t.only_words)
                offer_options(&t);
        else if (t.command)
                offer_operand(&t);
        else
                offer_commands(&t);
}
