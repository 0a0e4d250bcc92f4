/* SPDX-License-Identifier: MIT */
/* eval: suppression, average precision on cases worked out by hand, label formats. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <lbw/check.h>

#include "eval/dataset.h"
#include "eval/map.h"
#include "detect/nms.h"

static struct lbw_box box(int class_index, float score, float x, float y, float w, float h)
{
    return (struct lbw_box){x, y, w, h, score, class_index};
}

static struct lbw_truth truth(int class_index, double x, double y, double w, double h)
{
    return (struct lbw_truth){x, y, w, h, w * h, class_index, false, false};
}

static void test_iou(void **state)
{
    (void)state;
    struct lbw_box a = box(0, 1, 0, 0, 10, 10), b = box(0, 1, 5, 0, 10, 10);
    assert_float_equal(lbw_box_iou(&a, &a), 1, 1e-6);
    assert_float_equal(lbw_box_iou(&a, &b), 50. / 150, 1e-6);
    b = box(0, 1, 10, 0, 10, 10);
    assert_float_equal(lbw_box_iou(&a, &b), 0, 0);
    b = box(0, 1, 0, 0, 0, 0);
    assert_float_equal(lbw_box_iou(&b, &b), 0, 0);
}

static void test_suppress(void **state)
{
    (void)state;
    const struct lbw_box all[] = {
        box(0, .5f, 1, 0, 10, 10),  /* goes: like the third */
        box(1, .5f, 1, 0, 10, 10),  /* another class: stays, behind the equal score above it */
        box(0, .9f, 0, 0, 10, 10),  /* best */
        box(0, .5f, 50, 0, 10, 10), /* elsewhere */
    };
    struct lbw_box boxes[4];
    size_t num = 4;
    memcpy(boxes, all, sizeof all);
    struct lbw_nms_params params = {.iou = .5f};
    assert_int_equal(lbw_boxes_suppress(boxes, &num, &params, NULL), LBW_OK);
    assert_int_equal(num, 3);
    assert_float_equal(boxes[0].score, .9f, 0);
    assert_int_equal(boxes[1].class_index, 1);
    assert_float_equal(boxes[2].x, 50, 0);

    memcpy(boxes, all, sizeof all);
    num = 4;
    params.any_class = true;
    assert_int_equal(lbw_boxes_suppress(boxes, &num, &params, NULL), LBW_OK);
    assert_int_equal(num, 2);

    memcpy(boxes, all, sizeof all);
    num = 4;
    params.iou = 0; /* every overlap counts */
    boxes[0].x = 9.9f;
    assert_int_equal(lbw_boxes_suppress(boxes, &num, &params, NULL), LBW_OK);
    assert_int_equal(num, 2);

    memcpy(boxes, all, sizeof all);
    num = 4;
    params = (struct lbw_nms_params){.iou = 1};
    assert_int_equal(lbw_boxes_suppress(boxes, &num, &params, NULL), LBW_OK);
    assert_int_equal(num, 4);

    params.max_boxes = 2;
    memcpy(boxes, all, sizeof all);
    assert_int_equal(lbw_boxes_suppress(boxes, &num, &params, NULL), LBW_OK);
    assert_int_equal(num, 2);
    assert_float_equal(boxes[1].x, 1, 0);
    assert_int_equal(boxes[1].class_index, 0);
}

static void test_pair(void **state)
{
    (void)state;
    const struct lbw_box wanted[] = {box(0, 1, 0, 0, 10, 10), box(0, 1, 2, 0, 10, 10),
                                     box(1, 1, 50, 0, 10, 10)};
    const struct lbw_box found[] = {box(0, .9f, 2, 0, 10, 10), box(0, .8f, 2, 0, 10, 10),
                                    box(0, .7f, 50, 0, 10, 10)};
    ptrdiff_t wanted_pair[3], found_pair[3];
    lbw_boxes_pair(wanted_pair, wanted, 3, found_pair, found, 3, .5f);
    assert_int_equal(found_pair[0], 1);
    assert_int_equal(found_pair[1], 0); /* its best is taken, the other is close enough */
    assert_int_equal(found_pair[2], -1);
    assert_int_equal(wanted_pair[2], -1);
}

static struct lbw_ap compute(const struct lbw_scene *scenes, size_t num, struct lbw_ap *classes,
                             size_t num_classes)
{
    struct lbw_ap mean;
    assert_int_equal(lbw_map_compute(&mean, classes, num_classes, scenes, num, 100, 2, NULL),
                     LBW_OK);
    return mean;
}

/* Two truths; the boxes in order of score are hit, miss, hit. */
static void test_ap_by_hand(void **state)
{
    (void)state;
    struct lbw_truth truths[] = {truth(0, 0, 0, 100, 100), truth(0, 200, 0, 100, 100)};
    struct lbw_box boxes[] = {box(0, .7f, 200, 0, 100, 100), box(0, .9f, 0, 0, 100, 100),
                              box(0, .8f, 500, 0, 100, 100)};
    struct lbw_scene scene = {truths, 2, boxes, 3};
    struct lbw_ap classes[2], mean = compute(&scene, 1, classes, 2);
    /* Recall 0 … .5 (51 of 101 points) at precision 1, the rest at 2/3. */
    double expected = (51 + 50 * 2. / 3) / 101;
    assert_float_equal(mean.ap, expected, 1e-12);
    assert_float_equal(mean.ap75, expected, 1e-12);
    assert_float_equal(mean.ap_large, expected, 1e-12);
    assert_float_equal(mean.ap_small, -1, 0);
    assert_float_equal(mean.voc_11, (6 + 5 * 2. / 3) / 11, 1e-12);
    assert_float_equal(mean.voc_all, .5 + .5 * 2 / 3, 1e-12);
    assert_float_equal(classes[1].ap, -1, 0); /* nothing of it labelled: not in the mean */
    assert_int_equal(mean.num_truths, 2);
    assert_int_equal(mean.num_boxes, 3);
}

/* IoU .8 passes the thresholds .50 … .80: 7 of 10. */
static void test_ap_thresholds(void **state)
{
    (void)state;
    struct lbw_truth truths[] = {truth(0, 0, 0, 100, 100)};
    struct lbw_box boxes[] = {box(0, .9f, 0, 0, 100, 80.5f)};
    struct lbw_scene scene = {truths, 1, boxes, 1};
    struct lbw_ap classes[1], mean = compute(&scene, 1, classes, 1);
    assert_float_equal(mean.ap, .7, 1e-9);
    assert_float_equal(mean.ap50, 1, 1e-9);
    boxes[0].height = 60;
    mean = compute(&scene, 1, classes, 1);
    assert_float_equal(mean.ap75, 0, 0);
}

/* Boxes inside a crowd and on difficult truths count neither way; a second hit is a miss. */
static void test_ap_ignored(void **state)
{
    (void)state;
    struct lbw_truth truths[] = {truth(0, 0, 0, 400, 400), truth(0, 500, 0, 100, 100),
                                 truth(0, 700, 0, 100, 100)};
    truths[0].is_crowd = true;
    truths[2].is_difficult = true;
    struct lbw_box boxes[] = {box(0, .9f, 10, 10, 50, 50), box(0, .8f, 90, 90, 50, 50),
                              box(0, .7f, 700, 0, 100, 100), box(0, .6f, 500, 0, 100, 100),
                              box(0, .5f, 500, 0, 100, 100)};
    struct lbw_scene scene = {truths, 3, boxes, 5};
    struct lbw_ap classes[1], mean = compute(&scene, 1, classes, 1);
    assert_float_equal(mean.ap, 1, 1e-12);
    assert_int_equal(mean.num_truths, 1);
    /* VOC knows no crowds by their inside, so the first two are misses there. */
    assert_float_equal(mean.voc_all, 1. / 3, 1e-12);

    struct lbw_scene wrong_order = {truths, 3, boxes, 5};
    boxes[4].score = .95f;
    boxes[4].x = 505; /* takes the truth at .50 … .90, leaves nothing for the better one */
    mean = compute(&wrong_order, 1, classes, 1);
    assert_float_equal(mean.ap50, 1, 1e-12);
    assert_true(mean.ap < 1);
}

static void test_ap_empty(void **state)
{
    (void)state;
    struct lbw_truth truths[] = {truth(0, 0, 0, 10, 10), truth(7, 0, 0, 10, 10)};
    struct lbw_scene scene = {truths, 2, NULL, 0};
    struct lbw_ap classes[1], mean = compute(&scene, 1, classes, 1);
    assert_float_equal(mean.ap, 0, 0);
    assert_float_equal(mean.voc_11, 0, 0);
    assert_int_equal(mean.num_truths, 1); /* class 7 is outside */
    mean = compute(NULL, 0, classes, 1);
    assert_float_equal(mean.ap, -1, 0);
}

/* A folder of fixtures; files are put there by put(). */
static char folder[] = "/tmp/lbw-eval-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static int turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void make_pictures(void)
{
    mkdir(in_folder("pictures"), 0777);
    put("pictures/b.jpg", "");
    put("pictures/a.JPG", "");
    put("pictures/c.png", "");
    put("pictures/notes.txt", "");
}

static enum lbw_status open_labels(struct lbw_dataset **out, const char *labels,
                                   const char *const *names, size_t num_names,
                                   struct lbw_error *err)
{
    const char *pictures = in_folder("pictures");
    struct lbw_dataset_params params = {pictures, labels, names, num_names, 0};
    *out = NULL;
    return lbw_dataset_open(out, &params, err);
}

static void test_coco(void **state)
{
    (void)state;
    make_pictures();
    put("labels.json",
        "{\"images\": [{\"id\": 9, \"file_name\": \"val/a.JPG\"},"
        " {\"id\": 4, \"file_name\": \"c.png\"}, {\"id\": 5, \"file_name\": \"x.jpg\"}],"
        " \"categories\": [{\"id\": 90, \"name\": \"traffic light\"},"
        " {\"id\": 3, \"name\": \"dog\"}],"
        " \"annotations\": [{\"image_id\": 9, \"category_id\": 90, \"bbox\": [1, 2, 3.5, 4],"
        " \"area\": 7, \"iscrowd\": 1}, {\"image_id\": 5, \"category_id\": 3,"
        " \"bbox\": [1, 2, 3, 4]}, {\"image_id\": 9, \"category_id\": 3,"
        " \"bbox\": [1, 2, 3, 4]}]}");
    struct lbw_dataset *d;
    struct lbw_error err;
    assert_int_equal(open_labels(&d, in_folder("labels.json"), NULL, 0, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 2);
    assert_string_equal(d->pictures[0].name, "c.png"); /* by id */
    assert_int_equal(d->pictures[0].num_truths, 0);
    assert_int_equal(d->pictures[1].num_truths, 2);
    const struct lbw_truth *t = d->pictures[1].truths;
    assert_int_equal(t[0].class_index, 1); /* by category id: dog, traffic light */
    assert_int_equal(lbw_dataset_category(d, 1), 90);
    assert_true(t[0].is_crowd && !t[1].is_crowd);
    assert_float_equal(t[0].area, 7, 0);
    assert_float_equal(t[1].area, 12, 0);
    assert_int_equal(d->num_unlabelled, 1); /* b.jpg */
    assert_int_equal(lbw_dataset_num_notes(d), 2);
    assert_non_null(strstr(lbw_dataset_note(d, 0), "x.jpg"));
    assert_non_null(strstr(lbw_dataset_note(d, 1), "b.jpg"));
    lbw_dataset_close(&d);

    const char *const names[] = {"cat", "Traffic-Light", "dog"};
    assert_int_equal(open_labels(&d, in_folder("labels.json"), names, 3, &err), LBW_OK);
    assert_int_equal(d->pictures[1].truths[0].class_index, 1);
    lbw_dataset_close(&d);
    assert_int_equal(open_labels(&d, in_folder("labels.json"), names, 2, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "class 'dog' is not one of the model's 2 classes"));
}

/* Images of several folders in one file: those of this folder, and no two for one image. */
static void test_coco_folders(void **state)
{
    (void)state;
    make_pictures();
    static const struct {
        const char *first, *second;
        int64_t id; /* whose labels c.png gets; 0: refused */
    } cases[] = {
        {"train/c.png", "pictures/c.png", 2}, {"pictures/c.png", "train/c.png", 1},
        {"train/c.png", "c.png", 2},          {"train/c.png", "x.png", 1},
        {"train/c.png", "val/c.png", 0},      {"c.png", "c.png", 0},
        {"c.png", "pictures/c.png", 2},       {"other-pictures/c.png", "c.png", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[500], ids[80];
        struct lbw_dataset *d;
        struct lbw_error err = {0};
        snprintf(text, sizeof text,
                 "{\"images\": [{\"id\": 1, \"file_name\": \"%s\"}, {\"id\": 2, "
                 "\"file_name\": \"%s\"}], \"categories\": [{\"id\": 1, \"name\": \"dog\"}],"
                 "\"annotations\": [{\"image_id\": 1, \"category_id\": 1, \"bbox\": [1,1,9,9]},"
                 "{\"image_id\": 2, \"category_id\": 1, \"bbox\": [2,1,9,9]}]}",
                 cases[i].first, cases[i].second);
        put("folders.json", text);
        if (!cases[i].id) {
            snprintf(ids, sizeof ids, "images 1 ('%s') and 2 ('%s') are both the file",
                     cases[i].first, cases[i].second);
            assert_int_equal(open_labels(&d, in_folder("folders.json"), NULL, 0, &err),
                             LBW_ERR_FORMAT);
            if (!strstr(err.message, ids) || !strstr(err.message, "/c.png"))
                fail_msg("%s", err.message);
            continue;
        }
        assert_int_equal(open_labels(&d, in_folder("folders.json"), NULL, 0, &err), LBW_OK);
        assert_int_equal(lbw_dataset_num_images(d), 1);
        assert_int_equal(d->pictures[0].id, cases[i].id);
        assert_int_equal(d->pictures[0].num_truths, 1);
        assert_float_equal(d->pictures[0].truths[0].x, (double)cases[i].id, 0);
        assert_non_null(strstr(lbw_dataset_note(d, 0), "1 labelled images are not"));
        lbw_dataset_close(&d);
    }
}

static void test_coco_broken(void **state)
{
    (void)state;
    make_pictures();
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{", "line 1"},
        {"circle\nsquare\n", "broken.json: not COCO JSON (line 1: '[' or '{' expected near "
                             "'circle'); for VOC or YOLO labels give their folder"},
        {"[]", "missing list 'categories'"},
        {"{\"categories\": [{\"id\": \"1\", \"name\": \"a\"}]}", "'id' is not an integer"},
        {"{\"categories\": [], \"images\": [{\"id\": 1, \"file_name\": \"a.JPG\"}],"
         "\"annotations\": [{\"image_id\": 2, \"category_id\": 1}]}",
         "no image has the id 2"},
        {"{\"categories\": [{\"id\": 1, \"name\": \"a\"}],"
         "\"images\": [{\"id\": 1, \"file_name\": \"a.JPG\"}], \"annotations\":"
         "[{\"image_id\": 1, \"category_id\": 1, \"bbox\": [1, 2, 3]}]}",
         "'bbox' is not"},
        {"{\"categories\": [], \"images\": [{\"id\": 1, \"file_name\": \"z.jpg\"}],"
         "\"annotations\": []}",
         "no labels for any of the 3 images"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_dataset *d;
        struct lbw_error err = {0};
        put("broken.json", cases[i].text);
        assert_int_not_equal(open_labels(&d, in_folder("broken.json"), NULL, 0, &err), LBW_OK);
        assert_null(d);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%zu: %s", i, err.message);
    }
}

static void test_voc(void **state)
{
    (void)state;
    make_pictures();
    mkdir(in_folder("voc"), 0777);
    put("voc/a.xml",
        "<?xml version='1.0'?><annotation><size><width>50</width></size>"
        "<object><name> dog </name><difficult>1</difficult>"
        "<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>10</xmax><ymax>30</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax>"
        "<ymax>3</ymax></bndbox></part></object>"
        "<object><name>aeroplane</name><part><name>x</name></part><bndbox><xmax>2</xmax>"
        "<xmin>1</xmin><ymax>2</ymax><ymin>1</ymin></bndbox></object></annotation>");
    const char *const names[] = {"airplane", "dog"};
    struct lbw_dataset *d;
    struct lbw_error err;
    assert_int_equal(open_labels(&d, in_folder("voc"), names, 2, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 1);
    assert_int_equal(d->pictures[0].num_truths, 2);
    const struct lbw_truth *t = d->pictures[0].truths;
    assert_int_equal(t[0].class_index, 1);
    assert_true(t[0].is_difficult && !t[1].is_difficult);
    assert_float_equal(t[0].x, 0, 0);
    assert_float_equal(t[0].width, 10, 0);
    assert_float_equal(t[0].y, 10, 0);
    assert_float_equal(t[0].height, 20, 0);
    assert_int_equal(t[1].class_index, 0);
    lbw_dataset_close(&d);

    assert_int_equal(open_labels(&d, in_folder("voc"), NULL, 0, &err), LBW_ERR_ARGUMENT);
    assert_int_equal(open_labels(&d, in_folder("voc"), names, 1, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "a.xml: line 1: class 'dog'"));
    put("voc/c.xml", "<annotation><object><name>dog</name></object></annotation>");
    assert_int_equal(open_labels(&d, in_folder("voc"), names, 2, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "c.xml: line 1: object 'dog' has no bndbox"));
    put("voc/c.xml", "<annotation><object>");
    assert_int_equal(open_labels(&d, in_folder("voc"), names, 2, &err), LBW_ERR_FORMAT);
    put("voc/c.xml", "<svg/>");
    assert_int_equal(open_labels(&d, in_folder("voc"), names, 2, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "not VOC"));
}

static void test_yolo(void **state)
{
    (void)state;
    make_pictures();
    mkdir(in_folder("yolo"), 0777);
    put("yolo/a.txt", "1 .5 .5 .2 .4\n\n 0 0.1 0.1 0.1 0.1 \r\n");
    put("yolo/b.txt", "");
    struct lbw_dataset *d;
    struct lbw_error err;
    assert_int_equal(open_labels(&d, in_folder("yolo"), NULL, 0, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 2);
    assert_int_equal(d->num_classes, 2);
    assert_true(d->pictures[0].is_relative);
    assert_float_equal(d->pictures[0].truths[0].x, .4, 1e-12);
    assert_float_equal(d->pictures[0].truths[0].height, .4, 1e-12);
    assert_int_equal(d->pictures[1].num_truths, 0);
    lbw_dataset_close(&d);

    static const char *const broken[][2] = {
        {"0 .5 .5 .5\n", "c.txt: line 1: not 'class"},
        {"\n5 .5 .5 .5 .5", "line 2: class 5, but the model has only 1"},
        {"0 50 50 20 20", "fractions"},
        {"0 .1 .1 .1 .1 .2 .2", "more than five"},
        {"-1 .1 .1 .1 .1", "not a number from 0 up"},
    };
    const char *const names[] = {"thing"};
    put("yolo/a.txt", "");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put("yolo/c.txt", broken[i][0]);
        assert_int_not_equal(open_labels(&d, in_folder("yolo"), names, 1, &err), LBW_OK);
        if (!strstr(err.message, broken[i][1]))
            fail_msg("%zu: %s", i, err.message);
    }
}

/* One stray file does not make the folder another format's. */
static void test_mixed_labels(void **state)
{
    (void)state;
    make_pictures();
    mkdir(in_folder("mixed"), 0777);
    put("mixed/a.txt", "1 .5 .5 .2 .4\n");
    put("mixed/b.txt", "1 .5 .5 .2 .4\n");
    put("mixed/notes.xml", "<notes/>"); /* of no image */
    struct lbw_dataset *d;
    struct lbw_error err;
    assert_int_equal(open_labels(&d, in_folder("mixed"), NULL, 0, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 2);
    assert_int_equal(lbw_dataset_num_notes(d), 1); /* c.png has none */
    lbw_dataset_close(&d);
    put("mixed/a.xml", "<annotation/>");
    assert_int_equal(open_labels(&d, in_folder("mixed"), NULL, 0, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 2);
    assert_non_null(strstr(lbw_dataset_note(d, 0), "the YOLO txt of 2 images; the VOC xml of "
                                                   "1 is not read"));
    lbw_dataset_close(&d);
}

static void test_folders(void **state)
{
    (void)state;
    make_pictures();
    struct lbw_dataset *d = NULL;
    struct lbw_error err;
    assert_int_equal(open_labels(&d, NULL, NULL, 0, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 3);
    assert_string_equal(lbw_dataset_image(d, 0) + strlen(folder), "/pictures/a.JPG");
    lbw_dataset_close(&d);
    mkdir(in_folder("empty"), 0777);
    assert_int_equal(open_labels(&d, in_folder("empty"), NULL, 0, &err), LBW_ERR_ARGUMENT);
    assert_int_equal(open_labels(&d, in_folder("absent"), NULL, 0, &err), LBW_ERR_IO);
    mkfifo(in_folder("empty/pipe.jpg"), 0600); /* no image, and not waited for */
    struct lbw_dataset_params params = {.images = in_folder("empty")};
    assert_int_equal(lbw_dataset_open(&d, &params, &err), LBW_ERR_ARGUMENT);
    params.images = in_folder("absent");
    assert_int_equal(lbw_dataset_open(&d, &params, &err), LBW_ERR_IO);
    params = (struct lbw_dataset_params){.images = in_folder("pictures"), .max_images = 2};
    assert_int_equal(lbw_dataset_open(&d, &params, &err), LBW_OK);
    assert_int_equal(lbw_dataset_num_images(d), 2);
    lbw_dataset_close(&d);
}

/* Shares by Wilson's formula at z = 1, worked out by hand. */
static void test_at_least(void **state)
{
    (void)state;
    static const struct {
        size_t num, lost;
        double least;
    } cases[] = {{64, 0, 64. / 65}, {99, 0, .99}, {505, 7, .9799}, {1, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct lbw_check_result result = {
            .is_of_boxes = true, .num_boxes = cases[i].num, .num_lost = cases[i].lost};
        assert_true(fabs(lbw_check_at_least(&result) - cases[i].least) < 1e-4);
    }
    assert_true(isnan(lbw_check_at_least(&(struct lbw_check_result){.num_boxes = 4})));
}

/* The loss to try next: less where more boxes were lost; 0: no other try. */
static void test_keep_next(void **state)
{
    (void)state;
    static const struct {
        size_t num, lost;
        double loss, next;
    } cases[] = {{100, 0, 8, 0},     /* nothing lost */
                 {10000, 150, 8, 0}, /* sure */
                 {10000, 195, 8, 4}, /* not sure */
                 {100, 7, 8, 4},        {100, 9, 8, 2},      {100, 17, 8, .5},
                 {100, 99, 8, 1. / 32}, {100, 9, 1. / 32, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct lbw_check_result result = {
            .is_of_boxes = true, .num_boxes = cases[i].num, .num_lost = cases[i].lost};
        double loss = cases[i].loss;
        bool goes_on = lbw_keep_next(&loss, &result, .98);
        assert_int_equal(goes_on, cases[i].next > 0);
        assert_true(loss == (goes_on ? cases[i].next : cases[i].loss));
    }
    double loss = 8;
    assert_false(lbw_keep_next(&loss, &(struct lbw_check_result){.num_lost = 1}, .98));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iou),           cmocka_unit_test(test_suppress),
        cmocka_unit_test(test_pair),          cmocka_unit_test(test_ap_by_hand),
        cmocka_unit_test(test_ap_thresholds), cmocka_unit_test(test_ap_ignored),
        cmocka_unit_test(test_ap_empty),      cmocka_unit_test(test_coco),
        cmocka_unit_test(test_coco_folders),  cmocka_unit_test(test_coco_broken),
        cmocka_unit_test(test_voc),           cmocka_unit_test(test_yolo),
        cmocka_unit_test(test_folders),       cmocka_unit_test(test_mixed_labels),
        cmocka_unit_test(test_at_least),      cmocka_unit_test(test_keep_next),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
