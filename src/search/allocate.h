/* SPDX-License-Identifier: MIT */
/* Spends bytes where they reduce the error most. */
#ifndef LBW_SRC_SEARCH_ALLOCATE_H
#define LBW_SRC_SEARCH_ALLOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A weight on one grid: its size and error. */
struct lbw_choice {
    uint64_t size; /* bytes */
    double error;  /* of the layer's output, as a fraction of its energy */
};

/*
 * Picks one of num_choices for each of num_weights (`choices` is weight-major) so that the
 * sizes sum up to at most `budget` and Σ importance·error is small: from the smallest sizes up,
 * always the step that takes away most error per byte, earlier weights first where steps are
 * equal. False, with `picks` untouched, when even the smallest do not fit; *least (NULL is
 * fine) receives their sum in any case.
 */
bool lbw_allocate(size_t *picks, uint64_t *least, const struct lbw_choice *choices,
                  size_t num_weights, size_t num_choices, const double *importance,
                  uint64_t budget);

#endif
