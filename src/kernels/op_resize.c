/* SPDX-License-Identifier: MIT */
/*
 * QResize and QResizeBy of `ai.lbw` as kernels: bilinear, to given sizes or by given factors.
 * A row of the output lies between two rows of the input, each of which is widened once.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/lanes.h"
#include "kernels/op.h"

#define TASK_BYTES   (1 << 15)
#define BLOCK        LBW_MAX_LANES /* also what look_up() does at once */
#define MOST_SIZE    16777216.F    /* whose positions a float tells apart */
#define MOST_INDEXED 256           /* bytes of a row that look_up() takes */

static const unsigned char size_types[] = {ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8,
                                           ORT_TYPE_INT64};
static const unsigned char factor_types[] = {ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8,
                                             ORT_TYPE_FLOAT};

struct kernel {
    bool has_factors;
    const struct lbw_isa *isa;
};

/* Along one axis of the output: the two positions of x, and the share of each. */
struct axis {
    size_t size, x_size;
    size_t *first, *second;
    float *shares[2]; /* up to whole blocks */
};

/* The positions of as many rows of x as look_up() takes at once. */
struct group {
    size_t num_rows; /* 0: a row is too long */
    size_t padded;   /* of all rows together, up to whole blocks */
    uint8_t *first, *second;
};

struct job {
    const struct lbw_isa *isa;
    struct lbw_scaling scaling;
    float zero;
    const uint8_t *x, *end;
    uint8_t *y;
    struct axis rows, columns;
    struct group group; /* of columns */
    size_t num_planes, planes_per_task;
    atomic_bool has_failed;
};

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    (void)info;
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->isa = lbw_isa_best();
    self->has_factors = op->input_types == factor_types;
    *kernel = self;
    return LBW_OK;
}

static void destroy(void *kernel)
{
    free(kernel);
}

static void release(struct job *job)
{
    free(job->rows.first);
    free(job->rows.shares[0]);
    free(job->columns.first);
    free(job->columns.shares[0]);
    free(job->group.first);
}

static size_t pad(size_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* Half-pixel coordinates; a single position is the first one of x. */
static enum lbw_status fill_axis(struct axis *axis, int64_t size, int64_t x_size, float factor,
                                 struct lbw_error *err)
{
    *axis = (struct axis){.size = (size_t)size, .x_size = (size_t)x_size};
    axis->first = calloc(2 * axis->size + 1, sizeof *axis->first);
    axis->shares[0] = calloc(2 * pad(axis->size) + 1, sizeof **axis->shares);
    if (!axis->first || !axis->shares[0])
        return lbw_fail_memory(err);
    axis->second = axis->first + axis->size;
    axis->shares[1] = axis->shares[0] + pad(axis->size);
    for (size_t i = 0; i < axis->size; i++) {
        float last = (float)x_size - 1;
        float at = size > 1 ? ((float)i + .5F) / factor - .5F : 0;
        at = at > 0 ? at < last ? at : last : 0;
        axis->first[i] = (size_t)at;
        axis->second[i] = axis->first[i] + (axis->first[i] + 1 < axis->x_size);
        bool is_one = axis->first[i] == axis->second[i];
        axis->shares[0][i] = is_one ? .5F : (float)axis->second[i] - at;
        axis->shares[1][i] = is_one ? .5F : at - (float)axis->first[i];
    }
    return LBW_OK;
}

static enum lbw_status fill_group(struct group *group, const struct axis *axis, size_t num_rows,
                                  struct lbw_error *err)
{
    size_t most = axis->x_size ? MOST_INDEXED / axis->x_size : 0;
    group->num_rows = most < num_rows ? most : num_rows;
    group->padded = pad((group->num_rows ? group->num_rows : 1) * axis->size);
    group->first = calloc(2 * group->padded + 1, 1);
    if (!group->first)
        return lbw_fail_memory(err);
    group->second = group->first + group->padded;
    for (size_t r = 0; r == 0 || r < group->num_rows; r++)
        for (size_t i = 0; i < axis->size; i++) {
            size_t to = r * axis->size + i;
            group->first[to] = (uint8_t)(r * axis->x_size + axis->first[i]);
            group->second[to] = (uint8_t)(r * axis->x_size + axis->second[i]);
        }
    return LBW_OK;
}

/* DequantizeLinear, whole blocks: loops of a known length become vectors. */
INLINE void dequantize_body(float *restrict out, const uint8_t *restrict in, float scale,
                            float zero, size_t num)
{
    for (size_t i = 0; i < num; i += BLOCK)
        for (size_t k = 0; k < BLOCK; k++)
            out[i + k] = ((float)in[i + k] - zero) * scale;
}

/* What lies between two positions of each of two rows. */
struct corners {
    const float *left[2], *right[2];         /* of the rows above and below */
    const float *left_shares, *right_shares; /* of each position */
    float shares[2];                         /* of the rows */
};

#define AT(p) (*(const lanes *)((p) + i))

/* Sums in the order in which ONNX Runtime takes them, whole lanes. */
INLINE void mix_body(float *out, const struct corners *given, size_t num)
{
    const struct corners c = *given;
    for (size_t i = 0; i < num; i += LANES) {
        const lanes l = AT(c.left_shares), r = AT(c.right_shares);
        const float above = c.shares[0], below = c.shares[1];
        *(lanes *)(out + i) = l * above * AT(c.left[0]) + r * above * AT(c.right[0]) +
                              l * below * AT(c.left[1]) + r * below * AT(c.right[1]);
    }
}

FOR_EVERY_ISA(dequantize,
              (float *restrict out, const uint8_t *restrict in, float scale, float zero,
               size_t num),
              (out, in, scale, zero, num))
FOR_EVERY_ISA(mix, (float *out, const struct corners *given, size_t num), (out, given, num))

/* What a task works with. */
struct buffers {
    float *wide[2]; /* left and right positions of a plane of x, as wide as the output */
    float *row;     /* of the output */
    uint8_t *left, *right, *rounded;
    uint8_t table[MOST_INDEXED];
};

/* `num` rows from row i on; what follows them is overwritten up to whole blocks. */
static void widen(struct buffers *b, const struct job *job, const uint8_t *plane, size_t i,
                  size_t num)
{
    const struct axis *c = &job->columns;
    const struct group *group = &job->group;
    const uint8_t *row = plane + i * c->x_size;
    size_t padded = pad(num * c->size);
    if (job->isa && group->num_rows) {
        const uint8_t *table = row;
        if (job->end - row < MOST_INDEXED)
            table = memcpy(b->table, row, num * c->x_size);
        job->isa->look_up(b->left, group->first, padded, table);
        job->isa->look_up(b->right, group->second, padded, table);
    } else {
        for (size_t at = 0; at < num; at++)
            for (size_t k = 0; k < c->size; k++) {
                b->left[at * c->size + k] = row[at * c->x_size + c->first[k]];
                b->right[at * c->size + k] = row[at * c->x_size + c->second[k]];
            }
    }
    dequantize(b->wide[0] + i * c->size, b->left, job->scaling.scale, job->zero, padded);
    dequantize(b->wide[1] + i * c->size, b->right, job->scaling.scale, job->zero, padded);
}

static void resize_plane(struct buffers *b, const struct job *job, size_t at)
{
    const struct axis *r = &job->rows, *c = &job->columns;
    const uint8_t *x = job->x + at * r->x_size * c->x_size;
    uint8_t *y = job->y + at * r->size * c->size;
    size_t step = job->group.num_rows ? job->group.num_rows : 1;
    size_t num = (c->size + LBW_COLUMNS - 1) / LBW_COLUMNS * LBW_COLUMNS;
    struct corners corners = {.left_shares = c->shares[0], .right_shares = c->shares[1]};
    const struct lbw_float_loops *loops = job->isa ? job->isa->floats : lbw_plain_floats;
    for (size_t i = 0; i < r->x_size; i += step)
        widen(b, job, x, i, i + step < r->x_size ? step : r->x_size - i);
    for (size_t i = 0; i < r->size; i++, y += c->size) {
        const size_t rows[2] = {r->first[i] * c->size, r->second[i] * c->size};
        bool is_last = (r->size - i) * c->size < num;
        for (size_t k = 0; k < 2; k++) {
            corners.left[k] = b->wide[0] + rows[k];
            corners.right[k] = b->wide[1] + rows[k];
            corners.shares[k] = r->shares[k][i];
        }
        mix(b->row, &corners, num);
        loops->round(is_last ? b->rounded : y, b->row, num / LBW_COLUMNS, job->scaling.scale,
                     -job->zero, 255 - job->zero);
        if (is_last) /* of those behind which the next rows are not still to come */
            memcpy(y, b->rounded, c->size);
    }
}

static void task(void *argument, size_t i)
{
    struct job *job = argument;
    size_t at = i * job->planes_per_task, end = at + job->planes_per_task;
    size_t wide = job->rows.x_size * job->columns.size + job->group.padded + BLOCK;
    size_t row = pad(job->columns.size), num = 2 * wide + row;
    float *memory = lbw_scratch_take(num * sizeof *memory + 2 * job->group.padded + row);
    if (!memory) {
        atomic_store(&job->has_failed, true);
        return;
    }
    struct buffers b = {.wide = {memory, memory + wide}, .row = memory + 2 * wide};
    b.left = (uint8_t *)(memory + num);
    b.right = b.left + job->group.padded;
    b.rounded = b.right + job->group.padded;
    memset(memory, 0, num * sizeof *memory);
    memset(b.left, 0, 2 * job->group.padded);
    for (; at < end && at < job->num_planes; at++)
        resize_plane(&b, job, at);
    lbw_scratch_give(memory);
}

/* The height and width of the output, and the factors from those of x. */
static enum lbw_status read_sizes(int64_t sizes[2], float factors[2], const struct kernel *self,
                                  const struct lbw_op_tensor *x,
                                  const struct lbw_op_tensor *wanted, struct lbw_error *err)
{
    bool fits = x->num_dims == 4 && wanted->count == 4 && wanted->num_dims == 1;
    for (size_t i = 0; i < 2 && fits; i++)
        fits = self->has_factors ? ((const float *)wanted->data)[i] == 1
                                 : ((const int64_t *)wanted->data)[i] == x->dims[i];
    for (size_t i = 0; i < 2 && fits; i++) {
        int64_t x_size = x->dims[2 + i];
        if (self->has_factors) {
            factors[i] = ((const float *)wanted->data)[2 + i];
            float size = floorf((float)x_size * factors[i]);
            fits = factors[i] > 0 && size < MOST_SIZE;
            sizes[i] = fits ? (int64_t)size : 0;
        } else {
            sizes[i] = ((const int64_t *)wanted->data)[2 + i];
            factors[i] = (float)sizes[i] / (float)x_size;
        }
        fits = fits && sizes[i] >= 0 && (float)sizes[i] < MOST_SIZE && (x_size || !sizes[i]);
    }
    return fits ? LBW_OK
                : lbw_fail(err, LBW_ERR_ARGUMENT,
                           "x has no four dims of which %s change height and width alone",
                           self->has_factors ? "scales" : "sizes");
}

static enum lbw_status run(struct job *job, struct ort_kernel_context *context,
                           struct lbw_error *err)
{
    struct lbw_op_team team;
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    size_t plane = job->rows.size * job->columns.size;
    job->planes_per_task = TASK_BYTES / (plane + 1) + 1;
    size_t num =
        plane ? (job->num_planes + job->planes_per_task - 1) / job->planes_per_task : 0;
    threads.run(threads.user, num, task, job);
    if (atomic_load(&job->has_failed))
        return lbw_fail_memory(err);
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor inputs[4]; /* x, scale, zero, sizes or factors */
    int64_t sizes[2];
    float factors[2];
    void *y = NULL;
    enum lbw_status status;
    struct job job = {.isa = self->isa};
    for (size_t i = 0; i < 4; i++)
        LBW_OR_OUT(lbw_op_input(&inputs[i], context, i, err));
    LBW_OR_OUT(lbw_op_scaling(&job.scaling, &inputs[1], "x", err));
    LBW_OR_OUT(read_sizes(sizes, factors, self, inputs, &inputs[3], err));
    const int64_t *x = inputs->dims, dims[] = {x[0], x[1], sizes[0], sizes[1]};
    LBW_OR_OUT(lbw_op_output(&y, context, 0, dims, 4, err));
    LBW_OR_OUT(fill_axis(&job.rows, sizes[0], x[2], factors[0], err));
    LBW_OR_OUT(fill_axis(&job.columns, sizes[1], x[3], factors[1], err));
    LBW_OR_OUT(fill_group(&job.group, &job.columns, job.rows.x_size, err));
    job.zero = (float)job.scaling.zero;
    job.x = inputs->data;
    job.end = inputs->count ? job.x + inputs->count : job.x; /* which may be NULL */
    job.y = y;
    job.num_planes = (size_t)(x[0] * x[1]);
    status = run(&job, context, err);
out:
    release(&job);
    return status;
}

#define RESIZE(op_name, types)                                                                 \
    {                                                                                          \
        .name = op_name, .num_inputs = 4, .input_types = types, .num_outputs = 1,              \
        .output_type = ORT_TYPE_UINT8, .create = create, .compute = compute,                   \
        .destroy = destroy                                                                     \
    }

struct lbw_op lbw_resize_ops[] = {
    RESIZE("QResize", size_types),
    RESIZE("QResizeBy", factor_types),
};
const size_t lbw_num_resize_ops = sizeof lbw_resize_ops / sizeof *lbw_resize_ops;
