/* SPDX-License-Identifier: MIT */
/* Moves QuantizeLinear ahead of nodes that only move values, so that these move bytes. */
#ifndef LBW_SRC_PASS_NATIVE_HOIST_H
#define LBW_SRC_PASS_NATIVE_HOIST_H

#include "pass/native_find.h"

/*
 * Where bytes and other values come together (a feature pyramid's Concat of resized and pooled
 * maps), the QuantizeLinear behind them goes to each of them; the results are the same. Adds to
 * `*num` how many nodes now move bytes. The index is stale if there are any.
 */
enum lbw_status lbw_native_hoist(size_t *num, const struct lbw_native_finder *finder,
                                 struct lbw_error *err);

#endif
