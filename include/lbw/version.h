/* SPDX-License-Identifier: MIT */
/* The version of the headers; lbw_version() returns that of the loaded library. */
#ifndef LBW_VERSION_H
#define LBW_VERSION_H

/*
 * The build takes the version from here. Below 1.0 each MINOR may break the ABI, so the soname
 * is liblbw.so.0.MINOR; from 1.0 on it is liblbw.so.MAJOR.
 */
#define LBW_VERSION_MAJOR 0
#define LBW_VERSION_MINOR 2
#define LBW_VERSION_PATCH 0

/* For comparisons: #if LBW_VERSION_NUMBER >= LBW_VERSION_OF(0, 2, 0) */
#define LBW_VERSION_OF(major, minor, patch) ((major) << 16 | (minor) << 8 | (patch))
#define LBW_VERSION_NUMBER                                                                     \
    LBW_VERSION_OF(LBW_VERSION_MAJOR, LBW_VERSION_MINOR, LBW_VERSION_PATCH)

#endif
