/* SPDX-License-Identifier: MIT */
/* A weight on its grid: its codes, the values they stand for, and their error. */
#ifndef LBW_SRC_PASS_CODES_H
#define LBW_SRC_PASS_CODES_H

#include "pass/weight.h"

/* A weight on its grid. */
struct lbw_codes {
    uint8_t *codes; /* item.count, in the tensor's own order; owned; NULL: not converted */
    float *steps;   /* num_steps; owned */
    size_t num_steps;
    int axis; /* of the steps; -1 when there is one for all */
    float **
        biases; /* corrected ones, num_biases of rows × groups values; owned, NULL: unchanged */
    size_t num_biases; /* consumers of the weight, or 0 */
    float *values;     /* item.count, trained; of a weight that stays float; owned */
    bool is_integer;   /* to be decoded to int8 before a DequantizeLinear */
};

void lbw_codes_release(struct lbw_codes *codes);

/* The float values of a converted weight, in the tensor's order. `out` takes item.count. */
void lbw_codes_decode(float *out, const struct lbw_weight *weight,
                      const struct lbw_codes *codes);

/* Energy of the values of a converted weight, and of their error. */
void lbw_codes_error(double *error, double *energy, const struct lbw_weight *weight,
                     const struct lbw_codes *codes, const float *values);

/* Allocates one corrected bias per consumer. */
bool lbw_codes_alloc_biases(struct lbw_codes *codes, const struct lbw_weight *weight);

/* SNR in dB; 200 without an error, -200 without a signal. */
double lbw_snr(double energy, double error);

/* False if there is no error or no signal. */
bool lbw_snr_is_measured(double snr);

#endif
