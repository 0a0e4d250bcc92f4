/* SPDX-License-Identifier: MIT */
/*
 * Copies each channel into planes that hold its padding, one for each phase that the strides
 * leave apart, so that every product reads whole vectors; then multiplies row by row.
 */
#include "kernels/conv_float.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STRIP     ((size_t)4 * LBW_COLUMNS) /* positions at a time */
#define TASK_WORK (1 << 18)                 /* products */

/* Groups whose planes stay in a cache of that many bytes are copied and multiplied in turn. */
#define GROUP_SIZE ((size_t)1 << 19)
#define MIN_GROUPS 8
#define MAX_TAPS   1024

struct lbw_conv_float {
    struct lbw_conv_float_params params; /* its arrays are owned */
    const struct lbw_isa *isa;
    const struct lbw_float_loops *loops;
    size_t depth, rows; /* channels of a group: input, output */
    size_t num_taps;
    size_t products; /* depth × taps */
    size_t blocks;   /* of output channels in a group */
    float *weights;  /* per group and block: products × rows of the block */
};

struct job {
    const struct lbw_conv_float *conv;
    const float *x;
    float *planes; /* per channel, num_planes × plane_size floats */
    void *y;
    int64_t in[2], out[2];
    size_t pitch, plane_size, num_planes;
    ptrdiff_t *offsets;     /* per product of a group */
    size_t num_rows, width; /* of the output */
    size_t rows_per_task, row_tasks;
    atomic_bool has_failed;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t block_rows(const struct lbw_conv_float *conv, size_t block)
{
    return min_size(LBW_FLOAT_ROWS, conv->rows - block * LBW_FLOAT_ROWS);
}

static void pack(struct lbw_conv_float *conv)
{
    float *to = conv->weights;
    for (size_t g = 0; g < (size_t)conv->params.shape.groups; g++)
        for (size_t b = 0; b < conv->blocks; b++) {
            size_t first = g * conv->rows + b * LBW_FLOAT_ROWS;
            for (size_t k = 0; k < conv->products; k++)
                for (size_t m = 0; m < block_rows(conv, b); m++)
                    *to++ = conv->params.weights[(first + m) * conv->products + k];
        }
}

static void *copy(const void *from, size_t size)
{
    void *to = malloc(size + 1);
    if (to && size)
        memcpy(to, from, size);
    return to;
}

static enum lbw_status own_params(struct lbw_conv_float *conv,
                                  const struct lbw_conv_float_params *params,
                                  struct lbw_error *err)
{
    struct lbw_conv_float_params *own = &conv->params;
    size_t num = (size_t)params->shape.num_outputs;
    own->bias = copy(params->bias, num * sizeof *own->bias);
    own->ending = params->ending ? copy(params->ending, sizeof *own->ending) : NULL;
    size_t num_tables = params->has_channel_tables ? num : 1;
    own->tables = params->tables ? copy(params->tables, num_tables * 256) : NULL;
    own->scales = params->ending ? NULL : copy(params->scales, num * sizeof *own->scales);
    conv->weights = calloc(num * conv->products + 1, sizeof *conv->weights);
    if (!own->bias || (params->ending && !own->ending) || (params->tables && !own->tables) ||
        (!params->ending && !own->scales) || !conv->weights)
        return lbw_fail_memory(err);
    pack(conv);
    own->weights = NULL;
    return LBW_OK;
}

enum lbw_status lbw_conv_float_new(struct lbw_conv_float **out,
                                   const struct lbw_conv_float_params *params,
                                   const struct lbw_isa *isa, struct lbw_error *err)
{
    const struct lbw_conv_params *shape = &params->shape;
    struct lbw_conv_float *conv = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_conv_check_shape(shape, err));
    if (shape->strides[0] > LBW_FLOAT_MAX_STRIDE || shape->strides[1] > LBW_FLOAT_MAX_STRIDE ||
        shape->kernel[0] * shape->kernel[1] > MAX_TAPS)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_ARGUMENT,
                            "kernel %lldx%lld, strides %lldx%lld on float input",
                            (long long)shape->kernel[0], (long long)shape->kernel[1],
                            (long long)shape->strides[0], (long long)shape->strides[1]));
    conv = calloc(1, sizeof *conv);
    if (!conv)
        LBW_OR_OUT(lbw_fail_memory(err));
    conv->params =
        (struct lbw_conv_float_params){.shape = *shape,
                                       .weights = params->weights,
                                       .has_channel_tables = params->has_channel_tables,
                                       .zero = params->zero};
    conv->loops = isa ? isa->floats : lbw_plain_floats;
    conv->isa = isa;
    conv->depth = (size_t)(shape->num_inputs / shape->groups);
    conv->rows = (size_t)(shape->num_outputs / shape->groups);
    conv->num_taps = (size_t)(shape->kernel[0] * shape->kernel[1]);
    conv->products = conv->depth * conv->num_taps;
    conv->blocks = (conv->rows + LBW_FLOAT_ROWS - 1) / LBW_FLOAT_ROWS;
    LBW_OR_OUT(own_params(conv, params, err));
    *out = conv;
    conv = NULL;
out:
    lbw_conv_float_free(&conv);
    return status;
}

void lbw_conv_float_free(struct lbw_conv_float **conv)
{
    if (!*conv)
        return;
    free((void *)(*conv)->params.bias);
    free((void *)(*conv)->params.ending);
    free((void *)(*conv)->params.tables);
    free((void *)(*conv)->params.scales);
    free((*conv)->weights);
    free(*conv);
    *conv = NULL;
}

/* ---- planes ---- */

/* Row y of the input, as columns of phase b: x[stride · q + b - pad], zeros where there is
 * none.
 */
static void fill_row(float *row, const struct job *job, const float *x, int64_t b)
{
    const struct lbw_conv_params *p = &job->conv->params.shape;
    int64_t stride = p->strides[1], start = b - p->pads[1], width = job->in[1];
    int64_t first = start < 0 ? (-start + stride - 1) / stride : 0;
    int64_t last = start < width ? (width - start + stride - 1) / stride : 0;
    int64_t pitch = (int64_t)job->pitch;
    first = first < pitch ? first : pitch;
    last = last < first ? first : last < pitch ? last : pitch;
    const float *from = x + start + first * stride;
    size_t num = (size_t)(last - first);
    memset(row, 0, (size_t)first * sizeof *row);
    memset(row + last, 0, (size_t)(pitch - last) * sizeof *row);
    if (num && stride == 1)
        memcpy(row + first, from, num * sizeof *row);
    else if (num && stride == 2)
        job->conv->loops->halve(row + first, from, num);
    else
        for (size_t q = 0; q < num; q++)
            row[first + (int64_t)q] = from[q * (size_t)stride];
}

static void fill_planes(const struct job *job, float *plane, size_t c)
{
    const struct lbw_conv_params *p = &job->conv->params.shape;
    const float *x = job->x + c * (size_t)(job->in[0] * job->in[1]);
    size_t rows = job->plane_size / job->pitch;
    for (int64_t a = 0; a < p->strides[0]; a++)
        for (int64_t b = 0; b < p->strides[1]; b++, plane += job->plane_size)
            for (size_t r = 0; r < rows; r++) {
                int64_t y = p->strides[0] * (int64_t)r + a - p->pads[0];
                float *row = plane + r * job->pitch;
                if (y >= 0 && y < job->in[0])
                    fill_row(row, job, x + y * job->in[1], b);
                else
                    memset(row, 0, job->pitch * sizeof *row);
            }
}

static void fill_channel(void *argument, size_t c)
{
    const struct job *job = argument;
    fill_planes(job, job->planes + c * job->num_planes * job->plane_size, c);
}

/* ---- products ---- */

/* `num` floats of output channel m, from position `at` on, to where they belong. */
static void finish(const struct job *job, float *row, size_t m, size_t at, size_t num)
{
    const struct lbw_conv_float *conv = job->conv;
    const struct lbw_conv_float_params *p = &conv->params;
    size_t place = m * (size_t)(job->out[0] * job->out[1]) + at;
    size_t vectors = (num + LBW_COLUMNS - 1) / LBW_COLUMNS;
    uint8_t bytes[STRIP], *y = (uint8_t *)job->y + place;
    if (p->ending) {
        conv->loops->bend(row, vectors, p->ending);
        memcpy((float *)job->y + place, row, num * sizeof *row);
        return;
    }
    conv->loops->round(bytes, row, vectors, p->scales[m], (float)-p->zero,
                       (float)(255 - p->zero));
    const uint8_t *table = p->tables ? p->tables + (p->has_channel_tables ? 256 * m : 0) : NULL;
    if (table && conv->isa)
        conv->isa->look_up(y, bytes, num, table);
    else
        for (size_t i = 0; i < num; i++)
            y[i] = table ? table[bytes[i]] : bytes[i];
}

/* Positions `first` to `first` + num of a row, which starts at `x` in the first channel. */
static void run_strip(const struct job *job, const float *x, size_t group, size_t at,
                      size_t first, size_t num)
{
    const struct lbw_conv_float *conv = job->conv;
    size_t width = num <= LBW_COLUMNS ? 1 : num <= 2 * (size_t)LBW_COLUMNS ? 2 : 4;
    float sums[LBW_FLOAT_ROWS * STRIP];
    for (size_t b = 0; b < conv->blocks; b++) {
        size_t rows = block_rows(conv, b), m = group * conv->rows + b * LBW_FLOAT_ROWS;
        conv->loops->products(sums, rows, width, x + first, job->offsets, conv->products,
                              conv->weights + m * conv->products, conv->params.bias + m);
        for (size_t i = 0; i < rows; i++)
            finish(job, sums + i * STRIP, m + i, at + first, num);
    }
}

/* Of what is left, as much as fills a width: no vector reads beyond the last that is needed. */
static size_t strip_size(size_t left)
{
    size_t half = STRIP / 2;
    return left > STRIP - LBW_COLUMNS ? min_size(left, STRIP) : min_size(left, half);
}

/* Rows of a group, whose first channel's planes are given. */
static void run_rows(const struct job *job, const float *planes, size_t group, size_t row,
                     size_t end)
{
    for (; row < end; row++)
        for (size_t q = 0, num; q < job->width; q += num) {
            num = strip_size(job->width - q);
            run_strip(job, planes + row * job->pitch, group, row * job->width, q, num);
        }
}

static void rows_task(void *argument, size_t i)
{
    const struct job *job = argument;
    size_t group = i / job->row_tasks, row = i % job->row_tasks * job->rows_per_task;
    size_t step = job->conv->depth * job->num_planes * job->plane_size;
    run_rows(job, job->planes + group * step, group, row,
             min_size(row + job->rows_per_task, job->num_rows));
}

static void group_task(void *argument, size_t group)
{
    struct job *job = argument;
    size_t depth = job->conv->depth, step = job->num_planes * job->plane_size;
    float *planes = lbw_scratch_take(depth * step * sizeof *planes + 1);
    if (!planes) {
        atomic_store(&job->has_failed, true);
        return;
    }
    for (size_t c = 0; c < depth; c++)
        fill_planes(job, planes + c * step, group * depth + c);
    run_rows(job, planes, group, 0, job->num_rows);
    lbw_scratch_give(planes);
}

/* Where each product of a group reads. */
static void place_taps(struct job *job)
{
    const struct lbw_conv_params *p = &job->conv->params.shape;
    size_t k = 0;
    for (size_t c = 0; c < job->conv->depth; c++)
        for (int64_t ky = 0; ky < p->kernel[0]; ky++)
            for (int64_t kx = 0; kx < p->kernel[1]; kx++) {
                int64_t y = ky * p->dilations[0], x = kx * p->dilations[1];
                int64_t plane = y % p->strides[0] * p->strides[1] + x % p->strides[1];
                job->offsets[k++] =
                    (ptrdiff_t)((c * job->num_planes + (size_t)plane) * job->plane_size) +
                    (ptrdiff_t)(y / p->strides[0]) * (ptrdiff_t)job->pitch +
                    (ptrdiff_t)(x / p->strides[1]);
            }
}

/* Vectors are read in whole: rows are as long as that takes. */
static bool measure(struct job *job, size_t *size)
{
    const struct lbw_conv_float *conv = job->conv;
    const struct lbw_conv_params *p = &conv->params.shape;
    int64_t reach[2];
    for (int i = 0; i < 2; i++)
        reach[i] = (p->kernel[i] - 1) * p->dilations[i] / p->strides[i];
    job->num_rows = (size_t)job->out[0];
    job->width = (size_t)job->out[1];
    job->pitch = (job->width + LBW_COLUMNS - 1) / LBW_COLUMNS * LBW_COLUMNS + (size_t)reach[1];
    job->num_planes = (size_t)(p->strides[0] * p->strides[1]);
    return !__builtin_mul_overflow(job->num_rows + (size_t)reach[0], job->pitch,
                                   &job->plane_size) &&
           !__builtin_mul_overflow(job->plane_size,
                                   job->num_planes * (size_t)p->num_inputs * sizeof(float),
                                   size) &&
           *size < SIZE_MAX / 4;
}

static enum lbw_status run_image(struct job *job, const struct lbw_parallel *parallel,
                                 struct lbw_error *err)
{
    const struct lbw_conv_float *conv = job->conv;
    size_t groups = (size_t)conv->params.shape.groups, size = 0;
    if (!measure(job, &size))
        return lbw_fail_memory(err);
    bool in_turn = groups >= MIN_GROUPS && size / groups <= GROUP_SIZE;
    job->planes = in_turn ? NULL : lbw_scratch_take(size + 1);
    job->offsets = lbw_scratch_take(conv->products * sizeof *job->offsets + 1);
    if (job->offsets)
        place_taps(job);
    if (job->offsets && in_turn) {
        parallel->run(parallel->user, groups, group_task, job);
    } else if (job->planes && job->offsets) {
        parallel->run(parallel->user, (size_t)conv->params.shape.num_inputs, fill_channel, job);
        size_t work = job->width * (conv->products + 8) * conv->rows + 1;
        job->rows_per_task = min_size(TASK_WORK / work + 1, job->num_rows);
        job->row_tasks = (job->num_rows + job->rows_per_task - 1) / job->rows_per_task;
        parallel->run(parallel->user, groups * job->row_tasks, rows_task, job);
    }
    bool is_done = (job->planes || in_turn) && job->offsets && !atomic_load(&job->has_failed);
    lbw_scratch_give(job->offsets);
    lbw_scratch_give(job->planes);
    return is_done ? LBW_OK : lbw_fail_memory(err);
}

enum lbw_status lbw_conv_float_run(const struct lbw_conv_float *conv, void *y, const float *x,
                                   int64_t num_images, const int64_t sides[2],
                                   const struct lbw_parallel *parallel, struct lbw_error *err)
{
    const struct lbw_conv_params *p = &conv->params.shape;
    int64_t out[2];
    LBW_TRY(lbw_conv_output(out, p, sides, err));
    size_t in_size = (size_t)(p->num_inputs * sides[0] * sides[1]);
    size_t out_size = (size_t)(p->num_outputs * out[0] * out[1]);
    out_size *= conv->params.ending ? sizeof(float) : 1;
    for (int64_t n = 0; n < num_images && out_size; n++) {
        struct job job = {.conv = conv,
                          .x = x + (size_t)n * in_size,
                          .y = (uint8_t *)y + (size_t)n * out_size,
                          .in = {sides[0], sides[1]},
                          .out = {out[0], out[1]}};
        LBW_TRY(run_image(&job, parallel, err));
    }
    return LBW_OK;
}
