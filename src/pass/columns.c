/* SPDX-License-Identifier: MIT */
/* Sampled im2col for every convolution family, straight into moments. */
#include "pass/columns.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"

/* Columns wanted per layer: enough for a K × K covariance, and never fewer than LEAST. */
#define COLUMNS_PER_K ((size_t)12)
#define LEAST_COLUMNS ((size_t)8192)
#define MOST_COLUMNS  ((size_t)32768)
/* Fewer kept columns than this are not enough evidence. */
#define LEAST_KEPT ((size_t)64)
/* Of a position, on average, where some count more than others. */
#define MOST_REPEATS ((size_t)4)
/* Buffered floats of one side before they are added to the moments. */
#define BUFFER_FLOATS ((size_t)1 << 21)

static void read_ints(int64_t *out, size_t num, const Onnx__NodeProto *node, const char *name,
                      size_t first)
{
    const Onnx__AttributeProto *a = lbw_node_attribute(node, name);
    for (size_t i = 0; a && i < num && first + i < a->n_ints; i++)
        out[i] = a->ints[first + i];
}

/* Of Gemm and MatMul: whether columns run along the last axis but one of the data. */
static bool has_columns_across(const struct lbw_consumer *consumer)
{
    bool is_gemm = lbw_node_is(consumer->node, "Gemm");
    if (consumer->input == 0)
        return !(is_gemm && lbw_node_int(consumer->node, "transB", 0));
    return is_gemm && lbw_node_int(consumer->node, "transA", 0);
}

bool lbw_geometry_of(struct lbw_geometry *out, const struct lbw_weight *weight,
                     const struct lbw_consumer *consumer)
{
    const Onnx__NodeProto *node = consumer->node;
    struct lbw_geometry g = {.auto_pad = 'N'};
    if (lbw_layout_is_linear(node)) {
        if (has_columns_across(consumer)) { /* a convolution of one tap over [batch, k, n] */
            g.num_spatial = 1;
            g.kernel[0] = g.stride[0] = g.dilation[0] = 1;
            g.is_across = true;
        }
        *out = g;
        return true;
    }
    g.num_spatial = weight->item.num_dims - 2;
    if (g.num_spatial < 1 || g.num_spatial > 3)
        return false;
    g.is_transposed = lbw_node_is(node, "ConvTranspose");
    for (size_t i = 0; i < g.num_spatial; i++) {
        g.kernel[i] = weight->item.dims[2 + i];
        g.stride[i] = g.dilation[i] = 1;
    }
    read_ints(g.stride, g.num_spatial, node, "strides", 0);
    read_ints(g.dilation, g.num_spatial, node, "dilations", 0);
    read_ints(g.pad_begin, g.num_spatial, node, "pads", 0);
    read_ints(g.pad_end, g.num_spatial, node, "pads", g.num_spatial);
    read_ints(g.output_padding, g.num_spatial, node, "output_padding", 0);
    read_ints(g.output_shape, g.num_spatial, node, "output_shape", 0);
    const Onnx__AttributeProto *pad = lbw_node_attribute(node, "auto_pad");
    if (pad && pad->s.len > 5 && memcmp(pad->s.data, "SAME_", 5) == 0)
        g.auto_pad = (char)pad->s.data[5];
    else if (pad && pad->s.len > 0)
        g.auto_pad = (char)pad->s.data[0];
    for (size_t i = 0; i < g.num_spatial; i++)
        if (g.stride[i] < 1 || g.dilation[i] < 1)
            return false;
    *out = g;
    return true;
}

/* Output size and effective leading pad of one spatial axis; false if the output is empty. */
static bool axis_output(const struct lbw_geometry *g, size_t i, int64_t input, int64_t *output,
                        int64_t *pad)
{
    int64_t reach = (g->kernel[i] - 1) * g->dilation[i] + 1, total;
    *pad = g->auto_pad == 'N' ? g->pad_begin[i] : 0;
    if (g->is_transposed) {
        int64_t full = g->stride[i] * (input - 1) + g->output_padding[i] + reach;
        bool is_same = g->auto_pad == 'U' || g->auto_pad == 'L';
        *output = g->output_shape[i]   ? g->output_shape[i]
                  : is_same            ? input * g->stride[i]
                  : g->auto_pad == 'V' ? full
                                       : full - g->pad_begin[i] - g->pad_end[i];
        total = full - *output;
        if (g->output_shape[i] || is_same)
            *pad = g->auto_pad == 'U' ? total / 2 : total - total / 2;
        return *output > 0;
    }
    if (g->auto_pad == 'U' || g->auto_pad == 'L') {
        *output = (input + g->stride[i] - 1) / g->stride[i];
        total = (*output - 1) * g->stride[i] + reach - input;
        total = total > 0 ? total : 0;
        *pad = g->auto_pad == 'U' ? total / 2 : total - total / 2;
    } else {
        int64_t padded = input + (g->auto_pad == 'N' ? g->pad_begin[i] + g->pad_end[i] : 0);
        *output = padded >= reach ? (padded - reach) / g->stride[i] + 1 : 0;
    }
    return *output > 0;
}

/* One sample's tensor as a source of columns. */
struct view {
    int64_t batch, input[3], output[3], pad[3];
    size_t num_spatial;
    size_t plane;         /* input positions of one channel */
    size_t num_channels;  /* of the input */
    size_t num_positions; /* output positions, batch included */
};

/* Data [batch…, k, n], or one column [k]. */
static bool view_across(struct view *v, const struct lbw_layout *layout,
                        const struct lbw_activation *a)
{
    size_t rank = a->num_dims;
    if (rank == 0 || a->dims[rank > 1 ? rank - 2 : 0] != (int64_t)layout->k)
        return false;
    for (size_t i = 0; i + 2 < rank; i++)
        v->batch *= a->dims[i];
    v->input[0] = v->output[0] = rank > 1 ? a->dims[rank - 1] : 1;
    v->plane = (size_t)v->input[0];
    v->num_channels = layout->k;
    v->num_positions = (size_t)v->batch * v->plane;
    return true;
}

static bool view_init(struct view *v, const struct lbw_columns *c,
                      const struct lbw_activation *a)
{
    const struct lbw_geometry *g = &c->geometry;
    const struct lbw_layout *layout = &c->weight->layout;
    *v = (struct view){.batch = 1, .num_spatial = g->num_spatial, .plane = 1};
    if (g->num_spatial == 0) { /* rows of the last axis */
        if (a->num_dims == 0 || a->dims[a->num_dims - 1] != (int64_t)layout->k)
            return false;
        for (size_t i = 0; i + 1 < a->num_dims; i++)
            v->batch *= a->dims[i];
        v->num_channels = layout->k;
        v->num_positions = (size_t)v->batch;
        return true;
    }
    if (g->is_across)
        return view_across(v, layout, a);
    if (a->num_dims != g->num_spatial + 2)
        return false;
    v->batch = a->dims[0];
    v->num_channels = (size_t)a->dims[1];
    v->num_positions = (size_t)v->batch;
    if (v->num_channels != layout->groups * (layout->k / layout->taps))
        return false;
    for (size_t i = 0; i < g->num_spatial; i++) {
        v->input[i] = a->dims[2 + i];
        v->plane *= (size_t)v->input[i];
        if (!axis_output(g, i, v->input[i], &v->output[i], &v->pad[i]))
            v->output[i] = 0; /* smaller than the kernel */
        v->num_positions *= (size_t)v->output[i];
    }
    return true;
}

/* The position along one axis that tap t of output o reads; -1: outside. */
static int64_t axis_source(const struct lbw_geometry *g, const struct view *v, size_t i,
                           int64_t o, int64_t t)
{
    int64_t at;
    if (g->is_transposed) {
        at = o + v->pad[i] - t * g->dilation[i];
        if (at < 0 || at % g->stride[i])
            return -1;
        at /= g->stride[i];
    } else {
        at = o * g->stride[i] - v->pad[i] + t * g->dilation[i];
    }
    return at >= 0 && at < v->input[i] ? at : -1;
}

/* Offsets of all taps of one output position, relative to the group's first channel. */
static void position_offsets(size_t *out, const struct lbw_columns *c, const struct view *v,
                             size_t position)
{
    const struct lbw_geometry *g = &c->geometry;
    int64_t o[3] = {0}, rest = (int64_t)position;
    for (size_t i = v->num_spatial; i-- > 0; rest /= v->output[i])
        o[i] = rest % v->output[i];
    size_t start = (size_t)rest * v->num_channels * v->plane;
    for (size_t tap = 0; tap < c->weight->layout.taps; tap++) {
        int64_t t[3] = {0}, left = (int64_t)tap;
        for (size_t i = v->num_spatial; i-- > 0; left /= g->kernel[i])
            t[i] = left % g->kernel[i];
        size_t offset = 0;
        bool is_inside = true;
        for (size_t i = 0; i < v->num_spatial && is_inside; i++) {
            int64_t at = axis_source(g, v, i, o[i], t[i]);
            is_inside = at >= 0;
            offset = offset * (size_t)v->input[i] + (size_t)at;
        }
        out[tap] = is_inside ? start + offset : SIZE_MAX;
    }
}

/* The columns of one group at the positions in c->offsets, and their sums. */
static void gather_columns(float *out, double *sum, const struct lbw_columns *c,
                           const struct view *v, const float *data, size_t group, size_t num)
{
    const struct lbw_layout *layout = &c->weight->layout;
    size_t channels = layout->k / layout->taps;
    const float *first = data + group * channels * v->plane;
    for (size_t p = 0; p < num; p++) {
        const size_t *offsets = c->offsets + p * layout->taps;
        float *column = out + p * layout->k;
        for (size_t ch = 0; ch < channels; ch++)
            for (size_t t = 0; t < layout->taps; t++)
                column[ch * layout->taps + t] =
                    offsets[t] == SIZE_MAX ? 0 : first[ch * v->plane + offsets[t]];
        for (size_t i = 0; i < layout->k; i++)
            sum[i] += column[i];
    }
}

/* Columns wanted of a layer whose rows are k long. */
static size_t wanted_columns(size_t k)
{
    size_t total = COLUMNS_PER_K * k;
    return total < LEAST_COLUMNS ? LEAST_COLUMNS : total > MOST_COLUMNS ? MOST_COLUMNS : total;
}

/* What a position counts for, by the sample's map of emphasis. */
static double count_of(const struct view *v, const float *emphasis, size_t position)
{
    size_t width = (size_t)v->output[1], height = (size_t)v->output[0];
    size_t x = position % width * LBW_EMPHASIS_SIDE / width;
    size_t y = position / width % height * LBW_EMPHASIS_SIDE / height;
    return 1 + (double)emphasis[y * LBW_EMPHASIS_SIDE + x];
}

/* One position from each of `num` stretches of equal weight: heavy ones come more than once. */
static void pick_by_emphasis(size_t num, struct lbw_columns *c, const struct view *v,
                             const float *emphasis, struct lbw_random *random)
{
    double total = 0, passed = 0;
    for (size_t i = 0; i < v->num_positions; i++)
        total += count_of(v, emphasis, i);
    size_t at = 0;
    double own = count_of(v, emphasis, 0);
    for (size_t p = 0; p < num; p++) {
        double share = ((double)p + lbw_random_unit(random)) / (double)num;
        while (at + 1 < v->num_positions && passed + own < share * total) {
            passed += own;
            own = count_of(v, emphasis, ++at);
        }
        position_offsets(c->offsets + p * c->weight->layout.taps, c, v, at);
    }
}

/* Picks positions, one at random from each of `num` equal stretches; fills c->offsets. */
static bool sample_positions(size_t *num, struct lbw_columns *c, const struct view *v,
                             const struct lbw_activation *values)
{
    size_t taps = c->weight->layout.taps, wanted = c->most / c->num_samples;
    const float *emphasis = v->num_spatial == 2 ? values->emphasis : NULL;
    size_t most = emphasis ? MOST_REPEATS * v->num_positions : v->num_positions;
    *num = wanted < most ? wanted : most;
    if (*num * taps > c->offsets_capacity) {
        free(c->offsets);
        c->offsets = malloc(*num * taps * sizeof *c->offsets);
        c->offsets_capacity = c->offsets ? *num * taps : 0;
        if (!c->offsets)
            return false;
    }
    struct lbw_random random = {c->seed ^ (values->sample + 1) * 0x9e3779b97f4a7c15};
    if (emphasis) {
        c->has_emphasis = true;
        pick_by_emphasis(*num, c, v, emphasis, &random);
        return true;
    }
    for (size_t p = 0; p < *num; p++) {
        size_t first = p * v->num_positions / *num, end = (p + 1) * v->num_positions / *num;
        size_t position = first + lbw_random_below(&random, (uint32_t)(end - first));
        position_offsets(c->offsets + p * taps, c, v, position);
    }
    return true;
}

/* The groups of one sample, each on its own thread. */
struct group_work {
    struct lbw_columns *columns;
    const struct view *view;
    const struct lbw_activation *values;
    size_t num;
    atomic_int status;
};

static void add_group(void *user, size_t group)
{
    struct group_work *work = user;
    struct lbw_columns *c = work->columns;
    size_t k = c->weight->layout.k, size = work->num * k;
    float *x = malloc(2 * size * sizeof *x), *y = x ? x + size : NULL;
    if (!x) {
        work->status = LBW_ERR_MEMORY;
        return;
    }
    gather_columns(x, c->own_x + group * k, c, work->view, work->values->reference, group,
                   work->num);
    gather_columns(y, c->own_y + group * k, c, work->view, work->values->converted, group,
                   work->num);
    enum lbw_status status = lbw_moments_add(&c->moments[group], x, y, work->num, 1, NULL);
    if (status != LBW_OK)
        work->status = (int)status; /* the only failure possible is out of memory */
    free(x);
}

static enum lbw_status add_dense(struct lbw_columns *c, const struct view *v,
                                 const struct lbw_activation *values, size_t num,
                                 struct lbw_error *err)
{
    size_t k = c->weight->layout.k;
    if (c->num_buffered + num > c->capacity)
        LBW_TRY(lbw_columns_flush(c, err));
    if (num > c->capacity) {
        size_t capacity = BUFFER_FLOATS / k > num ? BUFFER_FLOATS / k : num;
        free(c->x);
        free(c->y);
        c->x = malloc(capacity * k * sizeof *c->x);
        c->y = malloc(capacity * k * sizeof *c->y);
        c->capacity = c->x && c->y ? capacity : 0;
        if (!c->capacity)
            return lbw_fail_memory(err);
    }
    size_t at = c->num_buffered * k;
    gather_columns(c->x + at, c->own_x, c, v, values->reference, 0, num);
    gather_columns(c->y + at, c->own_y, c, v, values->converted, 0, num);
    c->num_buffered += num;
    return LBW_OK;
}

enum lbw_status lbw_columns_add(void *user, const struct lbw_activation *values,
                                struct lbw_error *err)
{
    struct lbw_columns *c = user;
    struct view view;
    size_t num;
    if (!lbw_watch_goes_on(c->watch))
        return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
    if (!view_init(&view, c, values))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "its input has %zu dimensions and does not fit the weight",
                        values->num_dims);
    if (!view.num_positions)
        return LBW_OK; /* no rows in this sample */
    if (!sample_positions(&num, c, &view, values))
        return lbw_fail_memory(err);
    c->own_count += (double)num;
    if (c->weight->layout.groups == 1)
        return add_dense(c, &view, values, num, err);
    struct group_work work = {c, &view, values, num, LBW_OK};
    lbw_parallel_for(c->weight->layout.groups, 0, add_group, &work);
    return work.status != LBW_OK ? lbw_fail_memory(err) : LBW_OK;
}

enum lbw_status lbw_columns_flush(struct lbw_columns *columns, struct lbw_error *err)
{
    size_t num = columns->num_buffered;
    columns->num_buffered = 0;
    return num ? lbw_moments_add(&columns->moments[0], columns->x, columns->y, num, 0, err)
               : LBW_OK;
}

bool lbw_columns_begin(struct lbw_columns *columns, const struct lbw_consumer *consumer)
{
    size_t size = columns->weight->layout.groups * columns->weight->layout.k;
    memset(columns->own_x, 0, size * sizeof(double));
    memset(columns->own_y, 0, size * sizeof(double));
    columns->own_count = 0;
    return lbw_geometry_of(&columns->geometry, columns->weight, consumer);
}

uint64_t lbw_columns_bytes(const struct lbw_weight *weight, size_t num)
{
    const struct lbw_layout *layout = &weight->layout;
    return lbw_moments_bytes(layout->k, layout->rows, num, layout->groups);
}

bool lbw_columns_fit(size_t *num, const struct lbw_weight *weight, size_t num_samples,
                     uint64_t memory)
{
    *num = 0;
    if (lbw_columns_bytes(weight, 0) <= memory)
        return true;
    size_t low = 0, high = wanted_columns(weight->layout.k) + 1; /* low fits, high does not */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (lbw_columns_bytes(weight, middle) <= memory)
            low = middle;
        else
            high = middle;
    }
    *num = low;
    return low >= LEAST_KEPT && low >= num_samples;
}

enum lbw_status lbw_columns_init(struct lbw_columns *out, const struct lbw_weight *weight,
                                 const float *rows, size_t num_samples, uint64_t memory,
                                 uint64_t seed, struct lbw_error *err)
{
    const struct lbw_layout *layout = &weight->layout;
    size_t num_kept, wanted = wanted_columns(layout->k), size = layout->rows * layout->k;
    if (!lbw_columns_fit(&num_kept, weight, num_samples, memory))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "a fit of %zu row%s of %zu weight%s needs more than half of --memory",
                        layout->groups * layout->rows,
                        layout->groups * layout->rows == 1 ? "" : "s", layout->k,
                        layout->k == 1 ? "" : "s");
    struct lbw_columns c = {
        .weight = weight,
        .num_samples = num_samples,
        .most = num_kept ? num_kept : wanted + num_samples - 1,
        .seed = seed,
        .moments = calloc(layout->groups, sizeof *c.moments),
        .own_x = calloc(layout->groups * layout->k, sizeof(double)),
        .own_y = calloc(layout->groups * layout->k, sizeof(double)),
    };
    enum lbw_status status = c.moments && c.own_x && c.own_y ? LBW_OK : lbw_fail_memory(err);
    for (size_t g = 0; g < layout->groups && status == LBW_OK; g++)
        status = lbw_moments_init(&c.moments[g], rows + g * size, layout->rows, layout->k,
                                  num_kept ? num_kept : c.most, num_kept > 0, err);
    if (status == LBW_OK)
        *out = c;
    else
        lbw_columns_release(&c);
    return status;
}

void lbw_columns_release(struct lbw_columns *columns)
{
    for (size_t g = 0; columns->moments && g < columns->weight->layout.groups; g++)
        lbw_moments_release(&columns->moments[g]);
    free(columns->moments);
    free(columns->own_x);
    free(columns->own_y);
    free(columns->x);
    free(columns->y);
    free(columns->offsets);
    *columns = (struct lbw_columns){0};
}
