/* SPDX-License-Identifier: Apache-2.0 */
/* source: a configuration file with its includes put in place, that knows where each of its lines came from. */
#pragma once

#include "plan/settings.h"

#include <stddef.h>

struct source;

enum { SOURCE_BYTES_MAX = 1 << 20, SOURCE_FILES_MAX = 256, SOURCE_DEPTH_MAX = 8 };

/*
 * An include names its file from the directory of the file that it stands in. SETTINGS_OK; SETTINGS_E_INVALID with
 * *error filled in; -ENOMEM.
 */
int source_load(struct source **ret, struct settings_error *error, const char *file);

/* All of it, ended by NUL. */
const char *source_text(const struct source *s);

/* Where line `line` (from 1) of the text came from; *file is borrowed from the source. */
void source_place(const struct source *s, int line, const char **file, int *file_line);

/* Accepts NULL; returns NULL. */
struct source *source_free(struct source *s);
