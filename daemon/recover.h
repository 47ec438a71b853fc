/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover: `sweepd --recover`: puts back what the undo journals of all configured devices hold, says what it did on
 * standard error, and ends. For the early boot, before anything is mounted; no daemon may run on the state directory.
 */
#pragma once

struct settings;

/* 0: nothing is armed or pinned any more. 1: something is, and it was said why. Negative errno. */
int recover_all(const struct settings *settings);
