/* SPDX-License-Identifier: MIT */
/*
 * The measurements of each searched weight: sizes, errors, and the boxes that rounding costs.
 */
#ifndef LBW_SRC_SEARCH_LAYERS_H
#define LBW_SRC_SEARCH_LAYERS_H

#include "search/allocate.h"
#include "search/trial.h"

#define LBW_MOST_CANDIDATES 16

/* Zero-initialise; lbw_layers_release() frees. Arrays have `num` items unless noted. */
struct lbw_layers {
    const struct lbw_grid *candidates[LBW_MOST_CANDIDATES];
    size_t num_candidates;
    size_t num_choices; /* candidates, then float */
    size_t num;
    size_t *items;               /* positions in the plan */
    struct lbw_plan_item *about; /* copies, without their pointers */
    bool *is_depthwise;
    const struct lbw_grid **base; /* at the start of the search */
    struct lbw_choice *choices;   /* num × num_choices */
    double *rounding;             /* error of each layer when only it is rounded */
    double *drops;                /* of the agreement then */
};

/* Takes every weight of the plan that has a grid. LBW_ERR_ARGUMENT if there is none. */
enum lbw_status lbw_layers_take(struct lbw_layers *layers, const struct lbw_plan *plan,
                                const struct lbw_search_params *params, struct lbw_error *err);
void lbw_layers_release(struct lbw_layers *layers);

/* Bits per weight if all of them take `size` bytes. */
double lbw_layers_bits(const struct lbw_layers *layers, double bytes);

/* Fills `choices` and `rounding`: each grid for all layers, each layer independently. */
enum lbw_status lbw_layers_measure_grids(struct lbw_layers *layers,
                                         const struct lbw_bench *bench, double mu,
                                         struct lbw_error *err);

/* Fills `drops`: each layer alone rounded to the grid it starts with. */
enum lbw_status lbw_layers_measure_drops(struct lbw_layers *layers,
                                         const struct lbw_bench *bench, double mu,
                                         struct lbw_error *err);

/*
 * What the sum of error energies counts of each layer. Boxes move in proportion to the
 * amplitude of the noise, and independent noises add up by their energies: so `by_drop` that is
 * drop² for the error that caused it, else the same for every layer. `strength` between 0 and 1
 * leads there from the importance by which all layers would get about the bits they start with.
 */
void lbw_layers_weigh(const struct lbw_layers *layers, double *importance, bool by_drop,
                      double strength);

/* Layers that are raised and lowered together. */
struct lbw_layer_group {
    const char *finer, *coarser; /* names of the moves */
    bool (*has)(const struct lbw_layers *layers, size_t i);
};

/* In the order in which they are tried; *num receives their number. */
const struct lbw_layer_group *lbw_layer_groups(size_t *num);

#endif
