/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults are told in short lines, so that a test reads as what it does to the disk. What could go wrong is a line that
 * is understood as something else: a misspelt key or a number out of range is an error, never left aside, and a
 * fault that can't apply to its kind of request (a read that gets lost) is refused.
 */
#include "rules.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const op_names[DISK_OP_COUNT] = { "read", "write", "flush" };

static const struct {
        const char *name;
        unsigned ops; /* to which it can apply */
} actions[RULE_ACTION_COUNT] = {
        [RULE_ERROR] = { "error", BIT(DISK_READ) | BIT(DISK_WRITE) | BIT(DISK_FLUSH) },
        [RULE_FLIP] = { "flip", BIT(DISK_READ) | BIT(DISK_WRITE) },
        [RULE_LOSE] = { "lose", BIT(DISK_WRITE) },
        [RULE_MISDIRECT] = { "misdirect", BIT(DISK_WRITE) },
        [RULE_TEAR] = { "tear", BIT(DISK_WRITE) },
        [RULE_ZERO] = { "zero", BIT(DISK_READ) },
        [RULE_STALE] = { "stale", BIT(DISK_READ) },
        [RULE_DELAY] = { "delay", BIT(DISK_READ) | BIT(DISK_WRITE) | BIT(DISK_FLUSH) },
        [RULE_HANG] = { "hang", BIT(DISK_READ) | BIT(DISK_WRITE) | BIT(DISK_FLUSH) },
};

static const struct {
        const char *name;
        int error;
} errors[] = {
        { "EIO", EIO },
        { "ENODATA", ENODATA },
        { "EILSEQ", EILSEQ },
        { "ENODEV", ENODEV },
        { "ENXIO", ENXIO },
        { "ENOSPC", ENOSPC },
        { "ENOLINK", ENOLINK },
        { "ETIMEDOUT", ETIMEDOUT },
        { "EBADE", EBADE },
        { "EPERM", EPERM },
        { "EROFS", EROFS },
        { "EREMOTEIO", EREMOTEIO },
        { "ENOMEM", ENOMEM },
        { "EAGAIN", EAGAIN },
        { "EINTR", EINTR },
        { "EBUSY", EBUSY },
};

const char *disk_op_name(enum disk_op op) {
        return op_names[op];
}

int rules_errno(const char *name) {
        for (size_t i = 0; i < ELEMENTS(errors); i++)
                if (strcmp(errors[i].name, name) == 0)
                        return errors[i].error;
        return 0;
}

static int action_from_name(const char *word) {
        for (int i = 0; i < RULE_ACTION_COUNT; i++)
                if (strcmp(actions[i].name, word) == 0)
                        return i;
        return -1;
}

bool rules_is_action(const char *word) {
        return action_from_name(word) >= 0;
}

/* "read,write", "flush", "all"; 0: not understood. */
static unsigned parse_ops(char *word, enum rule_action action) {
        unsigned ops = 0;
        char *rest = NULL;
        if (strcmp(word, "all") == 0)
                return actions[action].ops;
        for (char *name = strtok_r(word, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
                unsigned op = 0;
                while (op < DISK_OP_COUNT && strcmp(op_names[op], name) != 0)
                        op++;
                if (op == DISK_OP_COUNT || !(actions[action].ops & BIT(op)))
                        return 0;
                ops |= (unsigned)BIT(op);
        }
        return ops;
}

static int parse_key(struct rule *rule, const char *key, const char *value) {
        uint64_t number = 0;
        if (strcmp(key, "errno") == 0)
                return (rule->error = rules_errno(value)) ? 0 : -EINVAL;
        int r = text_parse_size(&number, value);
        if (r < 0)
                return r;
        if (strcmp(key, "at") == 0)
                rule->offset_bytes = number;
        else if (strcmp(key, "length") == 0)
                rule->length_bytes = number;
        else if (strcmp(key, "times") == 0)
                rule->times = number;
        else if (strcmp(key, "to") == 0)
                rule->to_bytes = number;
        else if (strcmp(key, "bit") == 0)
                rule->bit = number;
        else if (strcmp(key, "bits") == 0 && number > 0 && number <= 4096)
                rule->bits = (unsigned)number;
        else if (strcmp(key, "sectors") == 0 && number <= UINT32_MAX)
                rule->sectors = (unsigned)number;
        else if (strcmp(key, "ms") == 0 && number <= 3600 * 1000)
                rule->delay_us = number * 1000;
        else
                return -EINVAL;
        return 0;
}

/* A length without an end would overflow when it is added to the offset. */
static void bound_range(struct rule *rule) {
        if (rule->length_bytes > INT64_MAX - rule->offset_bytes)
                rule->length_bytes = INT64_MAX - rule->offset_bytes;
}

int rules_add(struct rules *rules, char *line, unsigned *ret_number, char text[static RULES_TEXT_BYTES]) {
        struct rule rule = {
                .length_bytes = INT64_MAX, .times = UINT64_MAX, .bit = UINT64_MAX, .bits = 1, .error = EIO
        };
        char *rest = NULL;
        char *word = strtok_r(line, " \t", &rest);
        int action = word ? action_from_name(word) : -1;
        if (action < 0) {
                text_format(text, RULES_TEXT_BYTES, "not a fault: %s", word ? word : "");
                return -EINVAL;
        }
        rule.action = (enum rule_action)action;
        char *ops = strtok_r(NULL, " \t", &rest);
        rule.ops = ops ? parse_ops(ops, rule.action) : 0;
        if (!rule.ops) {
                text_format(text, RULES_TEXT_BYTES, "%s needs the requests that it can apply to", actions[action].name);
                return -EINVAL;
        }
        for (word = strtok_r(NULL, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
                char *value = strchr(word, '=');
                if (value)
                        *value++ = 0;
                if (!value || parse_key(&rule, word, value) < 0) {
                        text_format(text, RULES_TEXT_BYTES, "not understood: %s=%s", word, value ? value : "");
                        return -EINVAL;
                }
        }
        if (rules->count == RULES_MAX) {
                text_format(text, RULES_TEXT_BYTES, "there are %d rules already", RULES_MAX);
                return -ENOSPC;
        }
        bound_range(&rule);
        rule.number = ++rules->last_number;
        rules->list[rules->count++] = rule;
        *ret_number = rule.number;
        return 0;
}

bool rules_drop(struct rules *rules, unsigned number) {
        const struct rule *found = rules_find(rules, number);
        if (!found)
                return false;
        size_t at = (size_t)(found - rules->list);
        memmove(rules->list + at, rules->list + at + 1, (rules->count - at - 1) * sizeof *rules->list);
        rules->count--;
        return true;
}

const struct rule *rules_find(const struct rules *rules, unsigned number) {
        for (size_t i = 0; i < rules->count; i++)
                if (rules->list[i].number == number)
                        return rules->list + i;
        return NULL;
}

static bool rule_hits(const struct rule *rule, enum disk_op op, uint64_t offset_bytes, uint64_t length_bytes) {
        if (!(rule->ops & BIT(op)) || rule->times == 0)
                return false;
        return op == DISK_FLUSH ||
                (offset_bytes < rule->offset_bytes + rule->length_bytes &&
                        rule->offset_bytes < offset_bytes + length_bytes);
}

size_t rules_match(struct rules *rules, enum disk_op op, uint64_t offset_bytes, uint64_t length_bytes,
        struct rule *hits, size_t max) {
        size_t count = 0;
        for (size_t i = 0; i < rules->count && count < max; i++) {
                struct rule *rule = rules->list + i;
                if (!rule_hits(rule, op, offset_bytes, length_bytes))
                        continue;
                rule->hits++;
                if (rule->times != UINT64_MAX)
                        rule->times--;
                hits[count++] = *rule;
        }
        return count;
}
