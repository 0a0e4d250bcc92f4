/* SPDX-License-Identifier: MIT */
/* Whole files in: "-" is standard input, gzip is seen through. */
#ifndef LBW_SRC_FILE_H
#define LBW_SRC_FILE_H

#include <stdbool.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

/* The bytes of a file; mapped read-only where it is a plain regular file. */
struct lbw_bytes {
    const unsigned char *data;
    size_t size;
    bool is_mapped;
    bool is_borrowed; /* somebody else's memory: not freed */
};

/*
 * Reads `path` whole; "-" reads standard input. Content that starts with the gzip magic is
 * inflated. LBW_ERR_IO names the path; LBW_ERR_FORMAT for a broken gzip stream,
 * LBW_ERR_UNSUPPORTED for one that holds more than 2 GiB, and for so much from what is no
 * regular file.
 */
enum lbw_status lbw_bytes_read(struct lbw_bytes *out, const char *path, struct lbw_error *err);

/* The same for bytes at hand: gzip is inflated, anything else is borrowed as it is. */
enum lbw_status lbw_bytes_borrow(struct lbw_bytes *out, const void *data, size_t size,
                                 const char *name, struct lbw_error *err);
void lbw_bytes_release(struct lbw_bytes *bytes);

/* What an entry of a folder is, behind links: S_ISREG(), S_ISDIR(), …; 0 where it is not known.
 */
mode_t lbw_entry_mode(DIR *folder, const char *name);

/*
 * An open file without a name, so that nothing is left behind however the program ends: in
 * $TMPDIR, /var/tmp or /tmp, whichever has one first. -1 with errno.
 */
int lbw_temporary_open(void);

#endif
