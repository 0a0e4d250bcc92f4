/* SPDX-License-Identifier: MIT */
/* Matches the arrays of a file with a model's inputs, and cuts samples out of them. */
#include "feed/feed_arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "onnx/tensor.h"
#include "feed/array.h"
#include "feed/npz.h"

/* The values of one input; samples are `stride` bytes apart. */
struct part {
    const struct lbw_npz_array *array;
    size_t stride;
    size_t num; /* number of samples */
};

struct lbw_feed_arrays {
    struct lbw_npz npz;
    struct part *parts; /* one per input */
    struct lbw_feed_input *inputs;
    size_t num_inputs;
    size_t num_samples; /* given out */
    size_t num_present; /* in the arrays */
    size_t at;          /* the current sample, of those present */
    /* If the caller provides samples: `npz` holds the current one, `num_present` is 1. */
    const struct lbw_samples *samples;
    size_t num_made; /* that the caller can provide */
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

/*
 * Whether the input's dims from axis `first` on match those of the array from axis `skip` on.
 */
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

/* Resolves the input's dims, and counts the samples of the array. */
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
    } else if (array->num_dims + 1 == rank && input->dims[0] <= 1 && input->dims[0] &&
               dims_fit(input, array, 1, 0)) {
        input->dims[0] = 1; /* one sample without the batch axis */
        part->num = 1;
        skip = SIZE_MAX;
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
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the array holds less than one sample");
    part->stride = lbw_data_type_bits(array->data_type) / 8;
    for (size_t i = 0; i < rank; i++) {
        if (input->dims[i] < 0)
            input->dims[i] = array->dims[skip + i];
        part->stride *= (size_t)input->dims[i]; /* at most the array's own size: no overflow */
    }
    return LBW_OK;
}

/* Finds the array of every input, and the number of samples that they have in common. */
static enum lbw_status match(struct lbw_feed_arrays *arrays, const bool *has_rank,
                             struct lbw_error *err)
{
    arrays->num_present = 1;
    for (size_t i = 0; i < arrays->num_inputs; i++) {
        struct part *part = &arrays->parts[i];
        struct lbw_feed_input *input = &arrays->inputs[i];
        LBW_TRY(
            find_array(&part->array, &arrays->npz, input->name, arrays->num_inputs == 1, err));
        LBW_TRY(lbw_within(err, cut(part, input, !has_rank || has_rank[i], err), "input '%s'",
                           input->name));
        if (part->num > 1 && arrays->num_present > 1 && part->num != arrays->num_present)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "input '%s' has %zu samples, others have %zu", input->name,
                            part->num, arrays->num_present);
        if (part->num > 1)
            arrays->num_present = part->num;
    }
    return LBW_OK;
}

static enum lbw_status init(struct lbw_feed_arrays **out, struct lbw_feed_input *inputs,
                            size_t num_inputs, struct lbw_error *err)
{
    struct lbw_feed_arrays *arrays = calloc(1, sizeof *arrays);
    struct part *parts = calloc(num_inputs, sizeof *parts);
    if (!arrays || !parts) {
        free(arrays);
        free(parts);
        return lbw_fail_memory(err);
    }
    arrays->parts = parts;
    arrays->inputs = inputs;
    arrays->num_inputs = num_inputs;
    *out = arrays;
    return LBW_OK;
}

enum lbw_status lbw_feed_arrays_open(struct lbw_feed_arrays **out, const char *path,
                                     struct lbw_feed_input *inputs, const bool *has_rank,
                                     size_t num_inputs, size_t most, struct lbw_error *err)
{
    struct lbw_feed_arrays *arrays = NULL;
    enum lbw_status status;
    LBW_OR_OUT(init(&arrays, inputs, num_inputs, err));
    LBW_OR_OUT(lbw_npz_read(&arrays->npz, path, err));
    LBW_OR_OUT(lbw_within(err, match(arrays, has_rank, err), "%s", path));
    arrays->num_samples = most && most < arrays->num_present ? most : arrays->num_present;
    *out = arrays;
    arrays = NULL;
out:
    lbw_feed_arrays_close(&arrays);
    return status;
}

static enum lbw_status take_view(struct lbw_npz_array *out, const struct lbw_array_view *view,
                                 struct lbw_error *err)
{
    const char *name = view->name ? view->name : "";
    struct lbw_npz_array array = {.name = name, .data = view->data};
    while (array.data_type < 32 &&
           !(lbw_array_has_numbers(array.data_type) && view->type &&
             strcmp(lbw_data_type_name(array.data_type), view->type) == 0))
        array.data_type++;
    if (array.data_type == 32)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "array '%s': unknown type '%s'", name,
                        view->type ? view->type : "");
    if (view->num_dims < 0 || view->num_dims > LBW_MAX_SAMPLE_DIMS)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "array '%s': %d axes, at most %d are possible",
                        name, view->num_dims, LBW_MAX_SAMPLE_DIMS);
    array.num_dims = (size_t)view->num_dims;
    array.size = lbw_data_type_bits(array.data_type) / 8;
    bool fits = true;
    for (size_t i = 0; i < array.num_dims; i++) {
        array.dims[i] = view->dims[i];
        fits = fits && view->dims[i] >= 0 &&
               lbw_size_mul(&array.size, array.size, (size_t)view->dims[i]);
    }
    if (!fits || array.size != view->size || (view->size && !view->data))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "array '%s': %zu bytes do not fit its shape",
                        name, view->size);
    *out = array;
    return LBW_OK;
}

/* Uses the caller's arrays instead of those of a file. */
static enum lbw_status take_views(struct lbw_npz *npz, const struct lbw_array_view *views,
                                  size_t num, struct lbw_error *err)
{
    lbw_npz_release(npz);
    *npz = (struct lbw_npz){0};
    npz->arrays = views ? lbw_arena_calloc(&npz->arena, num, sizeof *npz->arrays) : NULL;
    if (!num || !views)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no arrays");
    if (!npz->arrays)
        return lbw_fail_memory(err);
    for (; npz->num_arrays < num; npz->num_arrays++)
        LBW_TRY(take_view(&npz->arrays[npz->num_arrays], &views[npz->num_arrays], err));
    return LBW_OK;
}

/* Requests sample i from the caller. The first one resolves dynamic dims. */
static enum lbw_status make(struct lbw_feed_arrays *arrays, size_t i, const bool *has_rank,
                            struct lbw_error *err)
{
    const struct lbw_samples *samples = arrays->samples;
    const struct lbw_array_view *views = NULL;
    struct lbw_error why = {0};
    size_t num = 0;
    enum lbw_status status = samples->get(samples->user, i, &views, &num, &why);
    if (status != LBW_OK)
        return lbw_fail(err, status, "%.400s", *why.message ? why.message : "interrupted");
    LBW_TRY(take_views(&arrays->npz, views, num, err));
    LBW_TRY(match(arrays, has_rank, err));
    if (arrays->num_present != 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "holds %zu samples, expected one",
                        arrays->num_present);
    return LBW_OK;
}

static enum lbw_status open_memory(struct lbw_feed_arrays *arrays,
                                   const struct lbw_samples *samples, const bool *has_rank,
                                   struct lbw_error *err)
{
    if (samples->num_arrays) {
        enum lbw_status status =
            take_views(&arrays->npz, samples->arrays, samples->num_arrays, err);
        return status == LBW_OK ? match(arrays, has_rank, err) : status;
    }
    arrays->samples = samples;
    arrays->num_made = samples->num_samples;
    if (!samples->get || !samples->num_samples)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no samples");
    return lbw_within(err, make(arrays, 0, has_rank, err), "sample 0");
}

enum lbw_status lbw_feed_arrays_open_memory(struct lbw_feed_arrays **out,
                                            const struct lbw_samples *samples,
                                            struct lbw_feed_input *inputs, const bool *has_rank,
                                            size_t num_inputs, size_t most,
                                            struct lbw_error *err)
{
    struct lbw_feed_arrays *arrays = NULL;
    LBW_TRY(init(&arrays, inputs, num_inputs, err));
    enum lbw_status status = open_memory(arrays, samples, has_rank, err);
    if (status != LBW_OK) {
        lbw_feed_arrays_close(&arrays);
        return status;
    }
    size_t num = arrays->samples ? arrays->num_made : arrays->num_present;
    arrays->num_samples = most && most < num ? most : num;
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

enum lbw_status lbw_feed_arrays_seek(struct lbw_feed_arrays *arrays, size_t i,
                                     struct lbw_error *err)
{
    size_t num = arrays->samples ? arrays->num_made : arrays->num_present;
    size_t at = (2 * i + 1) * num / (2 * arrays->num_samples);
    if (!arrays->samples) {
        arrays->at = at;
        return LBW_OK;
    }
    return lbw_within(err, make(arrays, at, NULL, err), "sample %zu", at);
}

void lbw_feed_arrays_fill(struct lbw_array *out, const struct lbw_feed_arrays *arrays,
                          size_t input)
{
    const struct part *part = &arrays->parts[input];
    size_t element = lbw_data_type_bits(out->data_type) / 8;
    lbw_numbers_convert(out->data, out->data_type,
                        part->array->data + (part->num > 1 ? arrays->at : 0) * part->stride,
                        part->array->data_type, out->size / element);
}
