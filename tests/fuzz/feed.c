/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever the model, what its inputs want is found out, and made or refused. */
#include <string.h>

#include <lbw/profile.h>

#include "fuzz.h"
#include "onnx/model.h"
#include "detect/assume.h"

#define MAX_INPUTS 16
#define MAX_SIZE   ((uint64_t)1 << 20)

/* The bytes of one sample, or more than MAX_SIZE: those take only time. */
static uint64_t sample_size(const struct lbw_feed *feed)
{
    uint64_t total = 0;
    for (size_t i = 0; i < lbw_feed_num_inputs(feed); i++) {
        const struct lbw_feed_input *input = lbw_feed_input(feed, i);
        uint64_t size = 8;
        for (size_t d = 0; d < input->num_dims; d++) {
            if (input->dims[d] < 0)
                abort();
            if (input->dims[d] > (int64_t)MAX_SIZE)
                return MAX_SIZE + 1;
            size *= (uint64_t)input->dims[d];
            if (size > MAX_SIZE)
                return size;
        }
        total += size;
    }
    return total;
}

static volatile unsigned char sink; /* every byte is read */

static void make_sample(struct lbw_feed *feed)
{
    struct lbw_array arrays[MAX_INPUTS];
    memset(arrays, 0, sizeof arrays);
    size_t num = lbw_feed_num_inputs(feed);
    if (num > MAX_INPUTS || sample_size(feed) > MAX_SIZE)
        return;
    if (lbw_feed_get(feed, 0, arrays, NULL) != LBW_OK)
        return;
    for (size_t i = 0; i < num; i++) {
        for (size_t k = 0; k < arrays[i].size; k++)
            sink ^= ((unsigned char *)arrays[i].data)[k];
        lbw_array_release(&arrays[i]);
    }
}

/* The profile that fits, and one that need not. */
static void adapt_profile(struct lbw_model *model)
{
    const struct lbw_profile *guess = lbw_profile_guess(model);
    struct lbw_profile profile = guess ? *guess : *lbw_profile_by_name("yolov8");
    if (lbw_profile_adapt(&profile, model, NULL) != LBW_OK)
        return;
    for (size_t i = 0; i < profile.num_labels; i++)
        sink ^= (unsigned char)*profile.labels[i];
    lbw_profile_release(&profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct lbw_feed_params params = {
        .source = "generated:1", .width = size % 2 ? 32 : 0, .height = size % 2 ? 32 : 0};
    struct lbw_model *model = NULL;
    struct lbw_feed *feed = NULL;
    const char *assumed = NULL;
    struct lbw_error err = {0};
    if (lbw_model_open_memory(&model, data, size, NULL) != LBW_OK)
        return 0;
    adapt_profile(model);
    if (lbw_assumed_feed_open(&feed, model, &params, &assumed, &err) == LBW_OK)
        make_sample(feed);
    else if (!*err.message)
        abort();
    lbw_feed_close(&feed);
    lbw_model_close(&model);
    return 0;
}
