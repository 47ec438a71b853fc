/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slip of the finger must not start something else than was meant: options are taken in full only, each command has
 * its own, nothing is guessed, and what comes close is suggested instead.
 */
#include "options.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/finding.h"
#include "must.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct option {
        const char *name;
        const char *value; /* NULL: takes none */
} options[] = {
        [OPTION_ALL] = { "--all", NULL },
        [OPTION_MODE] = { "--mode", "a mode" },
        [OPTION_PATTERNS] = { "--patterns", "bytes such as 0xaa,0x55, or none," },
        [OPTION_OVERWRITE] = { "--overwrite", "an identity" },
        [OPTION_OUTPUT] = { "--output", "a file" },
        [OPTION_SERIAL] = { "--serial", "the serial of the disk" },
        [OPTION_COMMENT] = { "--comment", "a text" },
        [OPTION_EXEC] = { "--exec", "a program" },
        [OPTION_TIMEOUT] = { "--timeout", "a number of seconds" },
        [OPTION_JSON] = { "--json", NULL },
        [OPTION_NO_PAGER] = { "--no-pager", NULL },
        [OPTION_SOCKET] = { "--socket", "a path" },
        [OPTION_HOST] = { "-H", "a host" },
        [OPTION_VERSION] = { "--version", NULL },
        [OPTION_HELP] = { "--help", NULL },
};

_Static_assert(ELEMENTS(options) == OPTION_COUNT, "each option is in the table");

enum { COMMANDS_MAX = 32, OPTION_TEXT_BYTES = 64, TIMEOUT_MAX_S = 3600 };

/* Options of every command, and of none. */
static const unsigned common_options = BIT(OPTION_JSON) | BIT(OPTION_NO_PAGER) | BIT(OPTION_SOCKET) | BIT(OPTION_HOST) |
        BIT(OPTION_VERSION) | BIT(OPTION_HELP);

const char *const options_modes[] = { "read", "refresh", "preserve", "pattern", NULL };

/* The command line in the order in which it is understood. */
struct parse {
        struct options *to;
        unsigned seen; /* BIT()s of enum option_id */
        const char **words;
        size_t word_count;
};

/* The only one that begins so, or NULL. */
static const char *only_begun(const char *beginning, const char *const *known) {
        const char *found = NULL;
        for (; *known; known++) {
                if (strncmp(*known, beginning, strlen(beginning)) != 0)
                        continue;
                if (found)
                        return NULL;
                found = *known;
        }
        return found;
}

/* Whoever types half a word and goes on to Enter means that word, even where a shorter one comes nearer. */
static const char *meant(const char *given, const char *const *known) {
        const char *begun = only_begun(given, known);
        return begun ? begun : text_nearest(given, known);
}

static void complain_unknown(const char *what, const char *given, const char *nearest, const char *ask) {
        if (nearest)
                ctl_complain("there is no %s \"%s\"; did you mean %s?", what, given, nearest);
        else
                ctl_complain("there is no %s \"%s\"; all of them: %s", what, given, ask);
}

/* One letter is one letter away from every other: only a long option that begins with it can be meant. */
static bool unknown_option(const char *given) {
        const char *known[OPTION_COUNT + 1] = { 0 };
        char longer[OPTION_TEXT_BYTES];
        for (size_t i = 0; i < OPTION_COUNT; i++)
                known[i] = options[i].name;
        text_format(longer, sizeof longer, "-%s", given);
        const char *nearest = strlen(given) == 2 ? only_begun(longer, known) : meant(given, known);
        complain_unknown("option", given, nearest, "sweepctl --help");
        return false;
}

/* "0xaa,0x55", or "none" of those that are configured. */
static bool take_patterns(struct arguments *to, const char *value) {
        struct pattern_list list = { 0 };
        assert(value); /* the option takes one */
        if (strcmp(value, "none") == 0)
                value = "";
        for (bool more = *value; more;) {
                char word[OPTION_TEXT_BYTES];
                size_t length = strcspn(value, ",");
                text_format(word, sizeof word, "%.*s", (int)MIN(length, sizeof word - 1), value);
                int problem = pattern_list_add(&list, word);
                if (problem != PATTERN_LIST_OK) {
                        ctl_complain("--patterns: \"%s\" %s", word, pattern_list_problem(problem));
                        return false;
                }
                more = value[length] == ',';
                value += length + more;
        }
        to->patterns = list;
        to->has_patterns = true;
        return true;
}

static bool take_timeout(struct arguments *to, const char *value) {
        char *end;
        assert(value); /* the option takes one */
        long seconds = strtol(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || seconds < 1 || seconds > TIMEOUT_MAX_S) {
                ctl_complain("--timeout: \"%s\" is no number of seconds from 1 to %d", value, TIMEOUT_MAX_S);
                return false;
        }
        to->timeout_s = (unsigned)seconds;
        return true;
}

static bool take_comment(struct arguments *to, const char *value) {
        assert(value); /* the option takes one */
        if (strlen(value) >= FINDING_COMMENT_BYTES) {
                ctl_complain("--comment: the text has %zu bytes; a finding keeps at most %d", strlen(value),
                        FINDING_COMMENT_BYTES - 1);
                return false;
        }
        to->comment = value;
        return true;
}

static bool set_option(struct options *to, enum option_id id, const char *value) {
        switch (id) {
        case OPTION_ALL:
                to->arguments.all = true;
                break;
        case OPTION_MODE:
                to->arguments.mode = value;
                break;
        case OPTION_PATTERNS:
                return take_patterns(&to->arguments, value);
        case OPTION_OVERWRITE:
                to->arguments.overwrite = value;
                break;
        case OPTION_OUTPUT:
                to->arguments.output = value;
                break;
        case OPTION_SERIAL:
                to->arguments.serial = value;
                break;
        case OPTION_COMMENT:
                return take_comment(&to->arguments, value);
        case OPTION_EXEC:
                to->arguments.exec = value;
                break;
        case OPTION_TIMEOUT:
                return take_timeout(&to->arguments, value);
        case OPTION_JSON:
                to->json = true;
                break;
        case OPTION_NO_PAGER:
                to->no_pager = true;
                break;
        case OPTION_SOCKET:
                to->socket_path = value;
                break;
        case OPTION_HOST:
                to->host = value;
                break;
        case OPTION_VERSION:
                to->version = true;
                break;
        case OPTION_HELP:
                to->help = true;
                break;
        case OPTION_COUNT:
                assert(false);
        }
        return true;
}

/* Finds the value of an option behind '=' or in the next word, to which *at moves then. */
static bool take_value(const struct option *option, const char *behind_equals, char ***at, const char **ret) {
        if (!option->value && behind_equals) {
                ctl_complain("%s takes no value", option->name);
                return false;
        }
        if (!option->value || behind_equals) {
                *ret = behind_equals;
                return true;
        }
        const char *next = (*at)[1];
        if (!next) {
                ctl_complain("%s needs %s behind it", option->name, option->value);
                return false;
        }
        (*at)++;
        *ret = next;
        return true;
}

const char *options_name(enum option_id id) {
        assert(id < OPTION_COUNT);
        return options[id].name;
}

int options_find(const char *name) {
        for (int i = 0; i < OPTION_COUNT; i++)
                if (strcmp(name, options[i].name) == 0)
                        return i;
        return -1;
}

bool options_takes_value(enum option_id id) {
        assert(id < OPTION_COUNT);
        return options[id].value;
}

bool options_belongs(const struct command *command, enum option_id id) {
        return BIT(id) & (common_options | (command ? command->options : 0));
}

static bool take_option(struct parse *p, char ***at) {
        char **begin = *at;
        const char *word = *begin, *equals = strchr(word, '='), *value;
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        char name[OPTION_TEXT_BYTES];
        text_copy(name, MIN(sizeof name, length + 1), word);
        int id = options_find(name);
        if (id < 0)
                return unknown_option(name);
        if (id == OPTION_HOST && p->to->host_at) {
                ctl_complain("-H is there twice: one host at a time");
                return false;
        }
        if (!take_value(&options[id], equals ? equals + 1 : NULL, at, &value))
                return false;
        if (id == OPTION_HOST)
                p->to->host_at = begin;
        p->seen |= (unsigned)BIT(id);
        return set_option(p->to, (enum option_id)id, value);
}

static bool take_all(struct parse *p, char **argv) {
        bool only_words = false;
        for (char **at = argv + 1; *at; at++) {
                bool is_option = !only_words && (*at)[0] == '-' && (*at)[1] != '\0';
                if (is_option && strcmp(*at, "--") == 0)
                        only_words = true;
                else if (!is_option)
                        p->words[p->word_count++] = *at;
                else if (!take_option(p, &at))
                        return false;
        }
        return true;
}

/* Two words that are one command become one. */
static bool join_words(struct parse *p, const struct command *commands, char *room, size_t room_bytes) {
        bool two = false;
        for (size_t i = 0; commands[i].name; i++) {
                size_t length = strcspn(commands[i].name, " ");
                two |= commands[i].name[length] && strncmp(commands[i].name, p->words[0], length) == 0 &&
                        !p->words[0][length];
        }
        if (!two)
                return true;
        if (p->word_count == 1) {
                ctl_complain("%s wants to know what to do: sweepctl --help", p->words[0]);
                return false;
        }
        text_format(room, room_bytes, "%s %s", p->words[0], p->words[1]);
        p->words[0] = room;
        p->word_count--;
        memmove(&p->words[1], &p->words[2], (p->word_count - 1) * sizeof p->words[0]);
        return true;
}

static const struct command *find_command(const struct command *commands, const char *name) {
        const char *known[COMMANDS_MAX + 1] = { 0 };
        for (size_t i = 0; commands[i].name; i++) {
                assert(i < COMMANDS_MAX);
                known[i] = commands[i].name;
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        }
        complain_unknown("command", name, meant(name, known), "sweepctl --help");
        return NULL;
}

static bool check_options(const struct command *command, unsigned seen) {
        for (size_t i = 0; i < OPTION_COUNT; i++)
                if (seen & BIT(i) && !options_belongs(command, (enum option_id)i)) {
                        ctl_complain("%s has no option %s: sweepctl %s --help", command->name, options[i].name,
                                command->name);
                        return false;
                }
        return true;
}

static bool take_id(const struct command *command, const char *word, uint64_t *ret) {
        char *end;
        errno = 0;
        long long id = strtoll(word, &end, 10);
        if (word[0] < '0' || word[0] > '9' || *end || errno || id <= 0) {
                bool rescue = command->operand == OPERAND_RESCUE;
                ctl_complain("\"%s\" is no number of a %s; %s wants one that sweepctl %s shows", word,
                        rescue ? "rescue" : "finding", command->name, rescue ? "rescue list" : "errors");
                return false;
        }
        *ret = (uint64_t)id;
        return true;
}

static bool take_ids(const struct command *command, const struct parse *p) {
        struct arguments *to = &p->to->arguments;
        to->ids = must(calloc(p->word_count, sizeof *to->ids));
        for (size_t i = 1; i < p->word_count; i++)
                if (!take_id(command, p->words[i], &to->ids[to->id_count++]))
                        return false;
        return true;
}

static bool take_operand(const struct command *command, const struct parse *p) {
        const char *word = p->word_count > 1 ? p->words[1] : NULL;
        if (p->word_count > 2 && command->operand != OPERAND_IDS) {
                ctl_complain("\"%s\" is one word too many: sweepctl %s --help", p->words[2], command->name);
                return false;
        }
        if (!word) {
                if (command->operand == OPERAND_NONE || command->operand == OPERAND_DEVICE_OPTIONAL)
                        return true;
                ctl_complain("%s needs to know which: sweepctl %s %s", command->name, command->name, command->usage);
                return false;
        }
        if (command->operand == OPERAND_NONE) {
                ctl_complain("%s takes nothing behind it, but there is \"%s\"", command->name, word);
                return false;
        }
        if (command->operand == OPERAND_IDS)
                return take_ids(command, p);
        if (command->operand == OPERAND_ID || command->operand == OPERAND_RESCUE)
                return take_id(command, word, &p->to->arguments.id);
        if (!*word) {
                ctl_complain("the name of the device is empty: sweepctl status shows the names");
                return false;
        }
        p->to->arguments.device = word;
        return true;
}

static bool check_mode(const struct options *o) {
        if (!o->arguments.mode)
                return true;
        for (size_t i = 0; options_modes[i]; i++)
                if (strcmp(o->arguments.mode, options_modes[i]) == 0)
                        return true;
        complain_unknown("mode", o->arguments.mode, meant(o->arguments.mode, options_modes), "sweepctl start --help");
        return false;
}

void options_deinit(struct options *o) {
        free(o->arguments.ids);
}

bool options_parse(struct options *ret, const struct command *commands, int argc, char **argv) {
        CLEANUP(options_deinit)
        struct options o = { .socket_path = OPTIONS_SOCKET_DEFAULT };
        CLEANUP_FREE const char **words = must(calloc((size_t)argc + 1, sizeof *words));
        struct parse p = { .to = &o, .words = words };
        if (argc < 1 || !take_all(&p, argv))
                return false;
        char room[OPTION_TEXT_BYTES];
        if (p.word_count > 0) {
                if (!join_words(&p, commands, room, sizeof room))
                        return false;
                o.command = find_command(commands, p.words[0]);
                if (!o.command || !check_options(o.command, p.seen))
                        return false;
                if (!o.help && !o.version && (!take_operand(o.command, &p) || !check_mode(&o)))
                        return false;
        }
        *ret = o;
        o.arguments.ids = NULL; /* it moved */
        return true;
}
