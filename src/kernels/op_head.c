/* SPDX-License-Identifier: MIT */
/*
 * QHeadL1 … QHeadLSS4 and QHeadSliceL1, QHeadSliceS1 of `ai.lbw`: the bytes of a detection head
 * as rows of floats, one for each position, level by level.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "kernels/lanes.h"
#include "kernels/op.h"
#include "kernels/op_activation.h"

#define MAX_LEVELS    6
#define MAX_PARTS     3
#define MAX_INPUTS    (3 * 12)
#define BLOCK         32 /* positions; their rows fill whole cache lines */
#define AHEAD         (4 * BLOCK)
#define LINE          16 /* floats of a cache line */
#define COLUMN        16 /* positions, and */
#define GROUP         8  /* channels that are turned around at once */
#define TASK_ELEMENTS (1 << 14)

/* What bytes stand for. */
struct table {
    float values[LBW_TABLE_SIZE];
};

/* What distinguishes the operators, as in their names. */
struct row {
    const char *letters; /* of the parts: S for Sigmoid, L for none */
    bool is_slice;
};

struct kernel {
    const struct row *row;
    size_t num_parts, num_levels;
    int64_t batch, width; /* 0: any; of a row of the output */
    int64_t begin, end;   /* channels, of a slice */
    struct table *tables; /* of each input; NULL: scalings are not known before a run */
};

/* One input of a running node. */
struct part {
    const uint8_t *data; /* at the first channel that is read */
    size_t channels;
    size_t image; /* bytes from one image to the next */
};

struct level {
    struct part parts[MAX_PARTS];
    size_t plane, channels;
    size_t start; /* floats before it in the output's image */
    size_t num_tasks, task_rows;
};

struct job {
    const struct kernel *kernel;
    const struct table *tables;
    struct level levels[MAX_LEVELS];
    float *y;
    size_t image;     /* floats of one of the output */
    size_t num_tasks; /* of an image */
};

static enum lbw_status read_attributes(struct kernel *self, const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    int64_t shape[3];
    LBW_TRY(lbw_op_ints(shape, 3, info, "shape", err));
    if (shape[0] < 0 || shape[1] != -1 || shape[2] < 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "shape is [%lld, %lld, %lld], not [batch, -1, "
                        "channels]",
                        (long long)shape[0], (long long)shape[1], (long long)shape[2]);
    self->batch = shape[0];
    self->width = shape[2];
    if (self->row->is_slice) {
        LBW_TRY(lbw_op_ints(&self->begin, 1, info, "begin", err));
        LBW_TRY(lbw_op_ints(&self->end, 1, info, "end", err));
        if (self->begin < 0 || self->end < self->begin)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "channels %lld to %lld",
                            (long long)self->begin, (long long)self->end);
    }
    return LBW_OK;
}

/* The table of input i, by its scale and zero point. */
static enum lbw_status fill_table(struct table *tables, const struct kernel *self, size_t i,
                                  const struct lbw_op_tensor *scaling, struct lbw_error *err)
{
    bool is_score = self->row->letters[i % self->num_parts] == 'S';
    struct lbw_scaling from = {0};
    LBW_TRY(lbw_op_scaling(&from, scaling, "x", err));
    for (int q = 0; q < LBW_TABLE_SIZE; q++) {
        float value = lbw_dequantize(q, &from);
        tables[i].values[q] = is_score ? lbw_sigmoid.function(value, NULL) : value;
    }
    return LBW_OK;
}

static size_t num_inputs(const struct kernel *self)
{
    return self->num_levels * self->num_parts;
}

/* The tables before the first run, where all scalings are constants. */
static enum lbw_status fill_constants(struct kernel *self, const struct ort_kernel_info *info,
                                      struct lbw_error *err)
{
    struct table *tables = calloc(num_inputs(self), sizeof *tables);
    bool is_constant = true;
    enum lbw_status status;
    LBW_OR_OUT(tables ? LBW_OK : lbw_fail_memory(err));
    for (size_t i = 0; i < num_inputs(self); i++) {
        struct lbw_op_tensor scaling[2];
        for (size_t k = 0; k < 2 && is_constant; k++)
            LBW_OR_OUT(lbw_op_constant(&scaling[k], &is_constant, info, 3 * i + 1 + k, err));
        if (!is_constant)
            goto out;
        LBW_OR_OUT(fill_table(tables, self, i, scaling, err));
    }
    self->tables = tables;
    tables = NULL;
out:
    free(tables);
    return status;
}

static void destroy(void *kernel)
{
    struct kernel *self = kernel;
    free(self->tables);
    free(self);
}

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    enum lbw_status status;
    if (!self)
        return lbw_fail_memory(err);
    self->row = op->row;
    self->num_parts = strlen(self->row->letters);
    self->num_levels = op->num_inputs / 3 / self->num_parts;
    LBW_OR_OUT(read_attributes(self, info, err));
    LBW_OR_OUT(fill_constants(self, info, err));
    *kernel = self;
    return LBW_OK;
out:
    destroy(self);
    return status;
}

#ifdef LBW_HAS_SHUFFLE
typedef uint8_t bytes __attribute__((vector_size(COLUMN)));
#define UNROLL _Pragma("GCC unroll 8")

/* Bytes of the first half beside those of the second; three times turn 8 rows of 16 around. */
INLINE void zip(bytes *v)
{
    bytes w[GROUP];
    UNROLL for (size_t k = 0; k < GROUP / 2; k++)
    {
        const bytes a = v[k], b = v[k + GROUP / 2];
        w[2 * k] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                           22, 7, 23);
        w[2 * k + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                               29, 14, 30, 15, 31);
    }
    UNROLL for (size_t k = 0; k < GROUP; k++) v[k] = w[k];
}

/* COLUMN positions of GROUP channels. */
INLINE void turn_block(float *y, size_t step, const uint8_t *x, size_t plane,
                       const float *table)
{
    bytes v[GROUP];
    uint8_t turned[COLUMN][GROUP];
    UNROLL for (size_t k = 0; k < GROUP; k++) memcpy(&v[k], x + k * plane, COLUMN);
    zip(v);
    zip(v);
    zip(v);
    memcpy(turned, v, sizeof turned);
    for (size_t i = 0; i < COLUMN; i++) {
        uint64_t word = lbw_load_u64(turned[i]); /* fewer loads than byte by byte */
        UNROLL for (size_t k = 0; k < GROUP; k++) y[i * step + k] = table[word >> 8 * k & 0xff];
    }
}
#else
#define turn_block(y, step, x, plane, table) turn_rest(y, step, x, plane, COLUMN, GROUP, table)
#endif

static void turn_rest(float *y, size_t step, const uint8_t *x, size_t plane, size_t num_rows,
                      size_t channels, const float *table)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < num_rows; i++)
            y[i * step + c] = table[x[c * plane + i]];
}

/* Planes to rows that are `step` floats apart; the last blocks overlap those before them. */
static void turn(float *y, size_t step, const uint8_t *x, size_t plane, size_t num_rows,
                 size_t channels, const float *table)
{
    if (channels < GROUP || num_rows < COLUMN) {
        turn_rest(y, step, x, plane, num_rows, channels, table);
        return;
    }
    for (size_t c = 0; c < channels; c += GROUP) {
        size_t first = c + GROUP <= channels ? c : channels - GROUP;
        for (size_t i = 0; i < num_rows; i += COLUMN) {
            size_t row = i + COLUMN <= num_rows ? i : num_rows - COLUMN;
            turn_block(y + row * step + first, step, x + first * plane + row, plane, table);
        }
    }
}

/*
 * Asks for memory that is about to be written, in order; writing a few channels of each row at
 * a time would wait for every line of it.
 */
static void fetch(const float *y, size_t num)
{
    for (size_t i = 0; i < num; i += LINE)
        __builtin_prefetch(y + i, 1);
}

static void task(void *argument, size_t i)
{
    const struct job *job = argument;
    const struct kernel *self = job->kernel;
    const struct level *level = job->levels;
    size_t image = i / job->num_tasks, at = i % job->num_tasks;
    for (; at >= level->num_tasks; level++)
        at -= level->num_tasks;
    size_t row = at * level->task_rows, end = row + level->task_rows;
    const struct table *tables = job->tables + (size_t)(level - job->levels) * self->num_parts;
    end = end < level->plane ? end : level->plane;
    for (; row < end; row += BLOCK) {
        float *y = job->y + image * job->image + level->start + row * level->channels;
        size_t num = end - row < BLOCK ? end - row : BLOCK;
        fetch(y, (end - row < AHEAD ? end - row : AHEAD) * level->channels);
        for (size_t p = 0; p < self->num_parts; p++) {
            const struct part *part = &level->parts[p];
            turn(y, level->channels, part->data + image * part->image + row, level->plane, num,
                 part->channels, tables[p].values);
            y += part->channels;
        }
    }
}

/* Part p of a level, whose dims are those of part 0 in all but channels. */
static enum lbw_status add_part(struct level *level, const struct kernel *self, size_t p,
                                const struct lbw_op_tensor *x, int64_t batch,
                                struct lbw_error *err)
{
    size_t plane = x->num_dims == 4 ? (size_t)(x->dims[2] * x->dims[3]) : 0;
    if (x->num_dims != 4 || x->dims[0] != batch || (p && plane != level->plane) ||
        (self->batch && self->batch != batch))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "part %zu of a level is not [%lld, channels, height, width] as the "
                        "others are",
                        p, (long long)(self->batch ? self->batch : batch));
    if (self->row->is_slice && self->end > x->dims[1])
        return lbw_fail(err, LBW_ERR_ARGUMENT, "channels %lld to %lld of %lld",
                        (long long)self->begin, (long long)self->end, (long long)x->dims[1]);
    level->plane = plane;
    level->parts[p] =
        (struct part){x->count ? (const uint8_t *)x->data + (size_t)self->begin * plane : NULL,
                      (size_t)(self->row->is_slice ? self->end - self->begin : x->dims[1]),
                      (size_t)x->dims[1] * plane};
    level->channels += level->parts[p].channels;
    return LBW_OK;
}

/* Where everything comes from and goes; *num_rows of an image are counted. */
static enum lbw_status plan(struct job *job, size_t *num_rows,
                            const struct lbw_op_tensor *tensors, struct lbw_error *err)
{
    const struct kernel *self = job->kernel;
    size_t width = (size_t)self->width;
    for (size_t l = 0; l < self->num_levels; l++) {
        struct level *level = &job->levels[l];
        for (size_t p = 0; p < self->num_parts; p++)
            LBW_TRY(add_part(level, self, p, &tensors[3 * (l * self->num_parts + p)],
                             tensors->dims[0], err));
        if (level->channels % width)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "level %zu has %zu channels, for rows of %zu", l, level->channels,
                            width);
        level->start = job->image;
        level->task_rows = (TASK_ELEMENTS / (level->channels + 1) / BLOCK + 1) * BLOCK;
        level->num_tasks =
            level->channels ? (level->plane + level->task_rows - 1) / level->task_rows : 0;
        job->image += level->plane * level->channels;
        job->num_tasks += level->num_tasks;
        *num_rows += level->plane * (level->channels / width);
    }
    return LBW_OK;
}

/* Runs with the tables at hand. */
static enum lbw_status run(struct job *job, struct ort_kernel_context *context,
                           const struct lbw_op_tensor *tensors, struct lbw_error *err)
{
    struct lbw_op_team team;
    size_t num_rows = 0;
    void *y = NULL;
    LBW_TRY(plan(job, &num_rows, tensors, err));
    const int64_t dims[3] = {tensors->dims[0], (int64_t)num_rows, job->kernel->width};
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 3, err));
    job->y = y;
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    threads.run(threads.user, (size_t)dims[0] * job->num_tasks, task, job);
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor tensors[MAX_INPUTS] = {0};
    struct job job = {.kernel = self, .tables = self->tables};
    struct table *once = NULL;
    enum lbw_status status;
    for (size_t i = 0; i < 3 * num_inputs(self); i++)
        if (!self->tables || i % 3 == 0)
            LBW_OR_OUT(lbw_op_input(&tensors[i], context, i, err));
    if (!self->tables) {
        job.tables = once = lbw_scratch_take(num_inputs(self) * sizeof *once);
        LBW_OR_OUT(once ? LBW_OK : lbw_fail_memory(err));
        for (size_t i = 0; i < num_inputs(self); i++)
            LBW_OR_OUT(fill_table(once, self, i, &tensors[3 * i + 1], err));
    }
    status = run(&job, context, tensors, err);
out:
    lbw_scratch_give(once);
    return status;
}

#define X  ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8
#define X6 X, X, X, X, X, X

static const unsigned char types[MAX_INPUTS] = {X6, X6};

#define HEAD(op_name, parts, num, slice)                                                       \
    {                                                                                          \
        .name = op_name #num, .num_inputs = 3 * (sizeof parts - 1) * num,                      \
        .input_types = types, .num_outputs = 1, .output_type = ORT_TYPE_FLOAT,                 \
        .row = &(const struct row){parts, slice}, .create = create, .compute = compute,        \
        .destroy = destroy                                                                     \
    }
#define HEADS2_TO_4(parts)                                                                     \
    HEAD("QHead" parts, parts, 2, false), HEAD("QHead" parts, parts, 3, false),                \
        HEAD("QHead" parts, parts, 4, false)
#define HEADS1_TO_6(parts)                                                                     \
    HEAD("QHead" parts, parts, 1, false), HEADS2_TO_4(parts),                                  \
        HEAD("QHead" parts, parts, 5, false), HEAD("QHead" parts, parts, 6, false)

/* Few: each costs every session some 50 µs at load. */
struct lbw_op lbw_head_ops[] = {
    HEADS1_TO_6("L"),
    HEADS1_TO_6("S"),
    HEADS2_TO_4("LS"),
    HEADS2_TO_4("LSS"),
    HEAD("QHeadSliceL", "L", 1, true),
    HEAD("QHeadSliceS", "S", 1, true),
};
const size_t lbw_num_head_ops = sizeof lbw_head_ops / sizeof *lbw_head_ops;
