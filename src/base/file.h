/* SPDX-License-Identifier: MIT */
/* Reading whole files: "-" is standard input, gzip is inflated. */
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
    bool is_borrowed; /* the caller's memory: not freed */
};

/*
 * Reads `path` whole; "-" reads standard input. Content that starts with the gzip magic is
 * inflated. LBW_ERR_IO names the path; LBW_ERR_FORMAT for a broken gzip stream;
 * LBW_ERR_UNSUPPORTED for more than 2 GiB from a gzip stream, a pipe or a device.
 */
enum lbw_status lbw_bytes_read(struct lbw_bytes *out, const char *path, struct lbw_error *err);

/* The same for bytes in memory: gzip is inflated, anything else is borrowed. */
enum lbw_status lbw_bytes_borrow(struct lbw_bytes *out, const void *data, size_t size,
                                 const char *name, struct lbw_error *err);
void lbw_bytes_release(struct lbw_bytes *bytes);

/* The mode of an entry of a folder, links followed: for S_ISREG(), S_ISDIR(); 0: unknown. */
mode_t lbw_entry_mode(DIR *folder, const char *name);

/*
 * Opens a file without a name, which vanishes however the program ends, in the first of
 * $TMPDIR, /var/tmp and /tmp where that works. -1 with errno.
 */
int lbw_temporary_open(void);

#endif
