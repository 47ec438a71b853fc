/* SPDX-License-Identifier: Apache-2.0 */
/* explain: says on stderr why something did not work, and the next command to type. */
#pragma once

#include <jansson.h>

/* What was typed, for commands that are to be typed again; borrowed. */
void explain_remember(char **argv);

/* A connection that could not be made: negative errno of client_open(). */
void explain_no_connection(const char *socket_path, int r);

/* A connection that broke: negative errno or CLIENT_E_*. */
void explain_broken_connection(const char *socket_path, int r);

/* An error that the daemon answered a method with. */
void explain_error(const char *method, const char *error, const json_t *parameters);
