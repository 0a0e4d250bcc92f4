/* SPDX-License-Identifier: MIT */
/* Student: parameters, Adam, projection. */
#include "train/student.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/quantize.h"

#define FLOAT32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

/* Adam's usual constants. */
#define BETA_MEAN   0.9f
#define BETA_SQUARE 0.999f

/* Rates of steps and biases, as a share of that of the weights. */
#define STEP_RATE 0.5
#define BIAS_RATE 2.0

/* How near a float weight may start to the threshold of its code: 1 is at it. */
#define START_REACH 0.95f

/* The most that a weight's curvature may speed it up or slow it down. */
#define MOST_MOVE 3.0f

static bool learned_init(struct lbw_learned *l, size_t num)
{
    l->num = num;
    l->values = calloc(num + 1, sizeof *l->values);
    l->mean = calloc(num + 1, sizeof *l->mean);
    l->square = calloc(num + 1, sizeof *l->square);
    return l->values && l->mean && l->square;
}

static void learned_release(struct lbw_learned *l)
{
    free(l->values);
    free(l->mean);
    free(l->square);
}

/* In the main graph, and float32: what the graph of gradients can take as an input. */
static bool is_trainable(const struct lbw_weight *weight)
{
    return weight->item.grid && weight->tensor && weight->tensor->data_type == FLOAT32 &&
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
    layer->best_steps = calloc(num_steps + 1, sizeof *layer->best_steps);
    layer->shown_steps = calloc(num_steps + 1, sizeof *layer->shown_steps);
    if (!layer->biases || !layer->best_biases || !layer->typical || !layer->typical_bias ||
        !layer->average || !layer->now || !layer->best || !layer->start || !layer->best_steps ||
        !layer->shown_steps || !learned_init(&layer->master, count) ||
        !learned_init(&layer->steps, num_steps) ||
        !set_param(s, weight->item.tensor, weight->item.dims, weight->item.num_dims, count))
        return false;
    for (size_t i = 0; i < weight->num_consumers; i++) {
        struct lbw_tensor tensor;
        struct lbw_value *bias =
            lbw_weight_bias(&tensor, plan, weight, weight->consumers[i].node);
        if (!bias)
            continue;
        layer->best_biases[i] = calloc(tensor.count + 1, sizeof(float));
        if (!layer->best_biases[i] || !learned_init(&layer->biases[i], tensor.count) ||
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
            learned_release(&layer->biases[k]);
            if (layer->best_biases)
                free(layer->best_biases[k]);
        }
        learned_release(&layer->master);
        learned_release(&layer->steps);
        free(layer->biases);
        free(layer->best_biases);
        free(layer->typical);
        free(layer->typical_bias);
        free(layer->average);
        free(layer->now);
        free(layer->best);
        free(layer->start);
        free(layer->best_steps);
        free(layer->shown_steps);
    }
    for (size_t i = 0; student->arrays && i < student->num_params; i++)
        lbw_array_release(&student->arrays[i]);
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

/* Where value i of a row lies, and whether rows lie in one piece. */
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

/* What the next sample sees: decoded weights, and biases. */
static void show(struct lbw_student *s)
{
    size_t param = 0;
    for (size_t i = 0; i < s->num_layers; i++) {
        struct lbw_layer *layer = &s->layers[i];
        for (size_t k = 0; k < layer->steps.num; k++)
            layer->shown_steps[k] = step_of(layer, k);
        struct lbw_codes codes = {.codes = layer->now, .steps = layer->shown_steps};
        lbw_codes_decode(s->arrays[param++].data, layer->weight, &codes);
        for (size_t k = 0; k < layer->weight->num_consumers; k++)
            if (layer->biases[k].num)
                memcpy(s->arrays[param++].data, layer->biases[k].values,
                       layer->biases[k].num * sizeof(float));
    }
}

/* The float weight to start from: the model's own, drawn into the range of its code. */
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

/* Float weights, steps and typical sizes of one layer, from its codes and the model's weight.
 */
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
        /* Where all are zero: what inputs of unit size would make of a row. */
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
        start_weights(layer);
        LBW_TRY(start_biases(layer, plan, err));
    }
    show(student);
    lbw_student_keep(student);
    return LBW_OK;
}

/* Adam: the direction to go, of about unit length, from the gradient of value i. */
static float direction(struct lbw_learned *l, size_t i, float gradient, float unbias_mean,
                       float unbias_square)
{
    l->mean[i] = BETA_MEAN * l->mean[i] + (1 - BETA_MEAN) * gradient;
    l->square[i] = BETA_SQUARE * l->square[i] + (1 - BETA_SQUARE) * gradient * gradient;
    float size = sqrtf(l->square[i] * unbias_square);
    return size > 0 ? l->mean[i] * unbias_mean / size : 0;
}

/* What a whole layer's update shares. */
struct update {
    float rate, unbias_mean, unbias_square;
    float typical_root; /* mean over the layer of the root of the gradient's mean square */
    bool is_frozen;
    float average_share; /* of this step in the mean of the float weights; 0: not in it */
    enum lbw_optimizer optimizer;
    float share; /* of one sample in the sum of gradients */
    float *values;
    uint8_t *codes;
};

/*
 * Adam's direction divided once more by the root of the gradient's mean square, which stands
 * for the curvature: a step like Newton's. A code that flips costs curvature · gap², so weights
 * of high curvature have to wait for a clear gradient, and noise flips those that matter least.
 * With Adam's own direction, flips did more harm than good (docs/tuning.md).
 */
static float by_curvature(float direction, const struct lbw_learned *l, size_t i,
                          const struct update *u)
{
    float root = sqrtf(l->square[i] * u->unbias_square);
    float move = root > 0 ? direction * u->typical_root / root : 0;
    return move > MOST_MOVE ? MOST_MOVE : move < -MOST_MOVE ? -MOST_MOVE : move;
}

/* The mean of the last gradients, in typical gradients of the layer. */
static float by_momentum(const struct lbw_learned *l, size_t i, const struct update *u)
{
    float move = u->typical_root > 0 ? l->mean[i] * u->unbias_mean / u->typical_root : 0;
    return move > MOST_MOVE ? MOST_MOVE : move < -MOST_MOVE ? -MOST_MOVE : move;
}

static void update_row(struct lbw_layer *layer, size_t group, size_t row, const float *gradient,
                       double *step_gradient, const struct update *u)
{
    const struct lbw_layout *layout = &layer->weight->layout;
    const struct lbw_grid *grid = layer->weight->item.grid;
    size_t at_step = lbw_weight_step_index(layer->weight, group, row);
    float rate = u->rate * layer->typical[at_step];
    float top =
        1.25f * layer->steps.values[at_step] * (float)grid->levels[grid->num_levels - 1];
    bool plain = is_plain(layout);
    size_t first = lbw_layout_offset(layout, group, row, 0);
    for (size_t i = 0; i < layout->k; i++) {
        size_t at = plain ? first + i : lbw_layout_offset(layout, group, row, i);
        float g = gradient[at] * u->share;
        step_gradient[at_step] += (double)g * grid->levels[layer->now[at]];
        if (u->is_frozen)
            continue;
        float d = direction(&layer->master, at, g, u->unbias_mean, u->unbias_square);
        float move = u->optimizer == LBW_OPTIMIZER_SGD ? by_momentum(&layer->master, at, u)
                                                       : by_curvature(d, &layer->master, at, u);
        float w = layer->master.values[at] - rate * move;
        w = w > top ? top : w < -top ? -top : w;
        layer->master.values[at] = w;
        layer->average[at] += u->average_share * (w - layer->average[at]);
    }
}

/* The steps move by factors: their gradient is taken in the logarithm. */
static void update_steps(struct lbw_layer *layer, const double *gradient,
                         const struct update *u)
{
    if (layer->weight->item.scale != LBW_SCALE_REAL)
        return;
    for (size_t i = 0; i < layer->steps.num; i++) {
        float step = layer->steps.values[i];
        float d = direction(&layer->steps, i, (float)gradient[i] * step, u->unbias_mean,
                            u->unbias_square);
        layer->steps.values[i] = step * expf(-(float)STEP_RATE * u->rate * d);
    }
}

static float typical_root(const struct lbw_learned *l, float unbias_square)
{
    double sum = 0;
    for (size_t i = 0; i < l->num; i++)
        sum += sqrtf(l->square[i] * unbias_square);
    return (float)(sum / (double)l->num);
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

/* The codes to stay with. */
static void freeze(struct lbw_student *student, float *const *gradients, const struct update *u)
{
    student->is_frozen = true;
    for (size_t i = 0, param = 0; i < student->num_layers && student->num_averaged; i++) {
        struct lbw_layer *layer = &student->layers[i];
        if (gradients[param]) {
            memcpy(layer->master.values, layer->average, layer->master.num * sizeof(float));
            project(layer, u);
        }
        param += num_params_of(layer);
    }
}

static bool update_layer(struct lbw_layer *layer, float *const *gradients, double rate,
                         struct update *u)
{
    /* The fewer levels, the farther a weight has to go before its code changes. */
    u->rate = (float)(rate / layer->weight->item.grid->num_levels);
    const struct lbw_layout *layout = &layer->weight->layout;
    size_t param = 0;
    if (gradients[param]) {
        double *step_gradient = calloc(layer->steps.num, sizeof *step_gradient);
        if (!step_gradient)
            return false;
        u->typical_root = typical_root(&layer->master, u->unbias_square);
        for (size_t g = 0; g < layout->groups; g++)
            for (size_t r = 0; r < layout->rows; r++)
                update_row(layer, g, r, gradients[param], step_gradient, u);
        update_steps(layer, step_gradient, u);
        free(step_gradient);
        if (!u->is_frozen)
            project(layer, u);
    }
    param++;
    for (size_t k = 0; k < layer->weight->num_consumers; k++) {
        struct lbw_learned *bias = &layer->biases[k];
        if (!bias->num)
            continue;
        const float *gradient = gradients[param++];
        float move = (float)BIAS_RATE * u->rate * layer->typical_bias[k];
        for (size_t i = 0; gradient && i < bias->num; i++)
            bias->values[i] -= move * direction(bias, i, gradient[i] * u->share, u->unbias_mean,
                                                u->unbias_square);
    }
    return true;
}

enum lbw_status lbw_student_update(struct lbw_student *student, float *const *gradients,
                                   size_t num, const struct lbw_student_rate *rate,
                                   struct lbw_error *err)
{
    double t = (double)++student->num_updates;
    student->num_averaged += rate->is_averaged;
    size_t param = 0, longest = 1;
    for (size_t i = 0; i < student->num_layers; i++)
        if (student->layers[i].weight->layout.k > longest)
            longest = student->layers[i].weight->layout.k;
    struct update u = {.unbias_mean = (float)(1 / (1 - pow(BETA_MEAN, t))),
                       .unbias_square = (float)(1 / (1 - pow(BETA_SQUARE, t))),
                       .is_frozen = rate->is_frozen,
                       .average_share =
                           rate->is_averaged ? 1 / (float)student->num_averaged : 0,
                       .optimizer = rate->optimizer,
                       .share = 1 / (float)num,
                       .values = malloc(longest * sizeof(float)),
                       .codes = malloc(longest)};
    bool done = u.values && u.codes;
    for (size_t i = 0; i < student->num_layers && done; i++) {
        done = update_layer(&student->layers[i], gradients + param, rate->rate, &u);
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
        memcpy(layer->codes->codes, layer->best, layer->weight->item.count);
        memcpy(layer->codes->steps, layer->best_steps, layer->steps.num * sizeof(float));
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

static void carry_learned(struct lbw_record *record, struct lbw_learned *l)
{
    carry_floats(record, l->values, l->num);
    carry_floats(record, l->mean, l->num);
    lbw_record_floats(record, l->square, l->num, 0, FLT_MAX);
}

static void carry_layer(struct lbw_record *record, struct lbw_layer *layer)
{
    const struct lbw_plan_item *item = &layer->weight->item;
    lbw_record_same_text(record, item->tensor);
    lbw_record_same_text(record, item->grid->name);
    lbw_record_same(record, layer->master.num);
    lbw_record_same(record, layer->steps.num);
    carry_learned(record, &layer->master);
    carry_learned(record, &layer->steps);
    carry_floats(record, layer->average, layer->master.num);
    lbw_record_codes(record, layer->now, layer->master.num, item->grid->num_levels);
    lbw_record_codes(record, layer->best, layer->master.num, item->grid->num_levels);
    lbw_record_floats(record, layer->best_steps, layer->steps.num, FLT_TRUE_MIN, FLT_MAX);
    for (size_t k = 0; k < layer->weight->num_consumers; k++) {
        lbw_record_same(record, layer->biases[k].num);
        carry_learned(record, &layer->biases[k]);
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
