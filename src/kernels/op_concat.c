/* SPDX-License-Identifier: MIT */
/* QConcat2 … QConcat8 of `ai.lbw`: tensors of different scales side by side. */
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/op.h"

#define MAX_PARTS  8
#define MAX_INPUTS (3 * MAX_PARTS + 2)
#define TABLE_SIZE 256
#define CHUNK      16384 /* bytes of one task */
#define PART()     ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8
#define TYPES(...)                                                                             \
    (const unsigned char[])                                                                    \
    {                                                                                          \
        __VA_ARGS__, ORT_TYPE_FLOAT, ORT_TYPE_UINT8                                            \
    }

/* One part of a running node, ready to copy. */
struct part {
    const uint8_t *data;
    size_t size;  /* bytes that are contiguous in the output */
    size_t start; /* of them in a row of the output */
    bool is_same; /* its scaling is the output's */
    uint8_t table[TABLE_SIZE];
};

struct kernel {
    size_t num_parts;
    int64_t axis;
    const struct lbw_isa *isa;
};

struct job {
    const struct kernel *kernel;
    struct part *parts;
    uint8_t *y;
    size_t num_rows, row_size;
};

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->num_parts = (op->num_inputs - 2) / 3;
    self->axis = 1;
    self->isa = lbw_isa_best();
    lbw_op_int(&self->axis, info, "axis");
    *kernel = self;
    return LBW_OK;
}

static void destroy(void *kernel)
{
    free(kernel);
}

static void look_up(uint8_t *out, const uint8_t *in, size_t num, const uint8_t *table)
{
    for (size_t i = 0; i < num; i++)
        out[i] = table[in[i]];
}

/* Part i % num_parts of row i / num_parts. */
static void copy_part(void *argument, size_t i)
{
    const struct job *job = argument;
    const struct part *part = &job->parts[i % job->kernel->num_parts];
    size_t row = i / job->kernel->num_parts;
    uint8_t *out = job->y + row * job->row_size + part->start;
    const uint8_t *in = part->data + row * part->size;
    if (part->is_same && part->size)
        memcpy(out, in, part->size);
    else if (!part->is_same)
        (job->kernel->isa ? job->kernel->isa->look_up : look_up)(out, in, part->size,
                                                                 part->table);
}

/* Checks part k against the first, and adds its length along the axis. */
static enum lbw_status add_part(int64_t *dims, const struct lbw_op_tensor *first,
                                const struct lbw_op_tensor *part, size_t axis,
                                struct lbw_error *err)
{
    bool fits = part->num_dims == first->num_dims;
    for (size_t i = 0; fits && i < first->num_dims; i++)
        fits = i == axis || part->dims[i] == first->dims[i];
    if (!fits)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the inputs differ in more than axis %zu", axis);
    dims[axis] += part->dims[axis];
    return LBW_OK;
}

static enum lbw_status fill_parts(struct job *job, const struct lbw_op_tensor *tensors,
                                  size_t inner, size_t axis, struct lbw_error *err)
{
    struct lbw_scaling y, x;
    size_t start = 0, num = job->kernel->num_parts;
    LBW_TRY(lbw_op_scaling(&y, &tensors[3 * num], "y", err));
    for (size_t k = 0; k < num; k++) {
        struct part *part = &job->parts[k];
        LBW_TRY(lbw_op_scaling(&x, &tensors[3 * k + 1], "x", err));
        part->data = tensors[3 * k].data;
        part->size = (size_t)tensors[3 * k].dims[axis] * inner;
        part->start = start;
        start += part->size;
        part->is_same = x.scale == y.scale && x.zero == y.zero;
        for (int q = 0; q < TABLE_SIZE; q++)
            part->table[q] = lbw_quantize(lbw_dequantize(q, &x), &y);
    }
    job->row_size = start;
    return LBW_OK;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor tensors[MAX_INPUTS];
    struct part parts[MAX_PARTS];
    struct job job = {.kernel = self, .parts = parts, .num_rows = 1};
    for (size_t i = 0; i < 3 * self->num_parts + 2; i++)
        LBW_TRY(lbw_op_input(&tensors[i], context, i, err));
    int64_t dims[LBW_OP_MAX_DIMS], rank = (int64_t)tensors[0].num_dims;
    int64_t place = self->axis < 0 ? self->axis + rank : self->axis;
    if (place < 0 || place >= rank)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "axis %lld of %lld dims", (long long)self->axis,
                        (long long)rank);
    size_t axis = (size_t)place, inner = 1;
    memcpy(dims, tensors[0].dims, sizeof dims);
    for (size_t k = 1; k < self->num_parts; k++)
        LBW_TRY(add_part(dims, &tensors[0], &tensors[3 * k], axis, err));
    for (size_t i = 0; i < tensors[0].num_dims; i++)
        *(i < axis ? &job.num_rows : &inner) *= i == axis ? 1 : (size_t)dims[i];
    LBW_TRY(fill_parts(&job, tensors, inner, axis, err));
    void *y = NULL;
    LBW_TRY(lbw_op_output(&y, context, 0, dims, tensors[0].num_dims, err));
    job.y = y;
    struct lbw_op_team team;
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    const struct lbw_parallel *by = job.row_size < CHUNK ? &lbw_sequential : &threads;
    by->run(by->user, job.row_size ? job.num_rows * self->num_parts : 0, copy_part, &job);
    return job.row_size >= CHUNK && team.has_failed
               ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed")
               : LBW_OK;
}

#define CONCAT_OP(op_name, number, ...)                                                        \
    {                                                                                          \
        .name = op_name, .num_inputs = 3 * number + 2, .input_types = TYPES(__VA_ARGS__),      \
        .num_outputs = 1, .output_type = ORT_TYPE_UINT8, .create = create, .compute = compute, \
        .destroy = destroy                                                                     \
    }
#define PARTS4 PART(), PART(), PART(), PART()

struct lbw_op lbw_concat_ops[] = {
    CONCAT_OP("QConcat2", 2, PART(), PART()),
    CONCAT_OP("QConcat3", 3, PART(), PART(), PART()),
    CONCAT_OP("QConcat4", 4, PARTS4),
    CONCAT_OP("QConcat5", 5, PARTS4, PART()),
    CONCAT_OP("QConcat6", 6, PARTS4, PART(), PART()),
    CONCAT_OP("QConcat7", 7, PARTS4, PART(), PART(), PART()),
    CONCAT_OP("QConcat8", 8, PARTS4, PARTS4),
};
const size_t lbw_num_concat_ops = sizeof lbw_concat_ops / sizeof *lbw_concat_ops;
