/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) over bytes that come piece by piece. */
#ifndef LBW_SRC_BASE_DIGEST_H
#define LBW_SRC_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct lbw_sha256 {
    uint32_t state[8];
    uint64_t size; /* bytes so far */
    unsigned char block[64];
};

void lbw_sha256_init(struct lbw_sha256 *sha);
void lbw_sha256_add(struct lbw_sha256 *sha, const void *data, size_t size);

/* The digest; start over before adding more. */
void lbw_sha256_finish(struct lbw_sha256 *sha, unsigned char out[32]);

#endif
