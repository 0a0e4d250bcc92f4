/* SPDX-License-Identifier: MIT */
/* Whole files out: "-" is standard output, *.gz is compressed. */
#ifndef LBW_SRC_WRITER_H
#define LBW_SRC_WRITER_H

#include <stdint.h>

#include "base/error.h"

/*
 * A file that appears under its name only when it is whole: written in the target's folder
 * to a temporary file without a name (where the file system has none such, under a hidden one),
 * synced, named and renamed by lbw_writer_commit(). A path that ends in ".gz" is
 * compressed. "-" writes standard output, and a path that names no regular file (a device or a
 * pipe) is written in place.
 */
struct lbw_writer;

enum lbw_status lbw_writer_open(struct lbw_writer **out, const char *path,
                                struct lbw_error *err);

/* Errors are sticky: a failed write makes every later call and the commit fail. */
void lbw_writer_write(struct lbw_writer *writer, const void *data, size_t size);

/* Bytes written so far (before compression). */
uint64_t lbw_writer_size(const struct lbw_writer *writer);

/*
 * Brings everything to the disk, so that what can fail has failed before one of several files
 * gets its name. Nothing is to be written behind it; commit or abort is still to come.
 */
enum lbw_status lbw_writer_sync(struct lbw_writer *writer, struct lbw_error *err);

/* Syncs, renames and frees; on failure the temporary file is removed. *writer becomes NULL. */
enum lbw_status lbw_writer_commit(struct lbw_writer **writer, struct lbw_error *err);

/*
 * Commits two files of one folder, the second of which is of use with this first one only, and
 * frees both in any case. On failure all is as it was before.
 *
 * Whatever moment the process or the machine stops at, the second name never leads to a file
 * that goes with another first. Where both names were taken, the old files have other names for
 * that moment, and the second name leads nowhere: of the old pair or the new one both files are
 * whole, under their names or as ".lbw-…-old" and ".lbw-…" beside them.
 */
enum lbw_status lbw_writer_commit_pair(struct lbw_writer **first, struct lbw_writer **second,
                                       struct lbw_error *err);

/* Gives up: removes the temporary file and frees. NULL is fine. */
void lbw_writer_abort(struct lbw_writer **writer);

#endif
