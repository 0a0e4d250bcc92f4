/* SPDX-License-Identifier: MIT */
/*
 * The later families: outputs made by hand and the boxes they stand for; how each is recognised
 * by its outputs, and what fits more than one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../fixture.h"
#include "../outputs.h"
#include "detect/family.h"

/* What matters of the only box of a stage: something, and its score among it. */
static void check_importance(struct stage *stage)
{
    struct lbw_importance importance[12] = {{0}};
    const struct lbw_decode_input input = decode_input(stage);
    size_t num_kinds[3] = {0};
    if (lbw_decode_importance(importance, &input, &stage->err) != LBW_OK)
        fail_msg("%s", stage->err.message);
    for (size_t k = 0; k < stage->num; k++) {
        for (size_t i = 0; i < importance[k].count; i++) {
            assert_true(importance[k].weights[i] >= 0);
            num_kinds[importance[k].kinds[i]] += importance[k].weights[i] > 0;
        }
        lbw_importance_release(&importance[k]);
    }
    assert_true(num_kinds[LBW_MATTER_SCORE] > 0);
    assert_true(num_kinds[LBW_MATTER_BOX] > 0);
}

static void check_all(struct stage *stage, int class_index, double score, double x0, double y0,
                      double x1, double y1)
{
    check_importance(stage);
    check_one(stage, class_index, score, x0, y0, x1, y1);
}

/* Darknet's heads in each of the four layouts; the box: anchor 1, cell (3, 2) of stride 16. */
static void test_yolov3(void **state)
{
    (void)state;
    for (int layout = 0; layout < 4; layout++) {
        struct stage stage = stage_of("yolov3", 2);
        for (int64_t side = 8; side >= 2; side /= 2) {
            int64_t cells = side * side;
            float *p = layout == 0   ? ADD(&stage, "a", 1, 21, side, side)
                       : layout == 1 ? ADD(&stage, "a", 1, side, side, 21)
                       : layout == 2 ? ADD(&stage, "a", 1, 3, side, side, 7)
                                     : ADD(&stage, "a", 1, side, side, 3, 7);
            int64_t by_anchor = layout == 0 || layout == 2 ? 7 * cells : 7;
            int64_t by_cell = layout == 0 ? 1 : layout == 2 ? 7 : 21;
            int64_t by_channel = layout == 0 ? cells : 1;
            for (int64_t a = 0; a < 3; a++)
                for (int64_t i = 0; i < cells; i++)
                    p[a * by_anchor + i * by_cell + 4 * by_channel] = -20;
            float *row = p + by_anchor + (2 * side + 3) * by_cell;
            if (side != 4)
                continue;
            row[2 * by_channel] = logf(.5f);
            row[4 * by_channel] = row[6 * by_channel] = 20;
            row[5 * by_channel] = -20;
        }
        check_all(&stage, 1, 1, 56 - 15.5, 40 - 22.5, 56 + 15.5, 40 + 22.5);
    }
    struct stage stage = stage_of("yolov4", 1); /* sigmoids that reach beyond the cell */
    for (int64_t side = 8; side >= 2; side /= 2) {
        float *p = ADD(&stage, "a", 1, 18, side, side);
        for (int64_t i = 0; i < side * side; i++)
            for (int a = 0; a < 3; a++)
                p[(6 * a + 4) * side * side + i] = -20;
        if (side == 2) {
            p[0] = p[4] = 20; /* x and y of cell 0, anchor 0 (142×110) */
            p[4 * 4] = p[5 * 4] = 20;
            p[2 * 4] = p[3 * 4] = logf(.1f);
        }
    }
    double centre = (1.05 - .025) * 32;
    check_all(&stage, 0, 1, centre - 7.1, centre - 5.5, centre + 7.1, centre + 5.5);
}

static void test_yolofastestv2(void **state)
{
    (void)state;
    struct stage stage = stage_of("yolofastestv2", 2);
    ADD(&stage, "coarse", 1, 2, 2, 17);
    float *p = ADD(&stage, "fine", 1, 4, 4, 17);
    float *cell = p + 17 * (4 + 2); /* cell (2, 1) of stride 16, anchor 1 (37.88×51.48) */
    memcpy(cell + 4, (float[]){.5f, .25f, .5f, .25f}, 4 * sizeof *p);
    cell[12 + 1] = .8f;
    cell[15 + 1] = .5f;
    check_all(&stage, 1, .4, 40 - 18.94, 16 - 6.435, 40 + 18.94, 16 + 6.435);
}

static void test_scrfd(void **state)
{
    (void)state;
    struct stage stage = stage_of("scrfd", 1);
    for (int64_t side = 8; side >= 2; side /= 2) {
        float *scores = ADD(&stage, "s", 2 * side * side, 1);
        float *sides = ADD(&stage, "b", 2 * side * side, 4);
        ADD(&stage, "k", 2 * side * side, 10);
        if (side == 4) { /* cell (2, 1), its second anchor */
            scores[2 * 6 + 1] = .9f;
            memcpy(sides + 4 * 13, (float[]){1, .5f, .25f, 2}, 4 * sizeof *sides);
        }
    }
    check_all(&stage, 0, .9, 32 - 16, 16 - 8, 32 + 4, 16 + 32);
}

static void test_retinaface(void **state)
{
    (void)state;
    struct stage stage = stage_of("retinaface", 1);
    ADD(&stage, "landmarks", 1, 168, 10); /* before the others: found by width */
    float *scores = ADD(&stage, "conf", 1, 168, 2);
    float *boxes = ADD(&stage, "loc", 1, 168, 4);
    for (int i = 0; i < 168; i++)
        scores[2 * i] = 1;
    scores[2 * 141] = .1f; /* stride 16, cell (2, 1), 128 pixels wide */
    scores[2 * 141 + 1] = .9f;
    memcpy(boxes + 4 * 141, (float[]){1, -.5f, 5 * logf(.25f), 5 * logf(.125f)},
           4 * sizeof *boxes);
    double cx = 40 + 12.8, cy = 24 - 6.4;
    check_all(&stage, 0, .9, cx - 16, cy - 8, cx + 16, cy + 8);
}

static void test_ultraface_raw(void **state)
{
    (void)state;
    struct stage stage = stage_of("ultraface-raw", 1);
    int num = 64 * 3 + 16 * 2 + 4 * 2 + 3;
    float *scores = ADD(&stage, "scores", 1, num, 2);
    float *boxes = ADD(&stage, "boxes", 1, num, 4);
    for (int i = 0; i < num; i++)
        scores[2 * i] = 1;
    int at = 64 * 3 + 2 * 5 + 1; /* stride 16, cell (1, 1), 48 pixels wide */
    scores[2 * at] = .2f;
    scores[2 * at + 1] = .8f;
    memcpy(boxes + 4 * at, (float[]){0, 0, 5 * logf(.5f), 0}, 4 * sizeof *boxes);
    check_all(&stage, 0, .8, 24 - 12, 24 - 24, 24 + 12, 24 + 24);
}

static void test_faceboxes(void **state)
{
    (void)state;
    struct stage stage = stage_of("faceboxes", 1);
    int num = 21 * 4 + 1 + 1;
    float *scores = ADD(&stage, "conf", 1, num, 2);
    ADD(&stage, "loc", 1, num, 4);
    for (int i = 0; i < num; i++)
        scores[2 * i] = 1;
    int at = 21 * 3 + 4 + 2; /* cell (1, 1): row 1, column 2 of the 32 pixels wide */
    scores[2 * at] = .1f;
    scores[2 * at + 1] = .9f;
    double cx = 32 * 1.5, cy = 32 * 1.25;
    check_all(&stage, 0, .9, cx - 16, cy - 16, cx + 16, cy + 16);
}

static void test_blazeface(void **state)
{
    (void)state;
    struct stage stage = stage_of("blazeface", 1);
    int num = 2 * 64 + 6 * 16;
    float *boxes = ADD(&stage, "boxes", 1, num, 16);
    float *logits = ADD(&stage, "logits", 1, num, 1);
    for (int i = 0; i < num; i++)
        logits[i] = -20;
    int at = 2 * 64 + 6 * 6 + 5; /* stride 16, cell (2, 1), the last anchor */
    logits[at] = logf(9);
    memcpy(boxes + 16 * at, (float[]){2, -3, 20, 10, 99}, 5 * sizeof *boxes);
    check_all(&stage, 0, .9, 42 - 10, 21 - 5, 42 + 10, 21 + 5);
}

static void test_efficientdet(void **state)
{
    (void)state;
    struct stage stage = stage_of("efficientdet", 3);
    int num = 9 * (64 + 16 + 4 + 1 + 1);
    float *boxes = ADD(&stage, "regression", 1, num, 4);
    float *scores = ADD(&stage, "classification", 1, num, 3);
    ADD(&stage, "anchors", 1, num, 4);
    int at = 9 * (64 + 5) + 1; /* stride 16, cell (1, 1), scale 1, 1.4 to 0.7 */
    scores[3 * at + 2] = .7f;
    memcpy(boxes + 4 * at, (float[]){.25f, 0, 0, logf(.5f)},
           4 * sizeof *boxes); /* dy dx dh dw */
    double cy = 24 + .25 * 44.8;
    check_all(&stage, 2, .7, 24 - 22.4, cy - 22.4, 24 + 22.4, cy + 22.4);
}

/* Boxes and scores of all cells; the scores lie across in PP-YOLOE. */
static void test_listed(void **state)
{
    (void)state;
    static const char *const names[] = {"yolonas", "damoyolo", "ppyoloe"};
    for (int i = 0; i < 3; i++) {
        struct stage stage = stage_of(names[i], 2);
        float *boxes = i != 1 ? ADD(&stage, "b", 1, 84, 4) : NULL;
        float *scores = i == 2 ? ADD(&stage, "s", 1, 2, 84) : ADD(&stage, "s", 1, 84, 2);
        boxes = boxes ? boxes : ADD(&stage, "b", 1, 84, 4);
        memcpy(boxes + 4 * 7, (float[]){10, 20, 30, 50}, 4 * sizeof *boxes);
        scores[i == 2 ? 84 + 7 : 2 * 7 + 1] = .8f;
        check_all(&stage, 1, .8, 10, 20, 30, 50);
    }
}

static void test_queries(void **state)
{
    (void)state;
    struct stage stage = stage_of("rtdetr", 2); /* a sigmoid for every class */
    float *logits = ADD(&stage, "pred_logits", 1, 50, 2);
    float *boxes = ADD(&stage, "pred_boxes", 1, 50, 4);
    for (int i = 0; i < 100; i++)
        logits[i] = -20;
    logits[2 * 9 + 1] = logf(4);
    memcpy(boxes + 4 * 9, (float[]){.5f, .25f, .25f, .5f}, 4 * sizeof *boxes);
    check_all(&stage, 1, .8, 24, 0, 40, 32);

    stage = stage_of("detr", 2); /* a softmax with "nothing" behind the classes */
    stage.profile.background = 2;
    logits = ADD(&stage, "logits", 1, 100, 3);
    boxes = ADD(&stage, "pred_boxes", 1, 100, 4);
    for (int i = 0; i < 100; i++)
        logits[3 * i + 2] = 20;
    memcpy(logits + 3 * 9, (float[]){logf(.1f), logf(.7f), logf(.2f)}, 3 * sizeof *logits);
    memcpy(boxes + 4 * 9, (float[]){.5f, .25f, .25f, .5f}, 4 * sizeof *boxes);
    check_all(&stage, 1, .7, 24, 0, 40, 32);

    stage = stage_of("rtdetr", 3); /* as Ultralytics exports it: one matrix, scores */
    boxes = ADD(&stage, "output0", 1, 50, 7);
    memcpy(boxes + 7 * 9, (float[]){.5f, .25f, .25f, .5f, 0, 0, .8f}, 7 * sizeof *boxes);
    check_all(&stage, 2, .8, 24, 0, 40, 32);
}

static void test_rtmdet(void **state)
{
    (void)state;
    struct stage stage = stage_of("rtmdet", 2);
    for (int64_t side = 8; side >= 2; side /= 2) {
        float *classes = ADD(&stage, "cls", 1, 2, side, side);
        for (int64_t i = 0; i < 2 * side * side; i++)
            classes[i] = -20;
        if (side == 4)
            classes[16 + 6] = logf(4); /* cell (2, 1) */
    }
    for (int64_t side = 8; side >= 2; side /= 2) {
        float *sides = ADD(&stage, "bbox", 1, 4, side, side);
        for (int k = 0; k < 4; k++)
            sides[k * side * side + (side == 4 ? 6 : 0)] = (float)(4 * k + 4);
    }
    check_all(&stage, 1, .8, 32 - 4, 16 - 8, 32 + 12, 16 + 16);

    stage = stage_of("rtmdet", 3); /* with suppression inside */
    float *p = ADD(&stage, "dets", 1, 2, 5);
    memcpy(p, (float[]){10, 12, 30, 40, .9f}, 5 * sizeof *p);
    ((int64_t *)ADD_INT64(&stage, "labels", 1, 2))[0] = 1;
    check_one(&stage, 1, .9, 10, 12, 30, 40);
}

/* Sizes and offsets in any order, by name or by their range; a smaller neighbour is no peak. */
static void test_centernet(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        bool is_named = k / 2, offsets_first = k % 2;
        struct stage stage = stage_of("centernet", 3);
        float *heat = ADD(&stage, is_named ? "hm" : "0", 1, 3, 16, 16), *maps[2];
        for (int m = 0; m < 2; m++) {
            const char *name = (m == 0) == offsets_first ? "reg" : "wh";
            maps[m] = ADD(&stage, is_named ? name : "1", 1, 2, 16, 16);
        }
        float *offsets = maps[!offsets_first], *sizes = maps[offsets_first];
        size_t at = 16 * 6 + 5;
        for (int i = 0; i < 3 * 256; i++)
            heat[i] = -20;
        heat[256 + at] = logf(4);
        heat[256 + at + 1] = 1;
        offsets[at] = .5f;
        offsets[256 + at] = .25f;
        sizes[at] = 4;
        sizes[256 + at] = 2;
        check_all(&stage, 1, .8, 22 - 8, 25 - 4, 22 + 8, 25 + 4);
    }
}

/* Channels behind the classes: masks and keypoints are passed over, an angle turns the box. */
static void test_extra(void **state)
{
    (void)state;
    const float row[] = {30, 32, 10, 20, .1f, .7f, 3, 5, 7};
    struct stage stage = stage_of("yolov8", 2);
    stage.profile.num_extra = 3;
    float *p = ADD(&stage, "output0", 1, 9, 11);
    for (int c = 0; c < 9; c++)
        p[11 * c + 4] = row[c];
    ADD(&stage, "output1", 1, 3, 16, 16);
    check_all(&stage, 1, .7, 25, 22, 35, 42);

    stage = stage_of("yolov8", 2);
    stage.profile.num_extra = 1;
    p = ADD(&stage, "output0", 1, 7, 9);
    for (int c = 0; c < 6; c++)
        p[9 * c + 4] = row[c];
    p[9 * 6 + 4] = 1.57079633f; /* a quarter turn */
    check_all(&stage, 1, .7, 20, 27, 40, 37);

    stage = stage_of("yolov5", 2);
    stage.profile.num_extra = 3;
    p = ADD(&stage, "output0", 1, 20, 10);
    memcpy(p + 40, (float[]){30, 30, 10, 20, .9f, .5f, .1f, 9, 9, 9}, 10 * sizeof *p);
    check_all(&stage, 0, .45, 25, 20, 35, 40);

    stage = stage_of("yolov10", 2); /* end to end, with masks */
    stage.profile.num_extra = 2;
    p = ADD(&stage, "output0", 1, 5, 8);
    memcpy(p, (float[]){10, 12, 30, 40, .9f, 1, 7, 7}, 8 * sizeof *p);
    ADD(&stage, "output1", 1, 2, 16, 16);
    check_one(&stage, 1, .9, 10, 12, 30, 40);
}

/* A name and up to five dims, which 0 ends. */
struct port {
    const char *name;
    int64_t dims[6];
};

static void put_shape(struct text *graph, unsigned field, const struct port *port)
{
    struct text shape = {0}, tensor = {0}, holder = {0}, value = {0};
    put_int(&tensor, 1, 1); /* float32 */
    for (size_t i = 0; port->dims[i]; i++) {
        struct text dim = {0};
        put_int(&dim, 1, (uint64_t)port->dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_message(&tensor, 2, &shape);
    put_message(&holder, 1, &tensor);
    put_text(&value, 1, port->name);
    put_message(&value, 2, &holder);
    put_message(graph, field, &value);
}

/* Only its ports count; no runtime would take it. */
static struct lbw_model *model_of(int64_t side, const struct port *outputs, bool has_exp)
{
    struct text graph = {0};
    const struct port input = {"x", {1, 3, side, side}};
    put_node(&graph, 1, has_exp ? "Exp" : "Identity", "x", "nothing", NULL);
    put_shape(&graph, 11, &input);
    for (size_t i = 0; outputs[i].name; i++)
        put_shape(&graph, 12, &outputs[i]);
    struct text t = wrap(&graph);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

struct expectation {
    int64_t side;
    bool has_exp;
    struct port outputs[13];
    const char *profiles[6]; /* all that fit */
};

static const struct expectation expectations[] = {
    {416, false, {{"a", {1, 3549, 85}}}, {"yolox"}},
    {416, true, {{"a", {1, 3549, 85}}}, {"yolox-decoded"}},
    {640, false, {{"a", {1, 25200, 85}}}, {"yolov5"}},
    {640, false, {{"a", {1, 84, 8400}}}, {"yolov8"}},
    {640, false, {{"a", {1, 300, 6}}}, {"yolov10"}},
    {416,
     false,
     {{"a", {1, 255, 52, 52}}, {"b", {1, 255, 26, 26}}, {"c", {1, 255, 13, 13}}},
     {"yolov3", "yolov4", "yolov5", "yolov7"}},
    {640,
     false,
     {{"a", {1, 3, 20, 20, 85}}, {"b", {1, 3, 40, 40, 85}}, {"c", {1, 3, 80, 80, 85}}},
     {"yolov3", "yolov4", "yolov5", "yolov7"}},
    {416, false, {{"a", {1, 255, 26, 26}}, {"b", {1, 255, 13, 13}}}, {"yolov3-tiny"}},
    {352, false, {{"a", {1, 22, 22, 95}}, {"b", {1, 11, 11, 95}}}, {"yolofastestv2"}},
    {352, false, {{"a", {1, 85, 22, 22}}}, {"fastestdet"}},
    {640, false, {{"a", {1, 8400, 4}}, {"b", {1, 8400, 80}}}, {"yolonas"}},
    {640, false, {{"a", {1, 8400, 80}}, {"b", {1, 8400, 4}}}, {"damoyolo"}},
    {640, false, {{"a", {1, 8400, 4}}, {"b", {1, 80, 8400}}}, {"ppyoloe", "ppyoloe-plus"}},
    {640, false, {{"pred_logits", {1, 300, 80}}, {"pred_boxes", {1, 300, 4}}}, {"rtdetr"}},
    {800, false, {{"logits", {1, 100, 92}}, {"pred_boxes", {1, 100, 4}}}, {"detr"}},
    {560, false, {{"dets", {1, 300, 4}}, {"labels", {1, 300, 91}}}, {"rfdetr"}},
    {512, false, {{"a", {1, 49104, 4}}, {"b", {1, 49104, 90}}}, {"efficientdet"}},
    {512,
     false,
     {{"hm", {1, 80, 128, 128}}, {"wh", {1, 2, 128, 128}}, {"reg", {1, 2, 128, 128}}},
     {"centernet"}},
    {640, false, {{"a", {1, 16800, 4}}, {"b", {1, 16800, 2}}}, {"retinaface"}},
    {640,
     false,
     {{"a", {1, 16800, 2}}, {"b", {1, 16800, 10}}, {"c", {1, 16800, 4}}},
     {"retinaface"}},
    {320,
     false,
     {{"a", {3200, 1}},
      {"b", {800, 1}},
      {"c", {200, 1}},
      {"d", {3200, 4}},
      {"e", {800, 4}},
      {"f", {200, 4}}},
     {"scrfd"}},
    {1024, false, {{"a", {1, 21824, 4}}, {"b", {1, 21824, 2}}}, {"faceboxes"}},
    {128, false, {{"a", {1, 896, 16}}, {"b", {1, 896, 1}}}, {"blazeface"}},
    {256, false, {{"a", {1, 896, 1}}, {"b", {1, 896, 16}}}, {"blazeface-back"}},
    {640, false, {{"a", {1, 17640, 2}}, {"b", {1, 17640, 4}}}, {NULL}},
    {320, true, {{"a", {1, 5875, 2}}, {"b", {1, 5875, 4}}}, {"ultraface"}},
    {320, false, {{"a", {1, 5875, 2}}, {"b", {1, 5875, 4}}}, {"ultraface-raw"}},
    {300, true, {{"a", {1, 3000, 21}}, {"b", {1, 3000, 4}}}, {"ssdlite"}},
    {300, false, {{"a", {1, 3000, 21}}, {"b", {1, 3000, 4}}}, {"ssd"}},
    {224, false, {{"a", {1, 1000}}}, {NULL}},
    {512, false, {{"a", {1, 21, 512, 512}}}, {NULL}},
};

static void test_recognised(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        const struct expectation *e = &expectations[i];
        struct lbw_model *model = model_of(e->side, e->outputs, e->has_exp);
        const struct lbw_profile *guess = lbw_profile_guess(model);
        size_t num = 0;
        for (const struct lbw_profile *p; (p = lbw_profile_candidate(model, num)); num++)
            if (!e->profiles[num] || strcmp(p->name, e->profiles[num]) != 0)
                fail_msg("case %zu looks like %s", i, p->name);
        if (e->profiles[num])
            fail_msg("case %zu does not look like %s", i, e->profiles[num]);
        assert_int_equal(guess != NULL, num == 1);
        lbw_model_close(&model);
    }
}

/* The order of the outputs says nothing, but for two families that nothing else tells apart. */
static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        struct expectation e = expectations[i];
        size_t num = 0;
        while (e.outputs[num].name)
            num++;
        const char *name = e.profiles[0];
        if (!name || e.profiles[1] || !strcmp(name, "yolonas") || !strcmp(name, "damoyolo"))
            continue;
        for (size_t k = 0; k < num; k++)
            e.outputs[k] = expectations[i].outputs[num - 1 - k];
        struct lbw_model *model = model_of(e.side, e.outputs, e.has_exp);
        const struct lbw_profile *guess = lbw_profile_guess(model);
        if (!guess || strcmp(guess->name, name) != 0)
            fail_msg("%s: %s", name, guess ? guess->name : "not recognised");
        lbw_model_close(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yolov3),        cmocka_unit_test(test_yolofastestv2),
        cmocka_unit_test(test_scrfd),         cmocka_unit_test(test_retinaface),
        cmocka_unit_test(test_ultraface_raw), cmocka_unit_test(test_faceboxes),
        cmocka_unit_test(test_blazeface),     cmocka_unit_test(test_efficientdet),
        cmocka_unit_test(test_listed),        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_rtmdet),        cmocka_unit_test(test_centernet),
        cmocka_unit_test(test_extra),         cmocka_unit_test(test_recognised),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
