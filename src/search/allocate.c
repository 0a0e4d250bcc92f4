/* SPDX-License-Identifier: MIT */
/* Greedy allocation: the steepest step from where each weight stands lies on its lower hull. */
#include "search/allocate.h"

/* Smallest first; of equal sizes the best first. */
static size_t smallest(const struct lbw_choice *row, size_t num_choices)
{
    size_t best = 0;
    for (size_t c = 1; c < num_choices; c++)
        if (row[c].size < row[best].size ||
            (row[c].size == row[best].size && row[c].error < row[best].error))
            best = c;
    return best;
}

struct step {
    size_t weight, choice;
    double gain; /* per byte; 0: no step */
};

/* The best step of one weight that fits into `room`. */
static void consider(struct step *best, const struct lbw_choice *row, size_t weight,
                     size_t pick, size_t num_choices, double importance, uint64_t room)
{
    for (size_t c = 0; c < num_choices; c++) {
        if (row[c].size <= row[pick].size || row[c].size - row[pick].size > room)
            continue;
        double gain = importance * (row[pick].error - row[c].error) /
                      (double)(row[c].size - row[pick].size);
        if (gain > best->gain)
            *best = (struct step){weight, c, gain};
    }
}

bool lbw_allocate(size_t *picks, uint64_t *least, const struct lbw_choice *choices,
                  size_t num_weights, size_t num_choices, const double *importance,
                  uint64_t budget)
{
    uint64_t size = 0;
    for (size_t i = 0; i < num_weights; i++) {
        const struct lbw_choice *row = &choices[i * num_choices];
        size += row[smallest(row, num_choices)].size;
    }
    if (least)
        *least = size;
    if (size > budget)
        return false;
    for (size_t i = 0; i < num_weights; i++)
        picks[i] = smallest(&choices[i * num_choices], num_choices);
    for (;;) {
        struct step step = {0};
        for (size_t i = 0; i < num_weights; i++)
            consider(&step, &choices[i * num_choices], i, picks[i], num_choices, importance[i],
                     budget - size);
        if (!(step.gain > 0))
            return true;
        const struct lbw_choice *row = &choices[step.weight * num_choices];
        size += row[step.choice].size - row[picks[step.weight]].size;
        picks[step.weight] = step.choice;
    }
}
