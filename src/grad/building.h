/* SPDX-License-Identifier: MIT */
/* A training graph while it is built; shared by grad.c and ports.c. */
#ifndef LBW_SRC_GRAD_BUILDING_H
#define LBW_SRC_GRAD_BUILDING_H

#include "base/strmap.h"
#include "grad/grad.h"
#include "grad/tape.h"
#include "grad/trunk.h"

/* One name of the trunk. */
struct lbw_grad_value {
    const struct lbw_grad_shape *shape; /* NULL: unknown */
    bool is_weight;                     /* wanted */
    bool is_fixed;                      /* depends on constants and sizes alone */
    bool is_active;                     /* a float that depends on a wanted weight */
    bool is_cut;                        /* some path to a target has no gradient */
    const char *gradient;               /* so far */
};

struct lbw_building {
    const struct lbw_index *index;
    const struct lbw_grad_params *params;
    struct lbw_arena *arena;
    struct lbw_trunk trunk;
    struct lbw_strmap values; /* → struct lbw_grad_value */
    struct lbw_tape tape;
    Onnx__GraphProto graph;
    const char **cuts;
    size_t num_cuts;
    struct lbw_grad out;
};

/* The value of that name, NULL for none. */
struct lbw_grad_value *lbw_grad_find(const struct lbw_building *b, const char *name);

/*
 * The graph's inputs (those of the model that the trunk reads, what the loss compares with, the
 * wanted weights) and outputs (loss, gradients, taps). LBW_ERR_ARGUMENT: an input of unknown
 * shape.
 */
enum lbw_status lbw_grad_write_ports(struct lbw_building *b, struct lbw_error *err);

/* The constants that the trunk reads. Drops nodes whose output has become an input. */
enum lbw_status lbw_grad_write_constants(struct lbw_building *b, struct lbw_error *err);

#endif
