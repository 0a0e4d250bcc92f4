/* SPDX-License-Identifier: MIT */
/* Every allocation of reading labels, decoding, measuring and drawing fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <lbw/draw.h>

#include "eval/dataset.h"
#include "detect/decode.h"
#include "eval/map.h"
#include "detect/nms.h"
#include "oom.h"

static char folder[] = "/tmp/lbw-oom-XXXXXX";
static char pictures[40], labels[3][40], drawing[40];

static void put_file(const char *directory, const char *name, const char *text)
{
    char path[80];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(pictures, sizeof pictures, "%s/pictures", folder);
    snprintf(labels[0], sizeof labels[0], "%s/labels.json", folder);
    snprintf(labels[1], sizeof labels[1], "%s/voc", folder);
    snprintf(labels[2], sizeof labels[2], "%s/yolo", folder);
    snprintf(drawing, sizeof drawing, "%s/drawing.png", folder);
    if (mkdir(pictures, 0777) || mkdir(labels[1], 0777) || mkdir(labels[2], 0777))
        return -1;
    put_file(pictures, "a.jpg", "");
    put_file(pictures, "b.jpg", "");
    put_file(folder, "labels.json",
             "{\"images\": [{\"id\": 1, \"file_name\": \"a.jpg\"}, {\"id\": 2, \"file_name\":"
             " \"x.jpg\"}], \"categories\": [{\"id\": 1, \"name\": \"cat\"}],"
             " \"annotations\": [{\"image_id\": 1, \"category_id\": 1,"
             " \"bbox\": [1, 2, 3, 4]}]}");
    put_file(labels[1], "a.xml",
             "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
             "<xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>");
    put_file(labels[2], "a.txt", "0 .5 .5 .5 .5\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static int kind;

static enum lbw_status read_labels(struct lbw_error *err)
{
    const char *const names[] = {"cat"};
    struct lbw_dataset *dataset = NULL;
    struct lbw_dataset_params params = {pictures, labels[kind], names, 1, 0};
    enum lbw_status status = lbw_dataset_open(&dataset, &params, err);
    lbw_dataset_close(&dataset);
    return status;
}

static void test_labels(void **state)
{
    (void)state;
    for (kind = 0; kind < 3; kind++)
        assert_true(oom_run("labels", read_labels));
}

static enum lbw_status find_boxes(struct lbw_error *err)
{
    float boxes[] = {1, 1, 9, 9, 20, 20, 29, 29}, scores[] = {.9f, .8f};
    int64_t classes[] = {0, 1};
    const char *const names[] = {"boxes", "scores", "labels"};
    const struct lbw_array outputs[] = {
        {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 2, {2, 4}, sizeof boxes, boxes},
        {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, {2}, sizeof scores, scores},
        {ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, {2}, sizeof classes, classes}};
    struct lbw_decode_input input = {.num_outputs = 3,
                                     .names = names,
                                     .outputs = outputs,
                                     .profile = lbw_profile_by_name("nms"),
                                     .width = 32,
                                     .height = 32,
                                     .placement = {1, 1, 0, 0},
                                     .picture_width = 32,
                                     .picture_height = 32,
                                     .score = .1f,
                                     .nms = .5f};
    struct lbw_boxes found = {0};
    enum lbw_status status = lbw_decode(&found, &input, err);
    lbw_boxes_release(&found);
    return status;
}

static enum lbw_status measure(struct lbw_error *err)
{
    struct lbw_truth truth = {0, 0, 10, 10, 100, 0, false, false};
    struct lbw_box box = {0, 0, 10, 10, .9f, 0};
    struct lbw_scene scene = {&truth, 1, &box, 1};
    struct lbw_ap mean, classes[2];
    return lbw_map_compute(&mean, classes, 2, &scene, 1, 100, 1, err);
}

static enum lbw_status draw(struct lbw_error *err)
{
    uint8_t pixels[4 * 4 * 3] = {0};
    struct lbw_image image = {4, 4, pixels};
    struct lbw_box box = {0, 0, 3, 3, .9f, 0}, *boxes = NULL;
    enum lbw_mark *marks = NULL;
    size_t num = 0;
    enum lbw_status status =
        lbw_compare_boxes(&boxes, &marks, &num, &box, 1, NULL, 0, .5f, err);
    struct lbw_panel panel = {"title", NULL, boxes, marks, num};
    if (status == LBW_OK)
        status = lbw_draw(drawing, &image, &panel, 1, NULL, 0, err);
    lbw_free(boxes);
    lbw_free(marks);
    return status;
}

static void test_boxes(void **state)
{
    (void)state;
    assert_true(oom_run("decode", find_boxes));
    assert_true(oom_run("map", measure));
    assert_true(oom_run("draw", draw));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_boxes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
