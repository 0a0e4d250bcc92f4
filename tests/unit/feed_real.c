/* SPDX-License-Identifier: MIT */
/* Feeding real exports with real images; needs ../shared/assets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "detect/assume.h"

static char assets[1000];

static struct lbw_model *asset_model(const char *name)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/models/%s.onnx", assets, name);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open(&model, path, NULL), LBW_OK);
    return model;
}

/* Real exports are recognised, and no other is taken for one of them. */
static void test_real_models(void **state)
{
    (void)state;
    static const struct {
        const char *model, *assumed;
    } cases[] = {
        {"yolox_nano", "416x416 letterbox-corner bgr, pad 114, mean 0,0,0, std 1,1,1 (the "
                       "outputs look like yolox)"},
        {"nanodet_m_416", "(the outputs look like nanodet)"},
        {"fastestdet", "352x352 stretch bgr, mean 0,0,0, std 255,255,255 (the outputs look "
                       "like fastestdet)"},
        {"ultraface_rfb_320", "(the outputs look like ultraface)"},
        {"yunet_n_dynamic", "640x640 letterbox-corner bgr, pad 0, mean 0,0,0, std 1,1,1 (the "
                            "outputs look like yunet; its usual size)"},
        {"ppocr_mobile_v2_det", "(the outputs look like ppocr; its usual size)"},
        {"style_candy", "(the model scales its input itself: 0 to 255)"},
        {"squeezenet_fp16", "(assumed: nothing in the model says otherwise)"},
        {"blazeface_back", "(the outputs look like blazeface-back)"},
        {"blazeface_front", "(the outputs look like blazeface)"},
        {"retinaface_mnet025",
         "640x640 letterbox-corner bgr, pad 0, mean 104,117,123, std 1,1,1 "
         "(the outputs look like retinaface)"},
        {"ultraface_rfb_320_offsets", "(the outputs look like ultraface-raw)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_model *model = asset_model(cases[i].model);
        struct lbw_feed *feed = NULL;
        struct lbw_feed_params params = {.source = "generated:1"};
        const char *assumed = "";
        assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, &assumed, NULL), LBW_OK);
        if (!strstr(assumed, cases[i].assumed))
            fail_msg("%s: \"%s\"", cases[i].model, assumed);
        lbw_feed_close(&feed);
        lbw_model_close(&model);
    }
}

static void test_real_pictures(void **state)
{
    (void)state;
    char folder[1100];
    snprintf(folder, sizeof folder, "%s/coco/calib", assets);
    struct lbw_model *model = asset_model("nanodet_m_416");
    struct lbw_feed *feed = NULL;
    struct lbw_feed_params params = {.source = folder};
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, NULL), LBW_OK);
    assert_int_equal(lbw_feed_num_samples(feed), 64);
    assert_int_equal(lbw_feed_num_skipped(feed), 0);
    double sum = 0, square = 0;
    size_t num = 0;
    for (size_t i = 0; i < 64; i += 4) {
        struct lbw_array array;
        assert_int_equal(lbw_feed_get(feed, i, &array, NULL), LBW_OK);
        num += array.size / 4;
        for (size_t k = 0; k < array.size / 4; k++) {
            sum += (double)((float *)array.data)[k];
            square += (double)((float *)array.data)[k] * (double)((float *)array.data)[k];
        }
        lbw_array_release(&array);
    }
    double mean = sum / (double)num;
    /* Normalised photographs with black padding: below 0, not far from deviation 1. */
    assert_true(mean > -0.9 && mean < 0.1);
    assert_true(sqrt(square / (double)num - mean * mean) > 0.9);
    lbw_feed_close(&feed);
    lbw_model_close(&model);
}

int main(void)
{
    const char *root = getenv("LBW_SOURCE_ROOT"), *named = getenv("LBW_ASSETS");
    if (named)
        snprintf(assets, sizeof assets, "%s", named);
    else
        snprintf(assets, sizeof assets, "%s/../shared/assets", root ? root : ".");
    if (access(assets, R_OK) != 0) {
        printf("1..0 # SKIP no models and images in %s\n", assets);
        return 0; /* TAP has no use for 77 */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_models),
        cmocka_unit_test(test_real_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
