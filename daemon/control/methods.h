/* SPDX-License-Identifier: Apache-2.0 */
/* methods: what io.sweepd can be asked, who may, and with which parameters. */
#pragma once

#include "control/control.h"
#include "control/message.h"

struct method {
        const char *name;
        enum control_method method;
        bool for_root;               /* changes something, or hands out what was on a disk */
        unsigned required, optional; /* parameters, as bits; private to methods.c */
};

/* By its name without the interface. NULL: there is no such method. */
const struct method *methods_find(const char *name);

/* METHODS_E_PARAMETER: one is missing, unknown, or of a wrong type or value. METHODS_E_DEVICE: no device can have that
 * name. */
enum { METHODS_OK, METHODS_E_PARAMETER, METHODS_E_DEVICE };

/* Fills in the request but for `more`. On an error *ret_wrong is the parameter's name, or the device's; it lives as
 * long as parameters. */
int methods_read(struct control_request *ret, const char **ret_wrong, const struct method *method,
        const struct message *parameters);
