/* SPDX-License-Identifier: MIT */
/* Finding codes: a value is on a grid if step × level is exactly that float. */
#include "pass/recover.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/bits.h"
#include "num/project.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

/* The code of a level, or -1. */
static int code_of(const struct lbw_grid *grid, float level)
{
    int low = 0, high = grid->num_levels - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if ((float)grid->levels[middle] < level)
            low = middle + 1;
        else
            high = middle;
    }
    return (float)grid->levels[low] == level ? low : -1;
}

/* All grids by increasing number of levels; NULL after the last. */
static const struct lbw_grid *next_grid(const struct lbw_grid *before)
{
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num), *next = NULL;
    for (size_t i = 0; i < num; i++) {
        const struct lbw_grid *g = &grids[i];
        bool is_later = !before || g->num_levels > before->num_levels ||
                        (g->num_levels == before->num_levels && g > before);
        if (is_later && (!next || g->num_levels < next->num_levels))
            next = g;
    }
    return next;
}

static bool codes_of_levels(uint8_t *codes, const float *levels, size_t n,
                            const struct lbw_grid *grid)
{
    for (size_t i = 0; i < n; i++) {
        int code = code_of(grid, levels[i]);
        if (code < 0)
            return false;
        codes[i] = (uint8_t)code;
    }
    return true;
}

/* The factor by which stored levels are reduced: small types hold small numbers only. */
static int shift_of(const struct lbw_encoded *encoded)
{
    int exponent;
    if (encoded->is_integer)
        return 0;
    if (encoded->grid) { /* the level table is relative to its largest power of two */
        frexpf((float)encoded->grid->levels[encoded->grid->num_levels - 1], &exponent);
        return exponent - 1;
    }
    return encoded->codes->data_type == TYPE(FLOAT8E4M3FN) ? 9
           : encoded->codes->data_type == TYPE(FLOAT4E2M1) ? 1
                                                           : 0;
}

/* The highest level that lbw stores as this type: others hold their whole range in it. */
static int32_t most_of(const struct lbw_encoded *encoded)
{
    switch (encoded->codes->data_type) {
    case TYPE(INT2):
        return 1;
    case TYPE(INT4):
        return 7;
    default:
        return INT32_MAX;
    }
}

bool lbw_recover_has_grid(const float *numbers, size_t n, const struct lbw_encoded *encoded)
{
    int shift = shift_of(encoded);
    for (const struct lbw_grid *grid = next_grid(NULL); grid; grid = next_grid(grid)) {
        size_t i = 0;
        if (grid->levels[grid->num_levels - 1] > most_of(encoded))
            continue;
        while (i < n && code_of(grid, ldexpf(numbers[i], shift)) >= 0)
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* steps × 2^-shift */
static enum lbw_status read_steps(struct lbw_codes *codes, struct lbw_model *model,
                                  const struct lbw_encoded *encoded, int shift,
                                  struct lbw_error *err)
{
    struct lbw_tensor tensor;
    LBW_TRY(lbw_tensor_view(&tensor, model, encoded->scale, err));
    codes->num_steps = tensor.count;
    codes->axis = tensor.num_dims == 0 ? -1
                  : tensor.count == 1  ? LBW_ANY_AXIS
                                       : (int)encoded->scale_axis;
    codes->steps = malloc((tensor.count + 1) * sizeof *codes->steps);
    if (!codes->steps)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_tensor_read_float(&tensor, codes->steps, err));
    for (size_t i = 0; i < codes->num_steps; i++)
        codes->steps[i] = ldexpf(codes->steps[i], -shift);
    return LBW_OK;
}

static enum lbw_status recover_encoded(struct lbw_codes *codes, const struct lbw_grid **grid,
                                       float *levels, struct lbw_model *model,
                                       const struct lbw_encoded *encoded, struct lbw_error *err)
{
    struct lbw_encoded bare = *encoded;
    int shift = shift_of(encoded);
    bare.scale = NULL;
    LBW_TRY(lbw_decode_values(levels, model, &bare, err));
    for (size_t i = 0; i < encoded->count; i++)
        levels[i] = ldexpf(levels[i], shift);
    const struct lbw_grid *found = encoded->grid ? encoded->grid : next_grid(NULL);
    while (found && !codes_of_levels(codes->codes, levels, encoded->count, found))
        found = encoded->grid ? NULL : next_grid(found);
    if (found && !encoded->num_rounded) {
        LBW_TRY(read_steps(codes, model, encoded, shift, err));
        *grid = found;
    }
    return LBW_OK;
}

enum lbw_status lbw_recover_encoded(struct lbw_codes *out, const struct lbw_grid **grid,
                                    struct lbw_model *model, const struct lbw_encoded *encoded,
                                    struct lbw_error *err)
{
    struct lbw_codes codes = {.codes = malloc(encoded->count + 1)};
    float *levels = malloc((encoded->count + 1) * sizeof *levels);
    enum lbw_status status = LBW_ERR_MEMORY;
    *grid = NULL;
    if (codes.codes && levels)
        status = recover_encoded(&codes, grid, levels, model, encoded, err);
    else
        lbw_fail_memory(err);
    free(levels);
    if (status == LBW_OK && *grid)
        *out = codes;
    else
        lbw_codes_release(&codes);
    return status;
}

/* Whether two floats have different bits: zeros have signs. */
static bool is_other(float a, float b)
{
    return lbw_float_bits(a) != lbw_float_bits(b);
}

/* The values that share one step. */
struct group {
    const struct lbw_layout *layout;
    const float *values;
    size_t g, r;   /* of one channel */
    bool is_whole; /* all channels */
    size_t count;
    int32_t type; /* the type that the values are stored in */
};

static size_t place(const struct group *group, size_t i)
{
    return group->is_whole ? i : lbw_layout_offset(group->layout, group->g, group->r, i);
}

/* The code whose product with the step is stored as `value`, or -1. */
static int code_of_value(const struct lbw_grid *grid, float step, float value, int32_t type)
{
    int low = 0, high = grid->num_levels - 1;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (step * (float)grid->levels[middle] <= value)
            low = middle;
        else
            high = middle;
    }
    for (; low <= high; low++)
        if (!is_other(lbw_encode_round(step * (float)grid->levels[low], type), value))
            return low;
    return -1;
}

static bool fits_step(uint8_t *codes, const struct group *group, const struct lbw_grid *grid,
                      float step)
{
    for (size_t i = 0; i < group->count; i++) {
        size_t at = place(group, i);
        int code = code_of_value(grid, step, group->values[at], group->type);
        if (code < 0)
            return false;
        codes[at] = (uint8_t)code;
    }
    return true;
}

/* The step and codes of one group; false if the grid does not have its values. */
static bool fit(uint8_t *codes, float *step, const struct group *group,
                const struct lbw_grid *grid)
{
    float largest = 0;
    for (size_t i = 0; i < group->count; i++)
        largest = fmaxf(largest, fabsf(group->values[place(group, i)]));
    *step = 1;
    if (largest == 0)
        return fits_step(codes, group, grid, *step);
    for (int level = grid->num_levels - 1; level > grid->zero_code; level--) {
        *step = largest / (float)grid->levels[level];
        if (*step >= FLT_MIN && *step * (float)grid->levels[level] == largest &&
            fits_step(codes, group, grid, *step))
            return true;
    }
    return false;
}

static bool fit_all(struct lbw_codes *codes, struct lbw_weight *weight, const float *values,
                    const struct lbw_grid *grid, enum lbw_group mode)
{
    const struct lbw_layout *layout = &weight->layout;
    weight->item.group = mode;
    codes->axis = lbw_weight_step_axis(weight);
    codes->num_steps = lbw_weight_num_steps(weight);
    struct group group = {
        layout, values, 0, 0, codes->axis < 0, layout->k, weight->tensor->data_type};
    if (codes->axis < 0) {
        group.count = weight->item.count;
        return fit(codes->codes, codes->steps, &group, grid);
    }
    for (group.g = 0; group.g < layout->groups; group.g++)
        for (group.r = 0; group.r < layout->rows; group.r++)
            if (!fit(codes->codes,
                     &codes->steps[lbw_weight_step_index(weight, group.g, group.r)], &group,
                     grid))
                return false;
    return true;
}

enum lbw_status lbw_recover_values(struct lbw_codes *out, struct lbw_weight *weight,
                                   const float *values, struct lbw_error *err)
{
    weight->item.group = LBW_GROUP_CHANNEL;
    struct lbw_codes codes = {
        .codes = malloc(weight->item.count + 1),
        .steps = malloc((lbw_weight_num_steps(weight) + 1) * sizeof *codes.steps)};
    const struct lbw_grid *grid = next_grid(NULL);
    if (!codes.codes || !codes.steps) {
        lbw_codes_release(&codes);
        return lbw_fail_memory(err);
    }
    while (grid && !fit_all(&codes, weight, values, grid, LBW_GROUP_TENSOR) &&
           !fit_all(&codes, weight, values, grid, LBW_GROUP_CHANNEL))
        grid = next_grid(grid);
    weight->item.grid = grid;
    if (grid)
        *out = codes;
    else
        lbw_codes_release(&codes);
    return LBW_OK;
}
