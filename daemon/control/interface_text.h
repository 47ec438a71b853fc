/* SPDX-License-Identifier: Apache-2.0 */
/* interface_text: the interfaces' own descriptions, built in as they stand in the .varlink files. */
#pragma once

extern const char interface_text_sweepd[];
extern const char interface_text_service[];
