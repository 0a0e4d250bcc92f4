/* SPDX-License-Identifier: MIT */
/* The images of a folder, and their labels. */
#include "eval/dataset.h"

#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"

static const struct lbw_label_format formats[] = {
    {"COCO json", NULL, lbw_dataset_load_coco},
    {"VOC xml", ".xml", lbw_dataset_load_voc},
    {"YOLO txt", ".txt", lbw_dataset_load_yolo},
};

#define NUM_FORMATS (sizeof formats / sizeof *formats)

/* Other names of COCO classes. */
static const char *const aliases[][2] = {
    {"aeroplane", "airplane"},    {"diningtable", "dining table"},
    {"motorbike", "motorcycle"},  {"sofa", "couch"},
    {"tvmonitor", "tv"},          {"pottedplant", "potted plant"},
    {"hair drier", "hair dryer"},
};

static bool is_same_name(const char *a, const char *b)
{
    for (;;) {
        while (*a == ' ' || *a == '_' || *a == '-')
            a++;
        while (*b == ' ' || *b == '_' || *b == '-')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

static int find_class(const struct lbw_dataset *dataset, const char *name)
{
    for (size_t i = 0; i < dataset->num_names; i++)
        if (is_same_name(dataset->names[i], name))
            return (int)i;
    return -1;
}

int lbw_dataset_class(const struct lbw_dataset *dataset, const char *name)
{
    int found = find_class(dataset, name);
    for (size_t i = 0; found < 0 && i < sizeof aliases / sizeof *aliases; i++)
        for (int side = 0; found < 0 && side < 2; side++)
            if (is_same_name(name, aliases[i][side]))
                found = find_class(dataset, aliases[i][!side]);
    return found;
}

enum lbw_status lbw_dataset_add_note(struct lbw_dataset *dataset, struct lbw_error *err,
                                     const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t num = dataset->num_notes;
    const char **notes = lbw_arena_calloc(&dataset->arena, num + 1, sizeof *notes);
    char *copy = lbw_arena_strdup(&dataset->arena, text);
    if (!notes || !copy)
        return lbw_fail_memory(err);
    if (num)
        memcpy(notes, dataset->notes, num * sizeof *notes);
    notes[num] = copy;
    dataset->notes = notes;
    dataset->num_notes = num + 1;
    return LBW_OK;
}

char *lbw_dataset_label_path(struct lbw_dataset *dataset, const char *folder,
                             const struct lbw_picture *picture, const char *suffix)
{
    const char *dot = strrchr(picture->name, '.');
    int stem = dot ? (int)(dot - picture->name) : (int)strlen(picture->name);
    return lbw_arena_printf(&dataset->arena, "%s/%.*s%s", folder, stem, picture->name, suffix);
}

bool lbw_truths_add(struct lbw_truths *truths, const struct lbw_truth *truth)
{
    if (truths->num == truths->capacity) {
        size_t capacity = truths->capacity ? 2 * truths->capacity : 16;
        struct lbw_truth *items = realloc(truths->items, capacity * sizeof *items);
        if (!items)
            return false;
        truths->items = items;
        truths->capacity = capacity;
    }
    truths->items[truths->num++] = *truth;
    return true;
}

enum lbw_status lbw_truths_store(struct lbw_truths *truths, struct lbw_dataset *dataset,
                                 struct lbw_picture *picture, struct lbw_error *err)
{
    size_t size = truths->num * sizeof *truths->items;
    struct lbw_truth *items = lbw_arena_alloc(&dataset->arena, size);
    if (!items)
        return lbw_fail_memory(err);
    if (size)
        memcpy(items, truths->items, size);
    picture->truths = items;
    picture->num_truths = truths->num;
    picture->is_labelled = true;
    free(truths->items);
    *truths = (struct lbw_truths){0};
    return LBW_OK;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), suffix_length = strlen(suffix);
    return length > suffix_length && strcasecmp(name + length - suffix_length, suffix) == 0;
}

static bool is_picture(const char *name)
{
    return name[0] != '.' &&
           (has_suffix(name, ".jpg") || has_suffix(name, ".jpeg") || has_suffix(name, ".png"));
}

/* By bytes, as the order of a locale would give other results elsewhere. */
static int by_name(const void *a, const void *b)
{
    const struct lbw_picture *l = a, *r = b;
    return strcmp(l->name, r->name);
}

static enum lbw_status add_picture(struct lbw_dataset *dataset, const char *folder,
                                   const char *name, size_t *capacity, struct lbw_error *err)
{
    if (dataset->num_pictures == *capacity) {
        size_t larger = *capacity ? 2 * *capacity : 64;
        struct lbw_picture *pictures =
            lbw_arena_calloc(&dataset->arena, larger, sizeof *pictures);
        if (!pictures)
            return lbw_fail_memory(err);
        if (*capacity)
            memcpy(pictures, dataset->pictures, *capacity * sizeof *pictures);
        dataset->pictures = pictures;
        *capacity = larger;
    }
    size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] == '/' ? "" : "/";
    char *path = lbw_arena_printf(&dataset->arena, "%s%s%s", folder, slash, name);
    if (!path)
        return lbw_fail_memory(err);
    dataset->pictures[dataset->num_pictures++] =
        (struct lbw_picture){.path = path, .name = path + strlen(path) - strlen(name)};
    return LBW_OK;
}

static enum lbw_status list_pictures(struct lbw_dataset *dataset, const char *path,
                                     struct lbw_error *err)
{
    size_t capacity = 0;
    enum lbw_status status = LBW_OK;
    bool has_folders = false;
    DIR *folder = opendir(path);
    if (!folder)
        return lbw_fail_errno(err, "%s: cannot list the folder of images", path);
    for (struct dirent *entry; status == LBW_OK && (entry = readdir(folder));) {
        mode_t mode = lbw_entry_mode(folder, entry->d_name);
        has_folders = has_folders || (S_ISDIR(mode) && entry->d_name[0] != '.');
        bool is_file = !mode || S_ISREG(mode); /* opening a pipe would block */
        if (is_file && is_picture(entry->d_name))
            status = add_picture(dataset, path, entry->d_name, &capacity, err);
    }
    closedir(folder);
    if (status != LBW_OK)
        return status;
    if (!dataset->num_pictures)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: no .jpg, .jpeg or .png file%s", path,
                        has_folders ? "; subfolders are not searched" : "");
    qsort(dataset->pictures, dataset->num_pictures, sizeof *dataset->pictures, by_name);
    for (size_t i = 0; i < dataset->num_pictures; i++)
        dataset->pictures[i].id = (int64_t)i;
    return LBW_OK;
}

/* How many images have a file of this format. */
static enum lbw_status count_labels(size_t *out, struct lbw_dataset *dataset,
                                    const struct lbw_label_format *format, const char *folder,
                                    struct lbw_error *err)
{
    *out = 0;
    for (size_t i = 0; format->suffix && i < dataset->num_pictures; i++) {
        const char *path =
            lbw_dataset_label_path(dataset, folder, &dataset->pictures[i], format->suffix);
        if (!path)
            return lbw_fail_memory(err);
        *out += access(path, F_OK) == 0;
    }
    return LBW_OK;
}

/*
 * A folder may contain several formats: that of most images is taken, and the others are
 * noted.
 */
static enum lbw_status load_folder(struct lbw_dataset *dataset, const char *path,
                                   struct lbw_error *err)
{
    const struct lbw_label_format *best = NULL;
    size_t counts[NUM_FORMATS], most = 0;
    for (size_t i = 0; i < NUM_FORMATS; i++) {
        LBW_TRY(count_labels(&counts[i], dataset, &formats[i], path, err));
        if (counts[i] > most) {
            most = counts[i];
            best = &formats[i];
        }
    }
    if (!best)
        return lbw_fail(
            err, LBW_ERR_ARGUMENT,
            "%s: no labels in this folder: NAME.xml (VOC) or NAME.txt (YOLO) for an "
            "image NAME.jpg",
            path);
    for (size_t i = 0; i < NUM_FORMATS; i++)
        if (&formats[i] != best && counts[i])
            LBW_TRY(lbw_dataset_add_note(dataset, err,
                                         "%s: labels are the %s of %zu images; the %s of %zu "
                                         "is not read",
                                         path, best->name, most, formats[i].name, counts[i]));
    return best->load(dataset, path, err);
}

static enum lbw_status load_labels(struct lbw_dataset *dataset, const char *path,
                                   struct lbw_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return lbw_fail_errno(err, "%s: cannot read labels", path);
    if (!S_ISDIR(st.st_mode))
        return lbw_dataset_load_coco(dataset, path, err);
    return load_folder(dataset, path, err);
}

static int by_id(const void *a, const void *b)
{
    const struct lbw_picture *l = a, *r = b;
    return l->id < r->id ? -1 : l->id > r->id;
}

/* Images without labels are not counted as empty: nobody labelled them. */
static enum lbw_status drop_unlabelled(struct lbw_dataset *dataset, const char *labels,
                                       struct lbw_error *err)
{
    size_t kept = 0;
    const char *first = NULL;
    for (size_t i = 0; i < dataset->num_pictures; i++)
        if (dataset->pictures[i].is_labelled)
            dataset->pictures[kept++] = dataset->pictures[i];
        else if (!first)
            first = dataset->pictures[i].name;
    dataset->num_unlabelled = dataset->num_pictures - kept;
    dataset->num_pictures = kept;
    if (!kept)
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: no labels for any of the %zu images (%s)",
                        labels, dataset->num_unlabelled, first);
    if (dataset->num_unlabelled == 1)
        return lbw_dataset_add_note(dataset, err, "%s: no labels, left out", first);
    if (dataset->num_unlabelled)
        return lbw_dataset_add_note(dataset, err, "%s and %zu more images: no labels, left out",
                                    first, dataset->num_unlabelled - 1);
    return LBW_OK;
}

static enum lbw_status copy_names(struct lbw_dataset *dataset,
                                  const struct lbw_dataset_params *params,
                                  struct lbw_error *err)
{
    if (!params->num_names)
        return LBW_OK;
    const char **names = lbw_arena_calloc(&dataset->arena, params->num_names, sizeof *names);
    if (!names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < params->num_names; i++)
        LBW_TRY(lbw_check_given("name", params->names[i], err));
    for (size_t i = 0; i < params->num_names; i++)
        if (!(names[i] = lbw_arena_strdup(&dataset->arena, params->names[i])))
            return lbw_fail_memory(err);
    dataset->names = names;
    dataset->num_names = dataset->num_classes = params->num_names;
    return LBW_OK;
}

static enum lbw_status fill(struct lbw_dataset *dataset,
                            const struct lbw_dataset_params *params, struct lbw_error *err)
{
    LBW_TRY(copy_names(dataset, params, err));
    LBW_TRY(list_pictures(dataset, params->images, err));
    if (params->labels) {
        LBW_TRY(load_labels(dataset, params->labels, err));
        LBW_TRY(drop_unlabelled(dataset, params->labels, err));
        qsort(dataset->pictures, dataset->num_pictures, sizeof *dataset->pictures, by_id);
    }
    if (params->max_images && params->max_images < dataset->num_pictures)
        dataset->num_pictures = params->max_images;
    return LBW_OK;
}

enum lbw_status lbw_dataset_open(struct lbw_dataset **out,
                                 const struct lbw_dataset_params *params, struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("images", params ? params->images : NULL, err));
    LBW_TRY(lbw_check_list("names", params->names, params->num_names, err));
    struct lbw_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return lbw_fail_memory(err);
    enum lbw_status status = fill(dataset, params, err);
    if (status != LBW_OK)
        lbw_dataset_close(&dataset);
    else
        *out = dataset;
    return status;
}

void lbw_dataset_close(struct lbw_dataset **dataset)
{
    if (!*dataset)
        return;
    lbw_arena_release(&(*dataset)->arena);
    free(*dataset);
    *dataset = NULL;
}

size_t lbw_dataset_num_images(const struct lbw_dataset *dataset)
{
    return dataset->num_pictures;
}

const char *lbw_dataset_image(const struct lbw_dataset *dataset, size_t i)
{
    return i < dataset->num_pictures ? dataset->pictures[i].path : NULL;
}

int64_t lbw_dataset_category(const struct lbw_dataset *dataset, int class_index)
{
    bool is_known = dataset->categories && class_index >= 0 &&
                    (size_t)class_index < dataset->num_names &&
                    dataset->categories[class_index] >= 0;
    return is_known ? dataset->categories[class_index] : class_index;
}

size_t lbw_dataset_num_notes(const struct lbw_dataset *dataset)
{
    return dataset->num_notes;
}

const char *lbw_dataset_note(const struct lbw_dataset *dataset, size_t i)
{
    return i < dataset->num_notes ? dataset->notes[i] : NULL;
}
