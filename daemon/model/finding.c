/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are an interface: they go into the ledger, the control socket and the journal, so a table is only ever added
 * to. Facts come partly from a damaged disk, so what goes into a value is made printable here.
 */
#include "model/finding.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/names.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const fault_names[FAULT_COUNT] = {
        [FAULT_READ_ERROR] = "read_error",
        [FAULT_WRITE_ERROR] = "write_error",
        [FAULT_FLUSH_ERROR] = "flush_error",
        [FAULT_BIT_FLIP] = "bit_flip",
        [FAULT_STALE] = "stale",
        [FAULT_MISDIRECTED] = "misdirected",
        [FAULT_TORN] = "torn",
        [FAULT_ZEROED] = "zeroed",
        [FAULT_FOREIGN] = "foreign",
        [FAULT_GARBAGE] = "garbage",
        [FAULT_SLOW] = "slow",
        [FAULT_HUNG] = "hung",
        [FAULT_HOST] = "host",
        [FAULT_UNRESTORED] = "unrestored",
};

static const char *const persistence_names[PERSISTENCE_COUNT] = {
        [PERSISTENCE_UNKNOWN] = "unknown",
        [PERSISTENCE_TRANSIENT] = "transient",
        [PERSISTENCE_REPAIRED] = "repaired",
        [PERSISTENCE_PERSISTENT] = "persistent",
};

static const char *const state_names[FINDING_STATE_COUNT] = {
        [FINDING_OPEN] = "open",
        [FINDING_ACKNOWLEDGED] = "acknowledged",
        [FINDING_RESOLVED] = "resolved",
        [FINDING_RETIRED] = "retired",
};

const char *fault_name(enum fault fault) {
        assert(fault < FAULT_COUNT);
        return fault_names[fault];
}

const char *persistence_name(enum persistence persistence) {
        assert(persistence < PERSISTENCE_COUNT);
        return persistence_names[persistence];
}

const char *finding_state_name(enum finding_state state) {
        assert(state < FINDING_STATE_COUNT);
        return state_names[state];
}

bool fault_from_name(enum fault *ret, const char *name) {
        int i = names_index(fault_names, FAULT_COUNT, name);
        if (i >= 0)
                *ret = (enum fault)i;
        return i >= 0;
}

bool persistence_from_name(enum persistence *ret, const char *name) {
        int i = names_index(persistence_names, PERSISTENCE_COUNT, name);
        if (i >= 0)
                *ret = (enum persistence)i;
        return i >= 0;
}

bool finding_state_from_name(enum finding_state *ret, const char *name) {
        int i = names_index(state_names, FINDING_STATE_COUNT, name);
        if (i >= 0)
                *ret = (enum finding_state)i;
        return i >= 0;
}

/* Where the line of this key begins, or NULL. */
static char *find_line(char *lines, const char *key) {
        size_t key_length = strlen(key);
        for (char *line = lines; *line;) {
                if (strncmp(line, key, key_length) == 0 && line[key_length] == '=')
                        return line;
                char *end = strchr(line, '\n');
                if (!end)
                        break;
                line = end + 1;
        }
        return NULL;
}

void detail_set(struct detail *detail, const char *key, const char *format, ...) {
        assert(!strpbrk(key, "=\n"));
        char *old = find_line(detail->lines, key);
        if (old) {
                char *end = strchr(old, '\n');
                memmove(old, end + 1, strlen(end + 1) + 1);
        }
        char value[FINDING_DETAIL_BYTES];
        va_list arguments;
        va_start(arguments, format);
        int n = vsnprintf(value, sizeof value, format, arguments);
        va_end(arguments);
        assert(n >= 0);
        for (char *p = value; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
        size_t used = strlen(detail->lines), room = sizeof detail->lines - used;
        if (strlen(key) + strlen(value) + 3 > room) /* '=', '\n' and the end */
                return;                             /* whole facts or none: half a number would be a lie */
        text_format(detail->lines + used, room, "%s=%s\n", key, value);
}

bool detail_next(const char **cursor, char *key, size_t key_bytes, char *value, size_t value_bytes) {
        const char *line = *cursor, *equals = strchr(line, '='), *end = equals ? strchr(equals, '\n') : NULL;
        if (!end)
                return false;
        text_format(key, key_bytes, "%.*s", (int)(equals - line), line);
        text_format(value, value_bytes, "%.*s", (int)(end - equals - 1), equals + 1);
        *cursor = end + 1;
        return true;
}
