/* SPDX-License-Identifier: MIT */
/* decode: for every family, outputs made by hand and the boxes they stand for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../outputs.h"

static void test_yolox(void **state)
{
    (void)state;
    struct stage stage = stage_of("yolox", 2);
    float *p = ADD(&stage, "output", 1, 64 + 16 + 4, 7);
    float *row = p + 7 * (64 + 6); /* stride 16, cell (2, 1) */
    memcpy(row, (float[]){.5f, .25f, 0, logf(2), .8f, .1f, .5f}, 7 * sizeof *p);
    p[7 * 3 + 4] = NAN; /* finds nothing */
    check_one(&stage, 1, .4, 40 - 8, 20 - 16, 40 + 8, 20 + 16);
}

static void test_yolov5(void **state)
{
    (void)state;
    struct stage stage = stage_of("yolov5", 2);
    ADD(&stage, "head", 1, 3, 8, 8, 7);
    float *p = ADD(&stage, "decoded", 1, 10, 7);
    memcpy(p + 7 * 4, (float[]){30, 30, 10, 20, .9f, .5f, .1f}, 7 * sizeof *p);
    memcpy(p + 7 * 5, (float[]){31, 30, 10, 20, .9f, .4f, 0}, 7 * sizeof *p); /* NMS */
    check_one(&stage, 0, .45, 25, 20, 35, 40);
}

static void test_yolov5_heads(void **state)
{
    (void)state;
    struct stage stage = stage_of("yolov5", 1);
    static const int64_t cells[] = {8, 4, 2};
    for (size_t s = 0; s < 3; s++) {
        size_t num = (size_t)(3 * cells[s] * cells[s]);
        float *p = ADD(&stage, "head", 1, 3, cells[s], cells[s], 6);
        for (size_t i = 0; i < num; i++)
            p[6 * i + 4] = -20;
        if (s == 1) { /* anchor 1 (62×45), cell (3, 2): σ(0) = .5 leaves the anchor as it is */
            float *row = p + 6 * (16 + 2 * 4 + 3);
            row[4] = row[5] = 20;
        }
    }
    check_one(&stage, 0, 1, 56 - 31, 40 - 22.5, 56 + 31, 40 + 22.5);
}

static void test_yolov8(void **state)
{
    (void)state;
    const float box[] = {30, 32, 10, 20, .1f, .7f, 0};
    struct stage stage = stage_of("yolov8", 3);
    float *p = ADD(&stage, "output0", 1, 7, 9);
    for (int c = 0; c < 7; c++)
        p[9 * c + 4] = box[c];
    check_one(&stage, 1, .7, 25, 22, 35, 42);

    stage = stage_of("yolov8", 3);
    p = ADD(&stage, "output0", 1, 9, 7);
    memcpy(p + 7 * 4, box, sizeof box);
    check_one(&stage, 1, .7, 25, 22, 35, 42);

    stage = stage_of("yolov8", 0); /* classes from the shape */
    p = ADD(&stage, "output0", 1, 7, 9);
    for (int c = 0; c < 7; c++)
        p[9 * c + 4] = box[c];
    check_one(&stage, 1, .7, 25, 22, 35, 42);
}

static void test_nanodet(void **state)
{
    (void)state;
    struct stage stage = stage_of("nanodet", 3);
    ADD(&stage, "s8", 1, 64, 3);
    ADD(&stage, "b8", 1, 64, 32);
    float *boxes = ADD(&stage, "b16", 1, 16, 32); /* picked by shape, whatever the order */
    float *scores = ADD(&stage, "s16", 1, 16, 3);
    ADD(&stage, "s32", 1, 4, 3);
    ADD(&stage, "b32", 1, 4, 32);
    scores[3 * 5 + 2] = .6f; /* cell (1, 1): centre 16 + 7.5 */
    for (int side = 0; side < 4; side++)
        boxes[32 * 5 + 8 * side + (side < 2 ? 1 : 2)] = 50; /* 1 cell left and up, 2 else */
    check_one(&stage, 2, .6, 23.5 - 16, 23.5 - 16, 23.5 + 32, 23.5 + 32);
}

/* As many classes as numbers for the sides: by place, and by name where the names tell. */
static void test_nanodet_alike(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        bool is_named = k % 2;
        struct stage stage = stage_of("nanodet", k < 2 ? 32 : 0);
        for (int64_t side = 8; side >= 2; side /= 2) {
            float *first = ADD(&stage, is_named ? "Distances" : "a", 1, side * side, 32);
            float *second = ADD(&stage, is_named ? "scores" : "b", 1, side * side, 32);
            float *scores = is_named ? second : first, *boxes = is_named ? first : second;
            scores[2] = side == 4 ? .6f : 0;
            for (int i = 0; i < 4; i++)
                boxes[8 * i + 1] = 50;
        }
        check_one(&stage, 2, .6, 7.5 - 16, 7.5 - 16, 7.5 + 16, 7.5 + 16);
    }
}

/* A stride without anchors would lose its boxes; decoded outputs need none. */
static void test_few_anchors(void **state)
{
    (void)state;
    static const char *const profiles[] = {"yolov5", "ssd"};
    for (size_t i = 0; i < 2; i++) {
        struct stage stage = stage_of(profiles[i], 1);
        stage.profile.num_strides = 2;
        stage.profile.strides[1] = 24;
        stage.profile.anchors[1][0] = (struct lbw_anchor){0, 0};
        ADD(&stage, "a", 1, 3, 8, 8, 6);
        ADD(&stage, "b", 1, 3, 3, 3, 6);
        assert_int_equal(decode(&stage), LBW_ERR_UNSUPPORTED);
        assert_non_null(strstr(stage.err.message, "'anchors' has no list for stride 24"));
        release(&stage);
    }
    struct stage stage = stage_of("yolov5", 2);
    memset(stage.profile.anchors, 0, sizeof stage.profile.anchors);
    float *p = ADD(&stage, "decoded", 1, 10, 7);
    memcpy(p, (float[]){30, 30, 10, 20, .9f, .5f, .1f}, 7 * sizeof *p);
    check_one(&stage, 0, .45, 25, 20, 35, 40);
}

static void test_fastestdet(void **state)
{
    (void)state;
    struct stage stage = stage_of("fastestdet", 2);
    float *p = ADD(&stage, "758", 1, 7, 4, 4);
    const float values[] = {.5f, 0, 0, 0, -logf(3), .2f, .9f};
    for (int c = 0; c < 7; c++)
        p[16 * c + 5] = values[c];
    check_one(&stage, 1, pow(.5, .6) * pow(.9, .4), 16 - 16, 16 - 8, 16 + 16, 16 + 8);
}

static void test_ultraface(void **state)
{
    (void)state;
    struct stage stage = stage_of("ultraface", 1);
    float *boxes = ADD(&stage, "boxes", 1, 5, 4);
    float *scores = ADD(&stage, "scores", 1, 5, 2);
    memcpy(boxes + 8, (float[]){.25f, .25f, .5f, .75f}, 4 * sizeof *boxes);
    scores[4] = .2f;
    scores[5] = .8f;
    scores[0] = 1; /* background */
    check_one(&stage, 0, .8, 16, 16, 32, 48);
}

static void test_yunet(void **state)
{
    (void)state;
    struct stage stage = stage_of("yunet", 1);
    static const int64_t cells[] = {64, 16, 4};
    for (size_t s = 0; s < 3; s++) {
        float *cls = ADD(&stage, "cls", 1, cells[s], 1);
        float *obj = ADD(&stage, "obj", 1, cells[s], 1);
        float *sides = ADD(&stage, "bbox", 1, cells[s], 4);
        ADD(&stage, "kps", 1, cells[s], 10);
        if (s == 2) { /* stride 32, cell (1, 0) */
            cls[1] = .81f;
            obj[1] = 1;
            memcpy(sides + 4, (float[]){0, .5f, 0, logf(.5f)}, 4 * sizeof *sides);
        }
    }
    check_one(&stage, 0, .9, 32 - 16, 16 - 8, 32 + 16, 16 + 8);
}

static void test_ssd(void **state)
{
    (void)state;
    for (int logits = 0; logits < 2; logits++) {
        struct stage stage = stage_of("ssd", 2);
        stage.profile.num_strides = 2;
        stage.profile.strides[0] = 32;
        stage.profile.strides[1] = 64;
        stage.profile.num_anchors = 2;
        stage.profile.anchors[0][1] = (struct lbw_anchor){20, 10};
        float *scores = ADD(&stage, "scores", 1, 10, 3);
        float *boxes = ADD(&stage, "boxes", 1, 10, 4);
        for (int i = 0; i < 10; i++)
            scores[3 * i] = logits ? 20 : 1;
        float *row = scores + 3 * 7; /* stride 32, cell (1, 1), second anchor */
        memcpy(row, logits ? (float[]){0, logf(.5f), logf(1.5f)} : (float[]){.2f, .2f, .6f},
               3 * sizeof *row);
        memcpy(boxes + 4 * 7, (float[]){1, -1, 0, 5 * logf(2)}, 4 * sizeof *boxes);
        check_one(&stage, 1, logits ? .5 : .6, 50 - 10, 47 - 10, 50 + 10, 47 + 10);
    }
}

/* The ways in which models that end in NMS give their boxes. */
static void test_nms(void **state)
{
    (void)state;
    struct stage stage = stage_of("nms", 3);
    float *p = ADD(&stage, "output0", 1, 2, 6);
    memcpy(p, (float[]){10, 12, 30, 40, .9f, 2}, 6 * sizeof *p);
    check_one(&stage, 2, .9, 10, 12, 30, 40);

    stage = stage_of("nms", 3);
    p = ADD(&stage, "output", 2, 7);
    memcpy(p, (float[]){0, 10, 12, 30, 40, 2, .9f}, 7 * sizeof *p);
    check_one(&stage, 2, .9, 10, 12, 30, 40);

    stage = stage_of("nms", 3);
    stage.profile.normalized = true;
    p = ADD(&stage, "detection_out", 1, 1, 2, 7);
    memcpy(p, (float[]){0, 2, .9f, .25f, .25f, .5f, .5f}, 7 * sizeof *p);
    check_one(&stage, 2, .9, 16, 16, 32, 32);

    stage = stage_of("nms", 3); /* torchvision: labels from 1, 0 the background */
    stage.profile.background = 0;
    p = ADD(&stage, "boxes", 1, 4);
    memcpy(p, (float[]){10, 12, 30, 40}, 4 * sizeof *p);
    *(int64_t *)ADD_INT64(&stage, "labels", 1) = 3;
    *(float *)ADD(&stage, "scores", 1) = .9f;
    check_one(&stage, 2, .9, 10, 12, 30, 40);

    stage = stage_of("nms", 3); /* TensorFlow */
    stage.profile.normalized = true;
    stage.profile.box_order = LBW_BOX_YXYX;
    p = ADD(&stage, "detection_boxes", 1, 3, 4);
    memcpy(p, (float[]){.25f, .125f, .5f, .75f, 0, 0, 1, 1}, 8 * sizeof *p);
    p = ADD(&stage, "detection_classes", 1, 3);
    p[0] = 1;
    p = ADD(&stage, "detection_scores", 1, 3);
    p[0] = p[1] = .9f;
    *(float *)ADD(&stage, "num_detections", 1) = 1;
    check_one(&stage, 1, .9, 8, 16, 48, 32);

    stage = stage_of("nms", 3); /* mmdetection */
    p = ADD(&stage, "dets", 1, 2, 5);
    memcpy(p, (float[]){10, 12, 30, 40, .9f}, 5 * sizeof *p);
    ((int64_t *)ADD_INT64(&stage, "labels", 1, 2))[0] = 1;
    check_one(&stage, 1, .9, 10, 12, 30, 40);

    stage = stage_of("nms", 3); /* nothing found */
    ADD(&stage, "boxes", 0, 4);
    ADD(&stage, "scores", 0);
    ADD_INT64(&stage, "labels", 0);
    assert_int_equal(decode(&stage), LBW_OK);
    assert_int_equal(stage.boxes.num, 0);
    release(&stage);
}

static void test_ppocr(void **state)
{
    (void)state;
    struct stage stage = stage_of("ppocr", 1);
    float *p = ADD(&stage, "map", 1, 1, SIDE, SIDE);
    for (int y = 20; y < 30; y++)
        for (int x = 10; x < 50; x++)
            p[SIDE * y + x] = .8f;
    p[SIDE * 50 + 50] = 1; /* a speck */
    double grow = 40 * 10 * 1.5 / (2 * 50);
    check_one(&stage, 0, .8, 10 - grow, 20 - grow, 50 + grow, 30 + grow);
}

/* Every family refuses what it does not know and says what it saw. */
static void test_mismatch(void **state)
{
    (void)state;
    const struct lbw_profile *profile;
    for (size_t i = 0; (profile = lbw_profile_at(i)); i++) {
        struct stage stage = {.profile = *profile};
        ADD(&stage, "odd one", 2, 3, 5);
        assert_int_equal(decode(&stage), LBW_ERR_UNSUPPORTED);
        if (!strstr(stage.err.message, "'odd one' [2,3,5]") ||
            !strstr(stage.err.message, profile->name))
            fail_msg("%s: %s", profile->name, stage.err.message);
        assert_null(stage.boxes.items);
        release(&stage);
        stage = (struct stage){.profile = *profile};
        assert_int_equal(decode(&stage), LBW_ERR_UNSUPPORTED);
    }
    struct stage stage = stage_of("yolov8", 80); /* a model of 3 classes under COCO's profile */
    ADD(&stage, "output0", 1, 7, 9);
    assert_int_equal(decode(&stage), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(stage.err.message, "with 80 classes"));
    stage.arrays[0].size -= 4;
    assert_int_equal(decode(&stage), LBW_ERR_FORMAT);
    release(&stage);
}

/* Infinities and boxes outside the image leave nothing behind. */
static void test_wild(void **state)
{
    (void)state;
    struct stage stage = stage_of("yolov8", 1);
    float *p = ADD(&stage, "output0", 1, 9, 5);
    memcpy(p, (float[]){INFINITY, 1, 1, 1, 1}, 5 * sizeof *p);
    memcpy(p + 5, (float[]){30, 30, -5, 5, 1}, 5 * sizeof *p);
    memcpy(p + 10, (float[]){-500, 30, 5, 5, 1}, 5 * sizeof *p);
    memcpy(p + 15, (float[]){30, 30, 1e30f, 1e30f, .9f}, 5 * sizeof *p);
    memcpy(p + 20, (float[]){30, 30, 5, 5, NAN}, 5 * sizeof *p);
    check_one(&stage, 0, .9, 0, 0, 100, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yolox),        cmocka_unit_test(test_yolov5),
        cmocka_unit_test(test_yolov5_heads), cmocka_unit_test(test_yolov8),
        cmocka_unit_test(test_nanodet),      cmocka_unit_test(test_nanodet_alike),
        cmocka_unit_test(test_few_anchors),  cmocka_unit_test(test_fastestdet),
        cmocka_unit_test(test_ultraface),    cmocka_unit_test(test_yunet),
        cmocka_unit_test(test_ssd),          cmocka_unit_test(test_nms),
        cmocka_unit_test(test_ppocr),        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_wild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
