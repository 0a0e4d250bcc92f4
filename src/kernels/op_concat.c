/* SPDX-License-Identifier: MIT */
/* QConcat2 … QConcat8 of `ai.lbw`: tensors of different scales side by side. */
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/op.h"

#define MAX_PARTS  8
#define MAX_INPUTS (3 * MAX_PARTS + 2)
#define CHUNK      (1 << 17) /* bytes that are worth several threads */
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
    const struct lbw_op_mapping *mapping;
};

struct kernel {
    size_t num_parts;
    int64_t axis;
    const struct lbw_isa *isa;
    struct lbw_op_mapping *mappings; /* NULL: scalings are not known before a run */
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
    enum lbw_status status =
        lbw_op_map_constants(&self->mappings, self->num_parts, 3 * self->num_parts, info, err);
    if (status != LBW_OK)
        free(self);
    else
        *kernel = self;
    return status;
}

static void destroy(void *kernel)
{
    struct kernel *self = kernel;
    free(self->mappings);
    free(self);
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
    if (part->mapping->is_same && part->size)
        memcpy(out, in, part->size);
    else if (!part->mapping->is_same)
        (job->kernel->isa ? job->kernel->isa->look_up : look_up)(out, in, part->size,
                                                                 part->mapping->table);
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

static void fill_parts(struct job *job, const struct lbw_op_tensor *tensors,
                       const struct lbw_op_mapping *mappings, size_t inner, size_t axis)
{
    size_t start = 0;
    for (size_t k = 0; k < job->kernel->num_parts; k++) {
        struct part *part = &job->parts[k];
        part->data = tensors[3 * k].data;
        part->size = (size_t)tensors[3 * k].dims[axis] * inner;
        part->start = start;
        start += part->size;
        part->mapping = &mappings[k];
    }
    job->row_size = start;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor tensors[MAX_INPUTS];
    struct part parts[MAX_PARTS];
    struct job job = {.kernel = self, .parts = parts, .num_rows = 1};
    struct lbw_op_mapping once[MAX_PARTS];
    const struct lbw_op_mapping *mappings = self->mappings ? self->mappings : once;
    for (size_t i = 0; i < 3 * self->num_parts + 2; i++)
        if (!self->mappings || (i < 3 * self->num_parts && i % 3 == 0))
            LBW_TRY(lbw_op_input(&tensors[i], context, i, err));
    if (!self->mappings)
        LBW_TRY(lbw_op_map(once, self->num_parts, tensors, &tensors[3 * self->num_parts], err));
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
    fill_parts(&job, tensors, mappings, inner, axis);
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
