/* SPDX-License-Identifier: MIT */
/* COCO instances: one JSON file with images, annotations and categories. */
#include "eval/dataset.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strmap.h"

/* An id in the file (of an image or category), and its index. */
struct id_entry {
    int64_t id;
    size_t place;
    const char *name; /* categories */
};

/* The image of the file that is matched to an image. */
struct claim {
    struct id_entry *image;
    const char *name;
    size_t fit; /* of the name with its folders, if the image's path ends in it; else 0 */
};

struct coco {
    struct lbw_dataset *dataset;
    const char *path;
    json_t *root;
    struct id_entry *images; /* sorted by id; place: in dataset->images */
    size_t num_images;
    struct id_entry *categories; /* sorted by id */
    size_t num_categories;
    size_t num_absent;        /* images of the file that are not in the folder */
    const char *first_absent; /* owned by root */
};

static int by_id(const void *a, const void *b)
{
    const struct id_entry *l = a, *r = b;
    return l->id < r->id ? -1 : l->id > r->id;
}

static const struct id_entry *find_id(const struct id_entry *entries, size_t num, int64_t id)
{
    struct id_entry key = {.id = id};
    return num ? bsearch(&key, entries, num, sizeof *entries, by_id) : NULL;
}

static enum lbw_status list_member(json_t **out, const struct coco *coco, const char *key,
                                   struct lbw_error *err)
{
    json_t *list = json_object_get(coco->root, key);
    if (!json_is_array(list))
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: missing list '%s': not COCO labels",
                        coco->path, key);
    *out = list;
    return LBW_OK;
}

static enum lbw_status id_member(int64_t *out, const struct coco *coco, const char *list,
                                 size_t i, const json_t *object, const char *key,
                                 struct lbw_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: %s[%zu]: '%s' is not an integer", coco->path,
                        list, i, key);
    *out = json_integer_value(value);
    return LBW_OK;
}

static enum lbw_status text_member(const char **out, const struct coco *coco, const char *list,
                                   size_t i, const json_t *object, const char *key,
                                   struct lbw_error *err)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: %s[%zu]: '%s' is not a string", coco->path,
                        list, i, key);
    *out = text;
    return LBW_OK;
}

static enum lbw_status read_categories(struct coco *coco, struct lbw_error *err)
{
    json_t *list = NULL;
    LBW_TRY(list_member(&list, coco, "categories", err));
    size_t num = json_array_size(list);
    struct lbw_arena *arena = &coco->dataset->arena;
    coco->categories = lbw_arena_calloc(arena, num, sizeof *coco->categories);
    if (!coco->categories)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++) {
        const json_t *object = json_array_get(list, i);
        struct id_entry *entry = &coco->categories[i];
        LBW_TRY(id_member(&entry->id, coco, "categories", i, object, "id", err));
        LBW_TRY(text_member(&entry->name, coco, "categories", i, object, "name", err));
    }
    coco->num_categories = num;
    if (num)
        qsort(coco->categories, num, sizeof *coco->categories, by_id);
    return LBW_OK;
}

/* If the model names no classes, the categories are its classes, in the order of ids. */
static enum lbw_status take_names(struct coco *coco, struct lbw_error *err)
{
    struct lbw_dataset *dataset = coco->dataset;
    if (dataset->num_names)
        return LBW_OK;
    const char **names = lbw_arena_calloc(&dataset->arena, coco->num_categories, sizeof *names);
    if (!names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < coco->num_categories; i++)
        if (!(names[i] = lbw_arena_strdup(&dataset->arena, coco->categories[i].name)))
            return lbw_fail_memory(err);
    dataset->names = names;
    dataset->num_names = dataset->num_classes = coco->num_categories;
    return LBW_OK;
}

static enum lbw_status map_categories(struct coco *coco, struct lbw_error *err)
{
    struct lbw_dataset *dataset = coco->dataset;
    int64_t *ids = lbw_arena_calloc(&dataset->arena, dataset->num_names, sizeof *ids);
    if (!ids)
        return lbw_fail_memory(err);
    for (size_t c = 0; c < dataset->num_names; c++)
        ids[c] = -1;
    for (size_t i = 0; i < coco->num_categories; i++) {
        int c = lbw_dataset_class(dataset, coco->categories[i].name);
        if (c >= 0)
            ids[c] = coco->categories[i].id;
    }
    dataset->categories = ids;
    return LBW_OK;
}

static void leave_out(struct coco *coco, struct id_entry *image, const char *name)
{
    image->place = SIZE_MAX;
    if (coco->num_absent++ == 0)
        coco->first_absent = name;
}

static size_t fit_of(const char *path, const char *name)
{
    size_t length = strlen(path), end = strlen(name);
    bool is_end =
        length > end && path[length - end - 1] == '/' && !strcmp(path + length - end, name);
    return is_end ? end : 0;
}

/* Of images with the same file name, the image is the one that shares most folders. */
static enum lbw_status claim_picture(struct coco *coco, struct claim *claim,
                                     struct lbw_picture *picture, struct id_entry *image,
                                     const char *name, struct lbw_error *err)
{
    size_t fit = fit_of(picture->path, name);
    if (claim->image && claim->fit == fit)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "%s: images %lld ('%s') and %lld ('%s') are both the file %s",
                        coco->path, (long long)claim->image->id, claim->name,
                        (long long)image->id, name, picture->path);
    if (claim->fit > fit) {
        leave_out(coco, image, name);
        return LBW_OK;
    }
    if (claim->image)
        leave_out(coco, claim->image, claim->name);
    *claim = (struct claim){image, name, fit};
    image->place = (size_t)(picture - coco->dataset->pictures);
    picture->id = image->id;
    picture->is_labelled = true;
    return LBW_OK;
}

static enum lbw_status read_images(struct coco *coco, const struct lbw_strmap *pictures,
                                   struct lbw_error *err)
{
    json_t *list = NULL;
    LBW_TRY(list_member(&list, coco, "images", err));
    size_t num = json_array_size(list);
    struct lbw_dataset *dataset = coco->dataset;
    coco->images = lbw_arena_calloc(&dataset->arena, num, sizeof *coco->images);
    struct claim *claims =
        lbw_arena_calloc(&dataset->arena, dataset->num_pictures, sizeof *claims);
    if (!coco->images || !claims)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++) {
        const json_t *object = json_array_get(list, i);
        struct id_entry *entry = &coco->images[coco->num_images];
        const char *name = NULL;
        LBW_TRY(id_member(&entry->id, coco, "images", i, object, "id", err));
        LBW_TRY(text_member(&name, coco, "images", i, object, "file_name", err));
        const char *slash = strrchr(name, '/');
        struct lbw_picture *picture = lbw_strmap_get(pictures, slash ? slash + 1 : name);
        coco->num_images++;
        if (picture)
            LBW_TRY(claim_picture(coco, &claims[picture - dataset->pictures], picture, entry,
                                  name, err));
        else
            leave_out(coco, entry, name);
    }
    if (num)
        qsort(coco->images, num, sizeof *coco->images, by_id);
    return LBW_OK;
}

static enum lbw_status read_box(struct lbw_truth *out, const struct coco *coco, size_t i,
                                const json_t *object, struct lbw_error *err)
{
    const json_t *bbox = json_object_get(object, "bbox");
    double numbers[4];
    for (size_t k = 0; k < 4; k++) {
        const json_t *number = json_array_get(bbox, k);
        if (!json_is_number(number) || json_array_size(bbox) != 4)
            return lbw_fail(err, LBW_ERR_FORMAT,
                            "%s: annotations[%zu]: 'bbox' is not [x, y, width, height]",
                            coco->path, i);
        numbers[k] = json_number_value(number);
    }
    if (numbers[2] < 0 || numbers[3] < 0)
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: annotations[%zu]: a negative width or height",
                        coco->path, i);
    const json_t *area = json_object_get(object, "area");
    const json_t *crowd = json_object_get(object, "iscrowd");
    *out = (struct lbw_truth){
        .x = numbers[0],
        .y = numbers[1],
        .width = numbers[2],
        .height = numbers[3],
        .area = json_is_number(area) ? json_number_value(area) : numbers[2] * numbers[3],
        .is_crowd = json_is_true(crowd) || json_integer_value(crowd) != 0,
    };
    return LBW_OK;
}

/* One annotation: its truth and its image (NULL: not in the folder). */
static enum lbw_status read_annotation(struct lbw_truth *truth, struct lbw_picture **picture,
                                       const struct coco *coco, size_t i, const json_t *object,
                                       struct lbw_error *err)
{
    int64_t image_id = 0, category_id = 0;
    LBW_TRY(id_member(&image_id, coco, "annotations", i, object, "image_id", err));
    LBW_TRY(id_member(&category_id, coco, "annotations", i, object, "category_id", err));
    const struct id_entry *image = find_id(coco->images, coco->num_images, image_id);
    const struct id_entry *category =
        find_id(coco->categories, coco->num_categories, category_id);
    if (!image)
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: annotations[%zu]: no image has the id %lld",
                        coco->path, i, (long long)image_id);
    if (!category)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "%s: annotations[%zu]: no category has the id %lld", coco->path, i,
                        (long long)category_id);
    LBW_TRY(read_box(truth, coco, i, object, err));
    truth->class_index = lbw_dataset_class(coco->dataset, category->name);
    if (truth->class_index < 0)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "%s: class '%s' is not one of the model's %zu classes ('%s', …)",
                        coco->path, category->name, coco->dataset->num_names,
                        coco->dataset->names[0]);
    *picture = image->place == SIZE_MAX ? NULL : &coco->dataset->pictures[image->place];
    return LBW_OK;
}

/* Two passes over the list: count per image, then fill. */
static enum lbw_status read_annotations(struct coco *coco, struct lbw_error *err)
{
    json_t *list = NULL;
    LBW_TRY(list_member(&list, coco, "annotations", err));
    struct lbw_truth truth;
    struct lbw_picture *picture;
    const json_t *object;
    size_t i;
    json_array_foreach(list, i, object)
    {
        LBW_TRY(read_annotation(&truth, &picture, coco, i, object, err));
        if (picture)
            picture->num_truths++;
    }
    for (size_t k = 0; k < coco->dataset->num_pictures; k++) {
        picture = &coco->dataset->pictures[k];
        picture->truths = lbw_arena_calloc(&coco->dataset->arena, picture->num_truths,
                                           sizeof *picture->truths);
        if (!picture->truths)
            return lbw_fail_memory(err);
        picture->num_truths = 0;
    }
    json_array_foreach(list, i, object)
    {
        LBW_TRY(read_annotation(&truth, &picture, coco, i, object, err));
        if (picture)
            picture->truths[picture->num_truths++] = truth;
    }
    return LBW_OK;
}

static enum lbw_status fill(struct coco *coco, const struct lbw_strmap *pictures,
                            struct lbw_error *err)
{
    LBW_TRY(read_categories(coco, err));
    LBW_TRY(take_names(coco, err));
    LBW_TRY(map_categories(coco, err));
    LBW_TRY(read_images(coco, pictures, err));
    LBW_TRY(read_annotations(coco, err));
    if (coco->num_absent)
        return lbw_dataset_add_note(coco->dataset, err,
                                    "%s: %zu labelled images are not in the folder (%s)",
                                    coco->path, coco->num_absent, coco->first_absent);
    return LBW_OK;
}

enum lbw_status lbw_dataset_load_coco(struct lbw_dataset *dataset, const char *path,
                                      struct lbw_error *err)
{
    struct coco coco = {.dataset = dataset, .path = path};
    struct lbw_strmap pictures = {0};
    struct lbw_bytes bytes = {0};
    enum lbw_status status = lbw_bytes_read(&bytes, path, err);
    if (status != LBW_OK)
        goto out;
    json_error_t where;
    coco.root = json_loadb((const char *)bytes.data, bytes.size, 0, &where);
    if (!coco.root) {
        status = lbw_fail(
            err, LBW_ERR_FORMAT,
            "%s: not COCO JSON (line %d: %s); for VOC or YOLO labels give their folder", path,
            where.line, where.text);
        goto out;
    }
    for (size_t i = 0; i < dataset->num_pictures; i++)
        if (!lbw_strmap_put(&pictures, dataset->pictures[i].name, &dataset->pictures[i])) {
            status = lbw_fail_memory(err);
            goto out;
        }
    status = fill(&coco, &pictures, err);
out:
    json_decref(coco.root);
    lbw_strmap_release(&pictures);
    lbw_bytes_release(&bytes);
    return status;
}
