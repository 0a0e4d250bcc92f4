/* SPDX-License-Identifier: MIT */
/* Matching the arrays of a file with a model's inputs, and cutting samples out of them. */
#include "feed/feed_arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "onnx/tensor.h"
#include "feed/array.h"
#include "feed/npz.h"

/* One input's values: samples lie `stride` bytes apart. */
struct part {
    const struct lbw_npz_array *array;
    size_t stride;
    size_t num; /* samples it holds */
};

struct lbw_feed_arrays {
    struct lbw_npz npz;
    struct part *parts; /* one per input */
    size_t num_samples; /* given out */
    size_t num_present; /* in the file */
};

static enum lbw_status find_array(const struct lbw_npz_array **out, const struct lbw_npz *npz,
                                  const char *name, bool is_only, struct lbw_error *err)
{
    for (size_t i = 0; i < npz->num_arrays; i++)
        if (!strcmp(npz->arrays[i].name, name)) {
            *out = &npz->arrays[i];
            return LBW_OK;
        }
    if (is_only && npz->num_arrays == 1) {
        *out = npz->arrays;
        return LBW_OK;
    }
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < npz->num_arrays && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s'%s'", i ? ", " : "",
                                 npz->arrays[i].name);
    return lbw_fail(err, LBW_ERR_ARGUMENT, "no array '%s'; there %s %s", name,
                    npz->num_arrays == 1 ? "is" : "are", list);
}

/* The input's dims from axis `first` on fit those of the array from axis `skip` on. */
static bool dims_fit(const struct lbw_feed_input *input, const struct lbw_npz_array *array,
                     size_t first, size_t skip)
{
    if (input->num_dims - first != array->num_dims - skip)
        return false;
    for (size_t i = first; i < input->num_dims; i++)
        if (input->dims[i] >= 0 && input->dims[i] != array->dims[skip + i - first])
            return false;
    return true;
}

static void print_dims(char *out, size_t size, const int64_t *dims, size_t num)
{
    size_t used = 0;
    *out = '\0';
    for (size_t i = 0; i < num && used < size; i++) {
        const char *between = i ? "x" : "";
        used += (size_t)(dims[i] < 0 ? snprintf(out + used, size - used, "%s?", between)
                                     : snprintf(out + used, size - used, "%s%lld", between,
                                                (long long)dims[i]));
    }
}

/* Settles the input's dims and how many samples the array holds. */
static enum lbw_status cut(struct part *part, struct lbw_feed_input *input, bool has_rank,
                           struct lbw_error *err)
{
    const struct lbw_npz_array *array = part->array;
    if (!has_rank && array->num_dims && array->num_dims <= 8) {
        input->num_dims = array->num_dims;
        for (size_t i = 0; i < array->num_dims; i++)
            input->dims[i] = -1;
    }
    size_t skip, rank = input->num_dims;
    if (array->num_dims == rank + 1 && dims_fit(input, array, 0, 1)) {
        skip = 1;
        part->num = (size_t)array->dims[0];
    } else if (array->num_dims == rank && rank && dims_fit(input, array, 1, 1)) {
        skip = 0;
        if (input->dims[0] < 0)
            input->dims[0] = 1;
        part->num = input->dims[0] ? (size_t)(array->dims[0] / input->dims[0]) : 0;
    } else if (array->num_dims == rank && dims_fit(input, array, 0, 0)) {
        skip = 0; /* a scalar */
        part->num = 1;
    } else {
        char wanted[128], present[128];
        print_dims(wanted, sizeof wanted, input->dims, rank);
        print_dims(present, sizeof present, array->dims, array->num_dims);
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the array is %s, the input %s", present,
                        wanted);
    }
    if (!part->num)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the array holds no whole sample");
    part->stride = lbw_data_type_bits(array->data_type) / 8;
    for (size_t i = 0; i < rank; i++) {
        if (input->dims[i] < 0)
            input->dims[i] = array->dims[skip + i];
        part->stride *= (size_t)input->dims[i]; /* at most the array's own size: no overflow */
    }
    return LBW_OK;
}

/* Every input's array, and how many samples they have in common. */
static enum lbw_status match(struct lbw_feed_arrays *arrays, struct lbw_feed_input *inputs,
                             const bool *has_rank, size_t num_inputs, struct lbw_error *err)
{
    arrays->num_present = 1;
    for (size_t i = 0; i < num_inputs; i++) {
        struct part *part = &arrays->parts[i];
        LBW_TRY(find_array(&part->array, &arrays->npz, inputs[i].name, num_inputs == 1, err));
        LBW_TRY(lbw_within(err, cut(part, &inputs[i], has_rank[i], err), "input '%s'",
                           inputs[i].name));
        if (part->num > 1 && arrays->num_present > 1 && part->num != arrays->num_present)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "input '%s' has %zu samples, others have %zu", inputs[i].name,
                            part->num, arrays->num_present);
        if (part->num > 1)
            arrays->num_present = part->num;
    }
    return LBW_OK;
}

enum lbw_status lbw_feed_arrays_open(struct lbw_feed_arrays **out, const char *path,
                                     struct lbw_feed_input *inputs, const bool *has_rank,
                                     size_t num_inputs, size_t most, struct lbw_error *err)
{
    struct lbw_feed_arrays *arrays = calloc(1, sizeof *arrays);
    struct part *parts = calloc(num_inputs, sizeof *parts);
    if (!arrays || !parts) {
        free(arrays);
        free(parts);
        return lbw_fail_memory(err);
    }
    arrays->parts = parts;
    enum lbw_status status = lbw_npz_read(&arrays->npz, path, err);
    if (status == LBW_OK)
        status = lbw_within(err, match(arrays, inputs, has_rank, num_inputs, err), "%s", path);
    if (status != LBW_OK) {
        lbw_feed_arrays_close(&arrays);
        return status;
    }
    arrays->num_samples = most && most < arrays->num_present ? most : arrays->num_present;
    *out = arrays;
    return LBW_OK;
}

void lbw_feed_arrays_close(struct lbw_feed_arrays **arrays)
{
    if (!*arrays)
        return;
    lbw_npz_release(&(*arrays)->npz);
    free((*arrays)->parts);
    free(*arrays);
    *arrays = NULL;
}

size_t lbw_feed_arrays_num_samples(const struct lbw_feed_arrays *arrays)
{
    return arrays->num_samples;
}

void lbw_feed_arrays_fill(struct lbw_array *out, const struct lbw_feed_arrays *arrays,
                          size_t input, size_t i)
{
    const struct part *part = &arrays->parts[input];
    size_t at = (2 * i + 1) * arrays->num_present / (2 * arrays->num_samples);
    size_t element = lbw_data_type_bits(out->data_type) / 8;
    lbw_numbers_convert(out->data, out->data_type,
                        part->array->data + (part->num > 1 ? at : 0) * part->stride,
                        part->array->data_type, out->size / element);
}
