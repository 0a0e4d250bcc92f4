/* SPDX-License-Identifier: MIT */
/*
 * ap LABELS.json IMAGES DETECTIONS.json: the average precision of stored detections (COCO's
 * result format, at most nine digits a number) as json, for tests/eval/coco_ap.py.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/dataset.h"
#include "eval/map.h"

static double number_at(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static int class_of(const json_t *labels, json_int_t category_id)
{
    int lower = 0;
    const json_t *category;
    size_t i;
    json_array_foreach(json_object_get(labels, "categories"), i, category)
    {
        lower += json_integer_value(json_object_get(category, "id")) < category_id;
    }
    return lower;
}

/* Detections of image `id`, in the order of the file. */
static struct lbw_box *boxes_of(const json_t *labels, const json_t *detections, json_int_t id,
                                size_t *num)
{
    struct lbw_box *boxes = calloc(json_array_size(detections) + 1, sizeof *boxes);
    const json_t *item;
    size_t i;
    *num = 0;
    if (!boxes)
        abort();
    json_array_foreach(detections, i, item)
    {
        const json_t *bbox = json_object_get(item, "bbox");
        if (json_integer_value(json_object_get(item, "image_id")) != id)
            continue;
        json_int_t category = json_integer_value(json_object_get(item, "category_id"));
        boxes[(*num)++] =
            (struct lbw_box){(float)number_at(bbox, 0),
                             (float)number_at(bbox, 1),
                             (float)number_at(bbox, 2),
                             (float)number_at(bbox, 3),
                             (float)json_number_value(json_object_get(item, "score")),
                             class_of(labels, category)};
    }
    return boxes;
}

static void print(const struct lbw_ap *mean, const struct lbw_ap *classes, size_t num)
{
    printf("{\"ap\": [%.17g, %.17g, %.17g, %.17g, %.17g, %.17g], \"classes\": [", mean->ap,
           mean->ap50, mean->ap75, mean->ap_small, mean->ap_medium, mean->ap_large);
    for (size_t i = 0; i < num; i++)
        printf("%s%.17g", i ? ", " : "", classes[i].ap);
    printf("]}\n");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct lbw_dataset_params params = {.images = argv[2], .labels = argv[1]};
    struct lbw_dataset *dataset = NULL;
    struct lbw_error err;
    json_t *labels = json_load_file(argv[1], 0, NULL);
    json_t *detections = json_load_file(argv[3], 0, NULL);
    if (!labels || !detections || lbw_dataset_open(&dataset, &params, &err) != LBW_OK) {
        fprintf(stderr, "%s\n", dataset ? err.message : "cannot read the json files");
        return 1;
    }
    struct lbw_scene *scenes = calloc(dataset->num_pictures, sizeof *scenes);
    struct lbw_box **boxes = calloc(dataset->num_pictures, sizeof *boxes);
    struct lbw_ap mean, *classes = calloc(dataset->num_classes, sizeof *classes);
    for (size_t i = 0; i < dataset->num_pictures; i++) {
        const struct lbw_picture *p = &dataset->pictures[i];
        scenes[i] = (struct lbw_scene){.truths = p->truths, .num_truths = p->num_truths};
        boxes[i] = boxes_of(labels, detections, p->id, &scenes[i].num_boxes);
        scenes[i].boxes = boxes[i];
    }
    if (lbw_map_compute(&mean, classes, dataset->num_classes, scenes, dataset->num_pictures,
                        LBW_COCO_MAX_BOXES, 0, &err) != LBW_OK)
        return 1;
    print(&mean, classes, dataset->num_classes);
    for (size_t i = 0; i < dataset->num_pictures; i++)
        free(boxes[i]);
    free(boxes);
    free(scenes);
    free(classes);
    lbw_dataset_close(&dataset);
    json_decref(labels);
    json_decref(detections);
    return 0;
}
