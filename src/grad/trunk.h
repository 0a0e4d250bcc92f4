/* SPDX-License-Identifier: MIT */
/* The part of the main graph that the targets are computed from. */
#ifndef LBW_SRC_GRAD_TRUNK_H
#define LBW_SRC_GRAD_TRUNK_H

#include "grad/grad.h"

struct lbw_trunk {
    Onnx__NodeProto **nodes; /* in the graph's order */
    size_t num_nodes;
    struct lbw_strmap names; /* every name that is read or written, targets included */
};

/*
 * Lives in the model's arena except for the map. LBW_ERR_ARGUMENT for a target that no node
 * produces.
 */
enum lbw_status lbw_trunk_init(struct lbw_trunk *out, const struct lbw_index *index,
                               const char *const *targets, size_t num_targets,
                               struct lbw_error *err);
void lbw_trunk_release(struct lbw_trunk *trunk);

#endif
