/* SPDX-License-Identifier: MIT */
/* Writing whole files: "-" is standard output, *.gz is compressed. */
#ifndef LBW_SRC_WRITER_H
#define LBW_SRC_WRITER_H

#include <stdint.h>

#include "base/error.h"

/*
 * A file that appears under its name only when it is complete. It is written to a temporary
 * file in the target's folder, without a name, or with a hidden one if the file system requires
 * it; lbw_writer_commit() syncs it and renames it. A path that ends in ".gz" is compressed. "-"
 * is standard output. A device or a pipe is written in place.
 */
struct lbw_writer;

enum lbw_status lbw_writer_open(struct lbw_writer **out, const char *path,
                                struct lbw_error *err);

/* Errors are sticky: a failed write makes every later call and the commit fail. */
void lbw_writer_write(struct lbw_writer *writer, const void *data, size_t size);

/* Bytes written so far (before compression). */
uint64_t lbw_writer_size(const struct lbw_writer *writer);

/*
 * Syncs everything to disk, so that most failures show before the first of several files is
 * renamed. Write nothing afterwards; commit or abort must follow.
 */
enum lbw_status lbw_writer_sync(struct lbw_writer *writer, struct lbw_error *err);

/* Syncs, renames and frees; on failure the temporary file is removed. *writer becomes NULL. */
enum lbw_status lbw_writer_commit(struct lbw_writer **writer, struct lbw_error *err);

/*
 * Commits two files of one folder, the second of which needs this first one, and frees both in
 * any case. On failure all is as it was before.
 *
 * If the process or the machine stops at any moment, the second name never belongs to a file
 * that needs another first. If both names existed, the old files are renamed for a moment in
 * which the second name does not exist; both files of the old or of the new pair are then
 * complete, under their names or as ".lbw-…-old" and ".lbw-…" next to them.
 */
enum lbw_status lbw_writer_commit_pair(struct lbw_writer **first, struct lbw_writer **second,
                                       struct lbw_error *err);

/* Gives up: removes the temporary file and frees. NULL is fine. */
void lbw_writer_abort(struct lbw_writer **writer);

#endif
