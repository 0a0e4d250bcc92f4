/* SPDX-License-Identifier: MIT */
/* The student: parameters, Adam, projection. */
#include "train/student.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/project.h"

#define FLOAT32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

/*
 * The rates of the scales, in their logarithm, and of biases, in typical biases of their layer,
 * as multiples of that of weights.
 */
#define STEP_RATE 1.0f
#define BIAS_RATE 2.0f

/* How near to the threshold of its code a float weight may start: 1 is at it. */
#define START_REACH 0.95f

/* In the main graph and float32: such weights can be inputs of the graph of gradients. */
static bool is_trainable(const struct lbw_weight *weight)
{
    bool is_wanted = weight->item.grid || (weight->is_small && weight->root == weight->value);
    return is_wanted && weight->tensor && weight->tensor->data_type == FLOAT32 &&
           weight->value->scope->graph && !weight->value->scope->parent;
}

static bool set_param(struct lbw_student *s, const char *name, const int64_t *dims,
                      size_t num_dims, size_t count)
{
    size_t i = s->num_params++;
    struct lbw_array *array = &s->arrays[i];
    s->names[i] = name;
    array->data_type = FLOAT32;
    array->num_dims = num_dims;
    memcpy(array->dims, dims, num_dims * sizeof *dims);
    array->size = count * sizeof(float);
    return (array->data = calloc(count + 1, sizeof(float))) != NULL;
}

static bool layer_init(struct lbw_layer *layer, struct lbw_student *s,
                       const struct lbw_plan *plan, const struct lbw_weight *weight)
{
    size_t count = weight->item.count, num_steps = lbw_weight_num_steps(weight);
    layer->weight = weight;
    layer->biases = calloc(weight->num_consumers + 1, sizeof *layer->biases);
    layer->best_biases = calloc(weight->num_consumers + 1, sizeof *layer->best_biases);
    layer->typical = calloc(num_steps + 1, sizeof *layer->typical);
    layer->typical_bias = calloc(weight->num_consumers + 1, sizeof *layer->typical_bias);
    layer->average = calloc(count + 1, sizeof *layer->average);
    layer->now = calloc(count + 1, 1);
    layer->best = calloc(count + 1, 1);
    layer->start = calloc(count + 1, 1);
    layer->best_values = calloc(weight->item.grid ? 1 : count, sizeof *layer->best_values);
    layer->best_steps = calloc(num_steps + 1, sizeof *layer->best_steps);
    layer->shown_steps = calloc(num_steps + 1, sizeof *layer->shown_steps);
    if (!layer->biases || !layer->best_biases || !layer->typical || !layer->typical_bias ||
        !layer->average || !layer->now || !layer->best || !layer->start ||
        !layer->best_values || !layer->best_steps || !layer->shown_steps ||
        !lbw_learned_init(&layer->master, count) ||
        !lbw_learned_init(&layer->steps, num_steps) ||
        !set_param(s, weight->item.tensor, weight->item.dims, weight->item.num_dims, count))
        return false;
    for (size_t i = 0; i < weight->num_consumers; i++) {
        struct lbw_tensor tensor;
        struct lbw_value *bias =
            lbw_weight_bias(&tensor, plan, weight, weight->consumers[i].node);
        if (!bias)
            continue;
        layer->best_biases[i] = calloc(tensor.count + 1, sizeof(float));
        if (!layer->best_biases[i] || !lbw_learned_init(&layer->biases[i], tensor.count) ||
            !set_param(s, bias->name, tensor.dims, tensor.num_dims, tensor.count))
            return false;
    }
    return true;
}

enum lbw_status lbw_student_init(struct lbw_student *out, const struct lbw_plan *plan,
                                 struct lbw_error *err)
{
    struct lbw_student s = {0};
    size_t max = 0;
    for (size_t i = 0; i < plan->num_weights; i++)
        max += 1 + plan->weights[i].num_consumers;
    s.layers = calloc(plan->num_weights + 1, sizeof *s.layers);
    s.names = calloc(max + 1, sizeof *s.names);
    s.arrays = calloc(max + 1, sizeof *s.arrays);
    bool done = s.layers && s.names && s.arrays;
    for (size_t i = 0; i < plan->num_weights && done; i++)
        if (is_trainable(&plan->weights[i]))
            done = layer_init(&s.layers[s.num_layers++], &s, plan, &plan->weights[i]);
    if (!done) {
        lbw_student_release(&s);
        return lbw_fail_memory(err);
    }
    *out = s;
    return LBW_OK;
}

void lbw_student_release(struct lbw_student *student)
{
    for (size_t i = 0; i < student->num_layers; i++) {
        struct lbw_layer *layer = &student->layers[i];
        for (size_t k = 0; layer->biases && k < layer->weight->num_consumers; k++) {
            lbw_learned_release(&layer->biases[k]);
            if (layer->best_biases)
                free(layer->best_biases[k]);
        }
        lbw_learned_release(&layer->master);
        lbw_learned_release(&layer->steps);
        free(layer->biases);
        free(layer->best_biases);
        free(layer->typical);
        free(layer->typical_bias);
        free(layer->average);
        free(layer->now);
        free(layer->best);
        free(layer->start);
        free(layer->best_values);
        free(layer->best_steps);
        free(layer->shown_steps);
    }
    lbw_arrays_release(student->arrays, student->num_params);
    free(student->layers);
    free(student->names);
    free(student->arrays);
    *student = (struct lbw_student){0};
}

static float step_of(const struct lbw_layer *layer, size_t i)
{
    float step = layer->steps.values[i];
    return layer->weight->item.scale == LBW_SCALE_REAL ? lbw_round_step(step) : step;
}

/* The position of value i of a row, and whether rows are contiguous. */
static bool is_plain(const struct lbw_layout *layout)
{
    return layout->in_stride == layout->taps;
}

/* The codes of one row from its float weights. */
static void project_row(struct lbw_layer *layer, size_t group, size_t row, float *values,
                        uint8_t *codes)
{
    const struct lbw_layout *layout = &layer->weight->layout;
    const struct lbw_grid *grid = layer->weight->item.grid;
    float step = step_of(layer, lbw_weight_step_index(layer->weight, group, row));
    size_t at = lbw_layout_offset(layout, group, row, 0);
    if (is_plain(layout)) {
        lbw_nearest(layer->now + at, layer->master.values + at, layout->k, grid, step);
        return;
    }
    for (size_t i = 0; i < layout->k; i++)
        values[i] = layer->master.values[lbw_layout_offset(layout, group, row, i)];
    lbw_nearest(codes, values, layout->k, grid, step);
    for (size_t i = 0; i < layout->k; i++)
        layer->now[lbw_layout_offset(layout, group, row, i)] = codes[i];
}

static void show_weights(float *out, struct lbw_layer *layer)
{
    if (!layer->weight->item.grid) {
        memcpy(out, layer->master.values, layer->master.num * sizeof *out);
        return;
    }
    for (size_t k = 0; k < layer->steps.num; k++)
        layer->shown_steps[k] = step_of(layer, k);
    const struct lbw_codes codes = {.codes = layer->now, .steps = layer->shown_steps};
    lbw_codes_decode(out, layer->weight, &codes);
}

/* The arrays for the next sample: decoded weights, and biases. */
static void show(struct lbw_student *s)
{
    size_t param = 0;
    for (size_t i = 0; i < s->num_layers; i++) {
        struct lbw_layer *layer = &s->layers[i];
        show_weights(s->arrays[param++].data, layer);
        for (size_t k = 0; k < layer->weight->num_consumers; k++)
            if (layer->biases[k].num)
                memcpy(s->arrays[param++].data, layer->biases[k].values,
                       layer->biases[k].num * sizeof(float));
    }
}

/* The float weight to start from: the model's own, clamped to the range of its code. */
static float start_value(float w, const struct lbw_grid *grid, int code, float step)
{
    float q = step * (float)grid->levels[code];
    float top = 1.25f * step * (float)grid->levels[grid->num_levels - 1];
    float low = code > 0 ? (q + step * (float)grid->levels[code - 1]) / 2 : -top;
    float high =
        code + 1 < grid->num_levels ? (q + step * (float)grid->levels[code + 1]) / 2 : top;
    w = w < low ? low : w > high ? high : w;
    return q + START_REACH * (w - q);
}

static double mean_square(const float *values, size_t num)
{
    double sum = 0;
    for (size_t i = 0; i < num; i++)
        sum += (double)values[i] * values[i];
    return num ? sum / (double)num : 0;
}

/* Float weights, steps and typical sizes of a layer, from its codes and the model's weight. */
static void start_weights(struct lbw_layer *layer)
{
    const struct lbw_weight *weight = layer->weight;
    const struct lbw_layout *layout = &weight->layout;
    const struct lbw_grid *grid = weight->item.grid;
    size_t rows_per_step = layout->groups * layout->rows / layer->steps.num;
    memcpy(layer->now, layer->codes->codes, weight->item.count);
    memcpy(layer->start, layer->codes->codes, weight->item.count);
    memcpy(layer->steps.values, layer->codes->steps, layer->steps.num * sizeof(float));
    for (size_t g = 0; g < layout->groups; g++)
        for (size_t r = 0; r < layout->rows; r++) {
            size_t at_step = lbw_weight_step_index(weight, g, r);
            float step = layer->codes->steps[at_step];
            double squares = 0;
            for (size_t i = 0; i < layout->k; i++) {
                size_t at = lbw_layout_offset(layout, g, r, i);
                int code = layer->now[at];
                double q = (double)step * grid->levels[code];
                squares += q * q;
                layer->master.values[at] =
                    start_value(layer->master.values[at], grid, code, step);
            }
            layer->typical[at_step] += (float)(squares / (double)(layout->k * rows_per_step));
        }
    for (size_t i = 0; i < layer->steps.num; i++)
        layer->typical[i] = sqrtf(layer->typical[i]);
}

/* Of a layer that stays float: `typical` is the largest weight of each row. */
static void start_plain(struct lbw_layer *layer)
{
    const struct lbw_layout *layout = &layer->weight->layout;
    for (size_t g = 0; g < layout->groups; g++)
        for (size_t r = 0; r < layout->rows; r++) {
            float *typical = &layer->typical[lbw_weight_step_index(layer->weight, g, r)];
            for (size_t i = 0; i < layout->k; i++)
                *typical = fmaxf(
                    *typical, fabsf(layer->master.values[lbw_layout_offset(layout, g, r, i)]));
        }
}

static enum lbw_status start_biases(struct lbw_layer *layer, const struct lbw_plan *plan,
                                    struct lbw_error *err)
{
    struct lbw_codes *codes = layer->codes;
    if (!codes->biases && !lbw_codes_alloc_biases(codes, layer->weight))
        return lbw_fail_memory(err);
    for (size_t i = 0; i < layer->weight->num_consumers; i++) {
        struct lbw_learned *bias = &layer->biases[i];
        struct lbw_tensor tensor;
        if (!bias->num)
            continue;
        if (!codes->biases[i]) {
            if (!(codes->biases[i] = malloc(bias->num * sizeof(float))))
                return lbw_fail_memory(err);
            lbw_weight_bias(&tensor, plan, layer->weight, layer->weight->consumers[i].node);
            LBW_TRY(lbw_tensor_read_float(&tensor, codes->biases[i], err));
        }
        memcpy(bias->values, codes->biases[i], bias->num * sizeof(float));
        /* If all are zero: what inputs of unit size would make of a row. */
        double square = mean_square(bias->values, bias->num);
        if (!(square > 0))
            square =
                mean_square(layer->typical, layer->steps.num) * (double)layer->weight->layout.k;
        layer->typical_bias[i] = (float)sqrt(square);
    }
    return LBW_OK;
}

enum lbw_status lbw_student_start(struct lbw_student *student, const struct lbw_plan *plan,
                                  struct lbw_codes *codes, struct lbw_error *err)
{
    for (size_t i = 0; i < student->num_layers; i++) {
        struct lbw_layer *layer = &student->layers[i];
        struct lbw_tensor tensor;
        layer->codes = &codes[layer->weight - plan->weights];
        LBW_TRY(lbw_tensor_view(&tensor, plan->model, layer->weight->tensor, err));
        LBW_TRY(lbw_tensor_read_float(&tensor, layer->master.values, err));
        if (layer->weight->item.grid)
            start_weights(layer);
        else
            start_plain(layer);
        LBW_TRY(start_biases(layer, plan, err));
    }
    show(student);
    lbw_student_keep(student);
    return LBW_OK;
}

/* Numbers that the update of a whole layer shares. */
struct update {
    float rate;
    struct lbw_pace pace;
    bool is_frozen;
    float average_share; /* of this step in the mean of the float weights; 0: not part of it */
    float share;         /* of one sample in the sum of gradients */
    float *values;
    uint8_t *codes;
};

static float step_by(struct lbw_learned *learned, size_t i, float gradient,
                     const struct update *u)
{
    return lbw_learned_direction(learned, i, gradient, &u->pace);
}

static void update_row(struct lbw_layer *layer, size_t group, size_t row, const float *gradient,
                       double *step_gradient, const struct update *u)
{
    const struct lbw_layout *layout = &layer->weight->layout;
    const struct lbw_grid *grid = layer->weight->item.grid;
    size_t at_step = lbw_weight_step_index(layer->weight, group, row);
    float largest = layer->steps.values[at_step] * (float)grid->levels[grid->num_levels - 1];
    float top = 1.25f * largest;
    bool plain = is_plain(layout);
    size_t first = lbw_layout_offset(layout, group, row, 0);
    for (size_t i = 0; i < layout->k; i++) {
        size_t at = plain ? first + i : lbw_layout_offset(layout, group, row, i);
        float g = gradient[at] * u->share;
        step_gradient[at_step] += (double)g * grid->levels[layer->now[at]];
        if (u->is_frozen)
            continue;
        float w =
            layer->master.values[at] - u->rate * largest * step_by(&layer->master, at, g, u);
        w = w > top ? top : w < -top ? -top : w;
        layer->master.values[at] = w;
        layer->average[at] += u->average_share * (w - layer->average[at]);
    }
}

static void update_plain_row(struct lbw_layer *layer, size_t group, size_t row,
                             const float *gradient, const struct update *u)
{
    const struct lbw_layout *layout = &layer->weight->layout;
    float most = layer->typical[lbw_weight_step_index(layer->weight, group, row)];
    for (size_t i = 0; i < layout->k; i++) {
        size_t at = lbw_layout_offset(layout, group, row, i);
        layer->master.values[at] -=
            u->rate * most * step_by(&layer->master, at, gradient[at] * u->share, u);
    }
}

/* Steps change by factors: their gradient is that of the logarithm. */
static void update_steps(struct lbw_layer *layer, const double *gradient,
                         const struct update *u)
{
    if (layer->weight->item.scale != LBW_SCALE_REAL)
        return;
    for (size_t i = 0; i < layer->steps.num; i++) {
        float step = layer->steps.values[i];
        float d = step_by(&layer->steps, i, (float)gradient[i] * step, u);
        layer->steps.values[i] = step * expf(-STEP_RATE * u->rate * d);
    }
}

static size_t num_params_of(const struct lbw_layer *layer)
{
    size_t num = 1;
    for (size_t k = 0; k < layer->weight->num_consumers; k++)
        num += layer->biases[k].num != 0;
    return num;
}

static void project(struct lbw_layer *layer, const struct update *u)
{
    for (size_t g = 0; g < layer->weight->layout.groups; g++)
        for (size_t r = 0; r < layer->weight->layout.rows; r++)
            project_row(layer, g, r, u->values, u->codes);
}

/* The codes to freeze. */
static void freeze(struct lbw_student *student, float *const *gradients, const struct update *u)
{
    student->is_frozen = true;
    for (size_t i = 0, param = 0; i < student->num_layers && student->num_averaged; i++) {
        struct lbw_layer *layer = &student->layers[i];
        if (gradients[param] && layer->weight->item.grid) {
            memcpy(layer->master.values, layer->average, layer->master.num * sizeof(float));
            project(layer, u);
        }
        param += num_params_of(layer);
    }
}

static bool update_weights(struct lbw_layer *layer, const float *gradient, struct update *u)
{
    const struct lbw_layout *layout = &layer->weight->layout;
    const struct lbw_grid *grid = layer->weight->item.grid;
    double *step_gradient = calloc(layer->steps.num, sizeof *step_gradient);
    if (!step_gradient)
        return false;
    u->pace.typical = lbw_learned_typical(&layer->master, &u->pace);
    for (size_t g = 0; g < layout->groups; g++)
        for (size_t r = 0; r < layout->rows; r++)
            if (grid)
                update_row(layer, g, r, gradient, step_gradient, u);
            else
                update_plain_row(layer, g, r, gradient, u);
    u->pace.typical = lbw_learned_typical(&layer->steps, &u->pace);
    if (grid)
        update_steps(layer, step_gradient, u);
    free(step_gradient);
    if (grid && !u->is_frozen)
        project(layer, u);
    return true;
}

static bool update_layer(struct lbw_layer *layer, float *const *gradients, struct update *u)
{
    size_t param = 1;
    if (gradients[0] && !update_weights(layer, gradients[0], u))
        return false;
    for (size_t k = 0; k < layer->weight->num_consumers; k++) {
        struct lbw_learned *bias = &layer->biases[k];
        if (!bias->num)
            continue;
        const float *gradient = gradients[param++];
        float move = BIAS_RATE * u->rate * layer->typical_bias[k];
        u->pace.typical = lbw_learned_typical(bias, &u->pace);
        for (size_t i = 0; gradient && i < bias->num; i++)
            bias->values[i] -= move * step_by(bias, i, gradient[i] * u->share, u);
    }
    return true;
}

enum lbw_status lbw_student_update(struct lbw_student *student, float *const *gradients,
                                   size_t num, const struct lbw_student_rate *rate,
                                   struct lbw_error *err)
{
    student->num_updates++;
    student->num_averaged += rate->is_averaged;
    size_t param = 0, longest = 1;
    for (size_t i = 0; i < student->num_layers; i++)
        if (student->layers[i].weight->layout.k > longest)
            longest = student->layers[i].weight->layout.k;
    struct update u = {.rate = (float)rate->rate,
                       .pace = lbw_pace_of(student->num_updates, rate->optimizer),
                       .is_frozen = rate->is_frozen,
                       .average_share =
                           rate->is_averaged ? 1 / (float)student->num_averaged : 0,
                       .share = 1 / (float)num,
                       .values = malloc(longest * sizeof(float)),
                       .codes = malloc(longest)};
    bool done = u.values && u.codes;
    for (size_t i = 0; i < student->num_layers && done; i++) {
        done = update_layer(&student->layers[i], gradients + param, &u);
        param += num_params_of(&student->layers[i]);
    }
    if (done && rate->is_frozen && !student->is_frozen)
        freeze(student, gradients, &u);
    free(u.values);
    free(u.codes);
    if (!done)
        return lbw_fail_memory(err);
    show(student);
    return LBW_OK;
}

void lbw_student_keep(struct lbw_student *student)
{
    for (size_t i = 0; i < student->num_layers; i++) {
        struct lbw_layer *layer = &student->layers[i];
        memcpy(layer->best, layer->now, layer->weight->item.count);
        if (!layer->weight->item.grid)
            memcpy(layer->best_values, layer->master.values,
                   layer->master.num * sizeof *layer->best_values);
        memcpy(layer->best_steps, layer->shown_steps, layer->steps.num * sizeof(float));
        for (size_t k = 0; k < layer->weight->num_consumers; k++)
            if (layer->biases[k].num)
                memcpy(layer->best_biases[k], layer->biases[k].values,
                       layer->biases[k].num * sizeof(float));
    }
}

void lbw_student_finish(struct lbw_student *student)
{
    for (size_t i = 0; i < student->num_layers; i++) {
        struct lbw_layer *layer = &student->layers[i];
        if (layer->weight->item.grid) {
            memcpy(layer->codes->codes, layer->best, layer->weight->item.count);
            memcpy(layer->codes->steps, layer->best_steps, layer->steps.num * sizeof(float));
        } else {
            layer->codes->values = layer->best_values;
            layer->best_values = NULL;
        }
        for (size_t k = 0; k < layer->weight->num_consumers; k++)
            if (layer->biases[k].num)
                memcpy(layer->codes->biases[k], layer->best_biases[k],
                       layer->biases[k].num * sizeof(float));
    }
}

double lbw_student_changed(const struct lbw_student *student)
{
    size_t num = 0, changed = 0;
    for (size_t i = 0; i < student->num_layers; i++) {
        const struct lbw_layer *layer = &student->layers[i];
        if (!layer->weight->item.grid)
            continue;
        num += layer->weight->item.count;
        for (size_t k = 0; k < layer->weight->item.count; k++)
            changed += layer->now[k] != layer->start[k];
    }
    return num ? (double)changed / (double)num : 0;
}

static void carry_floats(struct lbw_record *record, float *values, size_t num)
{
    lbw_record_floats(record, values, num, -FLT_MAX, FLT_MAX);
}

static void carry_layer(struct lbw_record *record, struct lbw_layer *layer)
{
    const struct lbw_plan_item *item = &layer->weight->item;
    lbw_record_same_text(record, item->tensor);
    lbw_record_same_text(record, item->grid ? item->grid->name : "");
    lbw_record_same(record, layer->master.num);
    lbw_record_same(record, layer->steps.num);
    lbw_learned_carry(record, &layer->master);
    lbw_learned_carry(record, &layer->steps);
    carry_floats(record, layer->average, layer->master.num);
    if (item->grid) {
        lbw_record_codes(record, layer->now, layer->master.num, item->grid->num_levels);
        lbw_record_codes(record, layer->best, layer->master.num, item->grid->num_levels);
        lbw_record_floats(record, layer->best_steps, layer->steps.num, FLT_TRUE_MIN, FLT_MAX);
    } else {
        carry_floats(record, layer->best_values, layer->master.num);
    }
    for (size_t k = 0; k < layer->weight->num_consumers; k++) {
        lbw_record_same(record, layer->biases[k].num);
        lbw_learned_carry(record, &layer->biases[k]);
        carry_floats(record, layer->best_biases[k], layer->biases[k].num);
    }
}

void lbw_student_carry(struct lbw_record *record, struct lbw_student *student)
{
    lbw_record_u64(record, &student->num_updates, UINT64_MAX);
    lbw_record_u64(record, &student->num_averaged, UINT64_MAX);
    lbw_record_bool(record, &student->is_frozen);
    for (size_t i = 0; i < student->num_layers && !record->failed; i++)
        carry_layer(record, &student->layers[i]);
    if (record->is_read && !record->failed)
        show(student);
}
