/* SPDX-License-Identifier: Apache-2.0 */
/* field: the fields of a record from the daemon. A field may be absent, null or of a newer kind; none is trusted. */
#pragma once

#include "page.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL where there is no such string, or an empty one. Valid as long as the record. */
const char *field_text(const json_t *record, const char *name);

/* The same, with a word for "there is none". */
const char *field_text_or(const json_t *record, const char *name, const char *otherwise);

bool field_is(const json_t *record, const char *name, const char *text);

/* False: absent, null, negative; *ret is untouched. */
bool field_number(const json_t *record, const char *name, uint64_t *ret);

/* 0 where there is no number. */
uint64_t field_count(const json_t *record, const char *name);

bool field_true(const json_t *record, const char *name);

/* NULL where there is no object. */
const json_t *field_object(const json_t *record, const char *name);

/* The time, or the word for "there is none". */
void field_time(char to[static TIME_TEXT_BYTES], const json_t *record, const char *name, const char *otherwise);
void field_time_short(char to[static TIME_TEXT_BYTES], const json_t *record, const char *name, const char *otherwise);

/* A size for people, or the word for "there is none". */
void field_size(char to[static PLACE_TEXT_BYTES], const json_t *record, const char *name, const char *otherwise);

/* How much of the work in a Progress is done, rounded down: 100 means all of it. -1: unknown. */
int field_percent(const json_t *progress);

/*
 * What a device's or a sweep's verdict is worth: "clean (verified)", "clean (readable)", never "clean" alone.
 */
enum { VERDICT_TEXT_BYTES = 64 };
void field_verdict(char to[static VERDICT_TEXT_BYTES], const json_t *record);
