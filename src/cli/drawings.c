/* SPDX-License-Identifier: MIT */
/* Pairs images with drawings: no drawing overwrites an image or another drawing. */
#include "cli/drawings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/talk.h"

static int out_of_memory(void)
{
    lbw_talk("out of memory");
    return LBW_EXIT_FAILED;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool add_picture(struct lbw_drawings *drawings, const char *picture)
{
    if (drawings->num == drawings->capacity) {
        size_t capacity = drawings->capacity ? 2 * drawings->capacity : 16;
        struct lbw_drawing *items = realloc(drawings->items, capacity * sizeof *items);
        if (!items)
            return false;
        drawings->items = items;
        drawings->capacity = capacity;
    }
    drawings->items[drawings->num++] = (struct lbw_drawing){.picture = picture};
    return true;
}

static int add_folder(struct lbw_drawings *drawings, const char *path)
{
    struct lbw_error err = {0};
    const struct lbw_dataset_params params = {.images = path};
    struct lbw_dataset *folder = NULL;
    if (lbw_dataset_open(&folder, &params, &err) != LBW_OK)
        return lbw_explain(&err);
    drawings->folders[drawings->num_folders++] = folder;
    for (size_t i = 0; i < lbw_dataset_num_images(folder); i++)
        if (!add_picture(drawings, lbw_dataset_image(folder, i)))
            return out_of_memory();
    return LBW_EXIT_DONE;
}

static int list(struct lbw_drawings *drawings, char **arguments, size_t num)
{
    drawings->folders = calloc(num + 1, sizeof(struct lbw_dataset *));
    if (!drawings->folders)
        return out_of_memory();
    int code = LBW_EXIT_DONE;
    for (size_t i = 0; i < num && code == LBW_EXIT_DONE; i++)
        if (is_folder(arguments[i]))
            code = add_folder(drawings, arguments[i]);
        else if (!add_picture(drawings, arguments[i]))
            code = out_of_memory();
    return code;
}

static bool ends_in(const char *path, const char *end)
{
    size_t length = strlen(path), end_length = strlen(end);
    return length >= end_length && !strcasecmp(path + length - end_length, end);
}

/* Devices and pipes may have any name. */
static bool may_be_png(const char *path)
{
    struct stat st;
    return ends_in(path, ".png") || !strcmp(path, "-") ||
           (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

static int check_output(const struct lbw_drawings *drawings, const char *output)
{
    if (is_folder(output))
        return LBW_EXIT_DONE;
    if (ends_in(output, "/")) {
        lbw_talk("%s: no such folder", output);
        return LBW_EXIT_FAILED;
    }
    if (drawings->num > 1)
        return lbw_usage_error("detect", "several images need a folder for --output");
    if (!may_be_png(output))
        return lbw_usage_error("detect", "--output '%s': drawings are PNG, named *.png",
                               output);
    return LBW_EXIT_DONE;
}

/* The output itself, or NAME.png in that folder. */
static char *drawing_path(const char *output, const char *picture)
{
    if (!is_folder(output))
        return strdup(output);
    const char *slash = strrchr(picture, '/');
    const char *name = slash ? slash + 1 : picture;
    const char *dot = strrchr(name, '.');
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    const char *between = ends_in(output, "/") ? "" : "/";
    size_t size = strlen(output) + (size_t)stem + sizeof "/.png";
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s%.*s.png", output, between, stem, name);
    return path;
}

static int by_path(const void *a, const void *b)
{
    const struct lbw_drawing *const *l = a, *const *r = b;
    return strcmp((*l)->path, (*r)->path);
}

static int check_namesakes(const struct lbw_drawings *drawings)
{
    const struct lbw_drawing **sorted = calloc(drawings->num + 1, sizeof *sorted);
    if (!sorted)
        return out_of_memory();
    for (size_t i = 0; i < drawings->num; i++)
        sorted[i] = &drawings->items[i];
    qsort(sorted, drawings->num, sizeof *sorted, by_path);
    int code = LBW_EXIT_DONE;
    for (size_t i = 1; i < drawings->num && code == LBW_EXIT_DONE; i++)
        if (by_path(&sorted[i - 1], &sorted[i]) == 0)
            code = lbw_usage_error("detect", "%s would be the drawing of %s and of %s",
                                   sorted[i]->path, sorted[i - 1]->picture, sorted[i]->picture);
    free(sorted);
    return code;
}

/* A file, whatever its name. */
struct identity {
    dev_t device;
    ino_t number;
    const char *path;
};

static bool identify(struct identity *out, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    *out = (struct identity){st.st_dev, st.st_ino, path};
    return true;
}

static int by_identity(const void *a, const void *b)
{
    const struct identity *l = a, *r = b;
    if (l->device != r->device)
        return l->device < r->device ? -1 : 1;
    return l->number < r->number ? -1 : l->number > r->number;
}

static int check_replaced(const struct lbw_drawings *drawings, const char *const *models)
{
    struct identity *pictures = calloc(drawings->num + 2, sizeof *pictures), drawing;
    size_t num = 0;
    if (!pictures)
        return out_of_memory();
    for (size_t i = 0; i < drawings->num; i++)
        num += identify(&pictures[num], drawings->items[i].picture);
    for (size_t i = 0; i < 2; i++)
        num += models[i] && identify(&pictures[num], models[i]);
    qsort(pictures, num, sizeof *pictures, by_identity);
    int code = LBW_EXIT_DONE;
    for (size_t i = 0; i < drawings->num && code == LBW_EXIT_DONE; i++) {
        const char *path = drawings->items[i].path;
        const struct identity *lost = NULL;
        if (num && identify(&drawing, path))
            lost = bsearch(&drawing, pictures, num, sizeof *pictures, by_identity);
        if (lost) {
            lbw_talk("%s: the drawing would replace %s", path, lost->path);
            code = LBW_EXIT_FAILED;
        }
    }
    free(pictures);
    return code;
}

static int place(struct lbw_drawings *drawings, const char *const *models, const char *output)
{
    int code = check_output(drawings, output);
    if (code != LBW_EXIT_DONE)
        return code;
    for (size_t i = 0; i < drawings->num; i++)
        if (!(drawings->items[i].path = drawing_path(output, drawings->items[i].picture)))
            return out_of_memory();
    code = check_namesakes(drawings);
    return code == LBW_EXIT_DONE ? check_replaced(drawings, models) : code;
}

int lbw_drawings_init(struct lbw_drawings *out, char **arguments, size_t num,
                      const char *const *models, const char *output)
{
    struct lbw_drawings drawings = {0};
    int code = list(&drawings, arguments, num);
    if (code == LBW_EXIT_DONE && output)
        code = place(&drawings, models, output);
    if (code != LBW_EXIT_DONE)
        lbw_drawings_release(&drawings);
    else
        *out = drawings;
    return code;
}

void lbw_drawings_release(struct lbw_drawings *drawings)
{
    for (size_t i = 0; i < drawings->num; i++)
        free(drawings->items[i].path);
    free(drawings->items);
    for (size_t i = 0; i < drawings->num_folders; i++)
        lbw_dataset_close(&drawings->folders[i]);
    free(drawings->folders);
    *drawings = (struct lbw_drawings){0};
}
