/* SPDX-License-Identifier: MIT */
/* Profiles: the table holds together, files and options are read, mistakes are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <lbw/profile.h>

static void test_table(void **state)
{
    (void)state;
    const struct lbw_profile *p;
    assert_non_null(lbw_profile_at(9));
    assert_null(lbw_profile_at(SIZE_MAX));
    for (size_t i = 0; (p = lbw_profile_at(i)); i++) {
        assert_ptr_equal(lbw_profile_by_name(p->name), p);
        assert_string_not_equal(lbw_family_name(p->family), "unknown");
        assert_int_equal(p->num_classes, p->num_labels);
        for (size_t k = 0; k < p->num_labels; k++)
            assert_non_null(p->labels[k]);
        for (int c = 0; c < 3; c++)
            assert_true(p->preprocess.std[c] > 0);
        for (int k = 0; k < p->num_strides && p->num_anchors; k++)
            assert_true(p->anchors[k][0].width > 0);
        assert_true(p->max_boxes > 0 && p->nms > 0);
    }
    assert_int_equal(lbw_profile_by_name("yolox")->num_labels, 80);
    assert_string_equal(lbw_profile_by_name("yolox")->labels[79], "toothbrush");
    /* Every family starts from the profile of its own name. */
    for (int f = LBW_FAMILY_YOLOX; f <= LBW_FAMILY_CENTERNET; f++)
        assert_int_equal(lbw_profile_by_name(lbw_family_name(f))->family, f);
    /* The priors of MobileNet-SSD: √(60·105) and 60·√2, 60/√2. */
    const struct lbw_profile *ssd = lbw_profile_by_name("ssd");
    for (int s = 0; s < ssd->num_strides; s++) {
        const struct lbw_anchor *a = ssd->anchors[s];
        float next = s + 1 < ssd->num_strides ? ssd->anchors[s + 1][0].width : 330;
        assert_float_equal((a[1].width * a[1].width), (a[0].width * next), 0.05);
        for (int k = 2; k < 6; k++) {
            assert_float_equal((a[k].width * a[k].height), (a[0].width * a[0].width), 0.05);
            float ratio = k < 4 ? 2 : 3;
            assert_float_equal((a[k].width / a[k].height), (k % 2 ? 1 / ratio : ratio), 1e-4);
        }
    }
}

static const char shapes[] =
    "{\"name\":\"shapes\",\"family\":\"yolox\",\"size\":[192,192],\"strides\":[8,16],"
    "\"color\":\"rgb\",\"resize\":\"letterbox\",\"pad\":114,\"mean\":[0,0,0],"
    "\"std\":[255,255,255],\"score\":0.05,\"nms\":0.65,\"labels\":[\"circle\",\"square\"]}";

static void test_file(void **state)
{
    (void)state;
    char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/lbw-profile-%ld.json", folder ? folder : "/tmp",
             (long)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(shapes, file);
    fclose(file);
    struct lbw_profile p;
    struct lbw_error err = {0};
    assert_int_equal(lbw_profile_find(&p, path, &err), LBW_OK);
    unlink(path);
    assert_string_equal(p.name, "shapes");
    assert_int_equal(p.family, LBW_FAMILY_YOLOX);
    assert_int_equal(p.preprocess.width, 192);
    assert_int_equal(p.preprocess.height, 192);
    assert_int_equal(p.preprocess.color, LBW_COLOR_RGB);
    assert_int_equal(p.preprocess.resize, LBW_RESIZE_LETTERBOX);
    assert_float_equal(p.preprocess.std[2], 255, 0);
    assert_int_equal(p.num_strides, 2);
    assert_int_equal(p.strides[1], 16);
    assert_int_equal(p.num_classes, 2);
    assert_string_equal(p.labels[1], "square");
    assert_float_equal(p.score, 0.05, 1e-6);
    assert_int_equal(p.background, -1); /* the family's own */
    lbw_profile_release(&p);
    assert_null(p.labels);
    assert_int_equal(lbw_profile_find(&p, "./absent.json", &err), LBW_ERR_IO);
    assert_int_equal(lbw_profile_find(&p, "yolox2", &err), LBW_ERR_ARGUMENT);
    assert_non_null(
        strstr(err.message, "unknown profile 'yolox2': use one of yolox yolox-decoded "));
    assert_int_equal(lbw_profile_find(&p, "nanodet", &err), LBW_OK);
    lbw_profile_release(&p);
}

static enum lbw_status parse(struct lbw_profile *out, const char *text, struct lbw_error *err)
{
    return lbw_profile_parse(out, text, strlen(text), "p.json", err);
}

static void test_rest_of_keys(void **state)
{
    (void)state;
    struct lbw_profile p;
    struct lbw_error err = {0};
    assert_int_equal(
        parse(&p,
              "{\"extends\":\"ssd\",\"description\":\"d\",\"classes\":3,\"background\":2,"
              "\"class_agnostic\":true,\"max_boxes\":7,\"objectness_power\":0.5,"
              "\"variance\":[0.2,0.3],\"box_order\":\"yxyx\",\"normalized\":true,"
              "\"strides\":[4,8],\"anchors\":[[[1,2],[3,4]],[[5,6],[7,8.5]]],\"std\":2,"
              "\"multiple\":16,\"layout\":\"nhwc\",\"mean\":0.456789}",
              &err),
        LBW_OK);
    assert_string_equal(p.name, "ssd");
    assert_string_equal(p.description, "d");
    assert_int_equal(p.num_classes, 3);
    assert_null(p.labels);
    assert_int_equal(p.background, 2);
    assert_true(p.class_agnostic && p.normalized);
    assert_int_equal(p.max_boxes, 7);
    assert_float_equal(p.variance[1], 0.3, 1e-6);
    assert_int_equal(p.box_order, LBW_BOX_YXYX);
    assert_int_equal(p.num_anchors, 2);
    assert_float_equal(p.anchors[1][1].height, 8.5, 0);
    assert_float_equal(p.anchors[0][2].width, 0, 0);
    assert_float_equal(p.preprocess.std[2], 2, 0);
    assert_float_equal(p.preprocess.mean[1], 0.456789, 1e-7);
    assert_int_equal(p.preprocess.multiple, 16);
    assert_int_equal(p.preprocess.channels_last, 1);
    lbw_profile_release(&p);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "p.json: expected an object"},
        {"{", "p.json: line 1: "},
        {"{}", "p.json: needs 'family' or 'extends', a string"},
        {"{\"family\":\"yolo9000\"}", "p.json: 'family': no family 'yolo9000'"},
        {"{\"extends\":\"mine\"}", "p.json: 'extends': no profile 'mine'"},
        {"{\"extends\":\"yolov8\",\"family\":\"ssd\"}",
         "p.json: 'family': 'ssd', but profile 'yolov8' is of family 'yolov8'"},
        {"{\"family\":\"yolox\",\"colour\":\"rgb\"}", "p.json: unknown key 'colour'"},
        {"{\"family\":\"yolox\",\"color\":\"rbg\"}",
         "p.json: color: 'rbg' is not rgb, bgr or gray"},
        {"{\"family\":\"yolox\",\"size\":\"192y\"}",
         "p.json: size: '192y' is not WIDTHxHEIGHT"},
        {"{\"family\":\"yolox\",\"size\":[192,0]}",
         "p.json: size: sides of '192x0' are not within 1 and 16384"},
        {"{\"family\":\"yolox\",\"std\":[1,0,1]}", "p.json: std: '1 0 1' is out of range"},
        {"{\"family\":\"yolox\",\"std\":[1,1]}",
         "p.json: std: '1 1' is not one number or three"},
        {"{\"family\":\"yolox\",\"mean\":[1,\"a\",1]}",
         "p.json: 'mean': expected a string, a number or a list of numbers"},
        {"{\"family\":\"yolox\",\"mean\":{}}",
         "p.json: 'mean': expected a string, a number or a list of numbers"},
        {"{\"family\":\"yolox\",\"pad\":256}",
         "p.json: pad: '256' is not a number from 0 to 255"},
        {"{\"family\":\"yolox\",\"score\":2}",
         "p.json: 'score': expected a number from 0 to 1"},
        {"{\"family\":\"yolox\",\"score\":\"high\"}",
         "p.json: 'score': expected a number from 0 to 1"},
        {"{\"family\":\"yolox\",\"classes\":1.5}",
         "p.json: 'classes': expected a whole number"},
        {"{\"family\":\"yolox\",\"labels\":[\"a\",1]}",
         "p.json: 'labels': expected strings in a list"},
        {"{\"family\":\"yolox\",\"labels\":[\"a\"],\"classes\":2}",
         "p.json: 'labels': 1 of them for 2 classes"},
        {"{\"family\":\"yolox\",\"strides\":[]}",
         "p.json: 'strides': expected one to eight whole numbers in a list"},
        {"{\"family\":\"yolox\",\"class_agnostic\":1}",
         "p.json: 'class_agnostic': expected true or false"},
        {"{\"family\":\"nms\",\"box_order\":\"xywh\"}",
         "p.json: 'box_order': expected xyxy, yxyx or cxcywh"},
        {"{\"family\":\"ssd\",\"anchors\":[[[1,2]],[[1,2],[3,4]]]}",
         "p.json: 'anchors': expected a list for each stride"},
        {"{\"family\":\"ssd\",\"variance\":[1]}",
         "p.json: 'variance': expected two numbers in a list"},
        {"{\"family\":\"ssd\",\"name\":\"\"}", "p.json: 'name': expected a string"},
        {"{\"family\":\"ssd\",\"family\":\"ssd\"}", "p.json: line 1: duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_profile p = {.name = "untouched"};
        struct lbw_error err = {0};
        assert_int_equal(parse(&p, cases[i].text, &err), LBW_ERR_FORMAT);
        assert_int_equal(err.status, LBW_ERR_FORMAT);
        assert_string_equal(p.name, "untouched");
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)))
            fail_msg("got \"%s\", expected \"%s\"", err.message, cases[i].message);
    }
}

static void test_options(void **state)
{
    (void)state;
    struct lbw_preprocess p = {0};
    static const char *const good[][2] = {
        {"size", "640x480"},
        {"resize", "letterbox-corner"},
        {"color", "bgr"},
        {"pad", "114"},
        {"mean", "103.53,116.28, 123.675"},
        {"std", "58"},
        {"layout", "nhwc"},
        {"multiple", "32"},
    };
    struct lbw_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(lbw_preprocess_option(&p, good[i][0], good[i][1], &err), LBW_OK);
    char line[256];
    lbw_preprocess_describe(line, sizeof line, &p);
    assert_string_equal(line, "640x480 letterbox-corner bgr, pad 114, mean "
                              "103.53,116.28,123.675, std 58,58,58, channels last");
    lbw_preprocess_describe(line, 8, &p);
    assert_string_equal(line, "640x480");
    assert_int_equal(lbw_preprocess_option(&p, "size", "416", &err), LBW_OK); /* a square */
    assert_int_equal(p.width, 416);
    assert_int_equal(p.height, 416);
    static const char *const bad[][2] = {
        {"size", "640x"}, {"size", "640x480x3"}, {"size", "-1x5"}, {"resize", "crop"},
        {"pad", "white"}, {"mean", "1,2"},       {"mean", "1,,2"}, {"std", "0"},
        {"std", "nan"},   {"std", "1,2,3,4"},    {"mean", ""},     {"multiple", "-2"},
        {"crop", "1"},
    };
    struct lbw_preprocess before = p;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lbw_preprocess_option(&p, bad[i][0], bad[i][1], &err),
                         LBW_ERR_ARGUMENT);
    assert_memory_equal(&before, &p, sizeof p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_file),
        cmocka_unit_test(test_rest_of_keys), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
