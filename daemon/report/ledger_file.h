/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger_file: the ledger's file by name: what it is before SQLite touches it, putting it aside, and putting a new one
 * in place in one step. Format of the header: https://www.sqlite.org/fileformat2.html#the_database_header.
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_FILE_NAME "ledger.db"
#define LEDGER_FILE_NEW  "ledger.db.new"

enum {
        LEDGER_FILE_APPLICATION = 0x73777064, /* "swpd" */
        LEDGER_FILE_SCHEMA = 10,
        LEDGER_FILE_SCHEMA_SANE = 1000 /* a schema number past it is damage, not the future */
};

enum ledger_file {
        LEDGER_FILE_OURS,
        LEDGER_FILE_MISSING, /* the directory is there */
        LEDGER_FILE_NEWER,   /* of a later version: must not be touched */
        LEDGER_FILE_FOREIGN, /* an SQLite file of somebody else */
        LEDGER_FILE_DAMAGED  /* no SQLite file */
};

/* An enum ledger_file, or negative errno: the directory is missing, the file can't be read, or is no regular file. */
int ledger_file_look(const char *directory);

/*
 * Renames ledger.db and what SQLite keeps beside it to ledger.db.damaged-YYYYMMDDTHHMMSSZ; a name that exists is never
 * taken, a number is added. ret_name: the name given, without the directory; "" where there was nothing to put aside.
 */
int ledger_file_set_aside(const char *directory, uint64_t now_us, char *ret_name, size_t name_bytes);

/* An empty ledger.db.new, readable by its owner alone; a left-over of an interrupted creation is removed. */
int ledger_file_begin(const char *directory);

/* Renames ledger.db.new to ledger.db, durably. -EEXIST: there is one. */
int ledger_file_publish(const char *directory);
