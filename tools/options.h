/* SPDX-License-Identifier: Apache-2.0 */
/* options: what was typed, taken apart and checked. */
#pragma once

#include "commands.h"

#include <stdbool.h>

enum operand { OPERAND_NONE, OPERAND_DEVICE_OPTIONAL, OPERAND_DEVICE, OPERAND_ID, OPERAND_IDS, OPERAND_RESCUE };

struct command {
        const char *name;    /* one word, or two */
        const char *usage;   /* what follows the name */
        const char *summary; /* a line */
        const char *help;    /* a paragraph, without line breaks */
        enum operand operand;
        bool binary;      /* it may print what is not text */
        bool paged;       /* it prints an answer and ends: a long one goes through a pager */
        unsigned options; /* BIT()s of enum option_id that only some commands have */
        int (*run)(struct ctl *ctl, const struct arguments *arguments);
};

enum option_id {
        OPTION_ALL,
        OPTION_MODE,
        OPTION_PATTERNS,
        OPTION_OVERWRITE,
        OPTION_OUTPUT,
        OPTION_SERIAL,
        OPTION_COMMENT,
        OPTION_EXEC,
        OPTION_TIMEOUT,
        OPTION_JSON,
        OPTION_NO_PAGER,
        OPTION_SOCKET,
        OPTION_HOST,
        OPTION_VERSION,
        OPTION_HELP,
        OPTION_COUNT
};

struct options {
        const struct command *command; /* NULL: none was named */
        struct arguments arguments;
        bool json, no_pager, version, help;
        const char *socket_path;
        const char *host; /* NULL: this one */
        char **host_at;   /* the word that says so */
};

#define OPTIONS_SOCKET_DEFAULT "/run/sweepd/control"

/* commands ends with an entry without a name. False: it makes no sense, and stderr says why. */
bool options_parse(struct options *ret, const struct command *commands, int argc, char **argv);

void options_deinit(struct options *o);

/* What an option is called; which it is (-1: none); and whether it takes a value. */
const char *options_name(enum option_id id);
int options_find(const char *name);
bool options_takes_value(enum option_id id);

/* Whether a command has it; NULL: whether all have it. */
bool options_belongs(const struct command *command, enum option_id id);

/* Ended by NULL. */
extern const char *const options_modes[];
