/* SPDX-License-Identifier: MIT */
/* Packs the weights of a convolution. src/kernels/conv_run.c runs it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "kernels/conv_packed.h"

/* ---- packing ---- */

size_t lbw_conv_block(const struct lbw_conv *conv, size_t b)
{
    size_t least = conv->rows / conv->blocks, more = conv->rows % conv->blocks;
    return b * least + (b < more ? b : more);
}

static const int8_t *weights_of(const struct lbw_conv *conv, size_t channel)
{
    return conv->params.weights + channel * conv->products;
}

static int32_t pack_word(const int8_t *weights, size_t first, size_t num)
{
    uint8_t bytes[4] = {0};
    for (size_t i = 0; i < 4 && first + i < num; i++)
        bytes[i] = (uint8_t)weights[first + i];
    return (int32_t)lbw_load_u32(bytes);
}

static void pack_weights(struct lbw_conv *conv)
{
    int32_t *word = conv->words;
    for (size_t g = 0; g < (size_t)conv->params.groups; g++)
        for (size_t b = 0; b < conv->blocks; b++)
            for (size_t q = 0; q < conv->quads; q++)
                for (size_t m = lbw_conv_block(conv, b); m < lbw_conv_block(conv, b + 1); m++)
                    *word++ =
                        pack_word(weights_of(conv, g * conv->rows + m), 4 * q, conv->products);
}

void lbw_conv_unpack(int8_t *weights, const struct lbw_conv *conv)
{
    const int32_t *word = conv->words;
    for (size_t g = 0; g < (size_t)conv->params.groups; g++)
        for (size_t b = 0; b < conv->blocks; b++)
            for (size_t q = 0; q < conv->quads; q++)
                for (size_t m = lbw_conv_block(conv, b); m < lbw_conv_block(conv, b + 1);
                     m++, word++)
                    for (size_t k = 4 * q; k < 4 * q + 4 && k < conv->products; k++)
                        weights[(g * conv->rows + m) * conv->products + k] =
                            (int8_t)((uint32_t)*word >> 8 * (k % 4));
}

const int32_t *lbw_conv_flat(struct lbw_conv *conv)
{
    int32_t *flat = atomic_load(&conv->flat), *none = NULL;
    const int32_t *word = conv->words;
    if (flat)
        return flat;
    flat = malloc(((size_t)conv->params.num_outputs * conv->quads + 1) * sizeof *flat);
    if (!flat)
        return NULL;
    for (size_t g = 0; g < (size_t)conv->params.groups; g++)
        for (size_t b = 0; b < conv->blocks; b++)
            for (size_t q = 0; q < conv->quads; q++)
                for (size_t i = lbw_conv_block(conv, b); i < lbw_conv_block(conv, b + 1); i++) {
                    size_t m = g * conv->rows + i, block = m / LBW_FLAT_ROWS;
                    flat[(block * conv->quads + q) * LBW_FLAT_ROWS + m % LBW_FLAT_ROWS] =
                        *word++;
                }
    if (atomic_compare_exchange_strong(&conv->flat, &none, flat))
        return flat;
    free(flat);
    return none;
}

/* Whether two neighbouring products may exceed 16 bits: 255 × 128 does not. */
static bool exceeds_pairs(const struct lbw_conv *conv)
{
    for (size_t m = 0; m < (size_t)conv->params.num_outputs; m++) {
        const int8_t *w = weights_of(conv, m);
        for (size_t k = 0; k + 1 < conv->products; k += 2)
            if (abs(w[k]) + abs(w[k + 1]) > 128)
                return true;
        if (conv->products % 2 && abs(w[conv->products - 1]) > 128)
            return true;
    }
    return false;
}

/* Whether a sum times its scale may exceed int32; the loops assume that none does. Only layers
 * whose outputs are nearly all 0 or 255 have such sums. */
static bool leaves_range(const struct lbw_conv_params *p)
{
    size_t size = (size_t)(p->num_inputs / p->groups * p->kernel[0] * p->kernel[1]);
    for (size_t m = 0; m < (size_t)p->num_outputs && !p->ending; m++) {
        const int8_t *w = p->weights + m * size;
        double most = p->bias ? fabs((double)p->bias[m]) : 0;
        for (size_t k = 0; k < size; k++)
            most += 255 * abs(w[k]);
        if (fmin(most, 0x1p31) * (double)p->scale[m] > 0x1p30)
            return true;
    }
    return false;
}

static void pack_bias(struct lbw_conv *conv)
{
    uint32_t shift = (uint32_t)(conv->isa->shift - conv->params.x_zero);
    for (size_t m = 0; m < (size_t)conv->params.num_outputs; m++) {
        const int8_t *w = weights_of(conv, m);
        uint32_t sum = 0;
        for (size_t k = 0; k < conv->products; k++)
            sum += (uint32_t)w[k];
        conv->bias[m] = (int32_t)((uint32_t)conv->params.bias[m] + shift * sum);
    }
}

static void *copy(const void *from, size_t num, size_t size)
{
    void *to = calloc(num + 1, size);
    if (to && from && num)
        memcpy(to, from, num * size);
    return to;
}

/* The caller's arrays may go away: every one becomes a copy, the weights only where they are
 * not packed. */
static enum lbw_status own_params(struct lbw_conv *conv, const struct lbw_conv_params *params,
                                  struct lbw_error *err)
{
    struct lbw_conv_params *own = &conv->params;
    size_t num = (size_t)params->num_outputs;
    *own = *params;
    own->weights = conv->isa ? NULL : copy(params->weights, num * conv->products, 1);
    own->bias = copy(params->bias, num, sizeof *own->bias);
    own->scale = copy(params->scale, num, sizeof *own->scale);
    own->tables =
        params->tables ? copy(params->tables, params->has_channel_tables ? num : 1, 256) : NULL;
    own->ending = params->ending ? copy(params->ending, 1, sizeof *own->ending) : NULL;
    own->float_bias =
        params->ending ? copy(params->float_bias, num, sizeof *own->float_bias) : NULL;
    own->sum = params->sum ? copy(params->sum, 1, sizeof *own->sum) : NULL;
    if (params->sum && !own->sum)
        return lbw_fail_memory(err);
    if (params->ending && (!own->ending || !own->float_bias))
        return lbw_fail_memory(err);
    return (own->weights || conv->isa) && own->bias && own->scale &&
                   (own->tables || !params->tables)
               ? LBW_OK
               : lbw_fail_memory(err);
}

static enum lbw_status pack(struct lbw_conv *conv, const int8_t *weights, struct lbw_error *err)
{
    size_t num = (size_t)conv->params.num_outputs;
    size_t max_rows = conv->isa->max_rows;
    conv->blocks = (conv->rows + max_rows - 1) / max_rows;
    conv->words = calloc(num * conv->quads + 1, sizeof *conv->words);
    conv->bias = calloc(num + 1, sizeof *conv->bias);
    if (!conv->words || !conv->bias)
        return lbw_fail_memory(err);
    conv->params.weights = weights;
    conv->is_wide = conv->isa->adds_pairs && exceeds_pairs(conv);
    pack_weights(conv);
    pack_bias(conv);
    conv->params.weights = NULL;
    return LBW_OK;
}

enum lbw_status lbw_conv_new(struct lbw_conv **out, const struct lbw_conv_params *params,
                             const struct lbw_isa *isa, struct lbw_error *err)
{
    struct lbw_conv *conv = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_conv_check(params, err));
    conv = calloc(1, sizeof *conv);
    if (!conv)
        LBW_OR_OUT(lbw_fail_memory(err));
    conv->isa = isa && !leaves_range(params) ? isa : NULL;
    conv->depth = (size_t)(params->num_inputs / params->groups);
    conv->rows = (size_t)(params->num_outputs / params->groups);
    conv->products = conv->depth * (size_t)(params->kernel[0] * params->kernel[1]);
    conv->quads = (conv->products + 3) / 4;
    LBW_OR_OUT(own_params(conv, params, err));
    if (conv->isa)
        LBW_OR_OUT(pack(conv, params->weights, err));
    *out = conv;
    conv = NULL;
out:
    lbw_conv_free(&conv);
    return status;
}

void lbw_conv_free(struct lbw_conv **conv)
{
    if (!*conv)
        return;
    struct lbw_conv_plan *plan = atomic_load(&(*conv)->plan);
    lbw_conv_plan_free(&plan);
    free((void *)(*conv)->params.weights);
    free((void *)(*conv)->params.bias);
    free((void *)(*conv)->params.scale);
    free((void *)(*conv)->params.tables);
    free((void *)(*conv)->params.ending);
    free((void *)(*conv)->params.float_bias);
    free((void *)(*conv)->params.sum);
    free((*conv)->words);
    free(atomic_load(&(*conv)->flat));
    free((*conv)->bias);
    free(*conv);
    *conv = NULL;
}

const struct lbw_conv_params *lbw_conv_params(const struct lbw_conv *conv)
{
    return &conv->params;
}
