/* SPDX-License-Identifier: MIT */
/* YOLO labels: NAME.txt for each image, one box per line. */
#include "eval/dataset.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* A number at *text, which is advanced past it. */
static bool take_number(double *out, char **text)
{
    char *end;
    *out = strtod(*text, &end);
    bool is_number = end != *text && isfinite(*out);
    *text = end;
    return is_number;
}

static enum lbw_status parse_line(struct lbw_truth *out, struct lbw_dataset *dataset,
                                  char *line, struct lbw_error *err)
{
    double class, cx, cy, width, height;
    if (!take_number(&class, &line) || !take_number(&cx, &line) || !take_number(&cy, &line) ||
        !take_number(&width, &line) || !take_number(&height, &line))
        return lbw_fail(err, LBW_ERR_FORMAT, "not 'class cx cy width height'");
    if (line[strspn(line, " \t\r")] != '\0')
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "more than five numbers (outlines are not supported)");
    if (class < 0 || class != floor(class) || class >= INT_MAX)
        return lbw_fail(err, LBW_ERR_FORMAT, "class %g is not a number from 0 up", class);
    if (width < 0 || height < 0 || width > 1.01 || height > 1.01)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "width and height must be fractions from 0 to 1, not pixels");
    if (dataset->num_names && class >= (double)dataset->num_names)
        return lbw_fail(err, LBW_ERR_FORMAT, "class %g, but the model has only %zu", class,
                        dataset->num_names);
    *out = (struct lbw_truth){.x = cx - width / 2,
                              .y = cy - height / 2,
                              .width = width,
                              .height = height,
                              .area = width * height,
                              .class_index = (int)class};
    if ((size_t) class >= dataset->num_classes)
        dataset->num_classes = (size_t) class + 1;
    return LBW_OK;
}

static enum lbw_status parse_lines(struct lbw_truths *truths, struct lbw_dataset *dataset,
                                   char *text, struct lbw_error *err)
{
    unsigned number = 0;
    for (char *next; text; text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = '\0';
        number++;
        if (text[strspn(text, " \t\r")] == '\0')
            continue;
        struct lbw_truth truth;
        enum lbw_status status = parse_line(&truth, dataset, text, err);
        if (status != LBW_OK)
            return lbw_within(err, status, "line %u", number);
        if (!lbw_truths_add(truths, &truth))
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

static enum lbw_status load_file(struct lbw_dataset *dataset, struct lbw_picture *picture,
                                 const char *path, struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    struct lbw_truths truths = {0};
    char *text = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_bytes_read(&bytes, path, err));
    text = malloc(bytes.size + 1);
    if (!text)
        LBW_OR_OUT(lbw_fail_memory(err));
    if (bytes.size)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    picture->is_relative = true;
    LBW_OR_OUT(lbw_within(err, parse_lines(&truths, dataset, text, err), "%s", path));
    LBW_OR_OUT(lbw_truths_store(&truths, dataset, picture, err));
out:
    free(text);
    free(truths.items);
    lbw_bytes_release(&bytes);
    return status;
}

enum lbw_status lbw_dataset_load_yolo(struct lbw_dataset *dataset, const char *path,
                                      struct lbw_error *err)
{
    for (size_t i = 0; i < dataset->num_pictures; i++) {
        char *file = lbw_dataset_label_path(dataset, path, &dataset->pictures[i], ".txt");
        if (!file)
            return lbw_fail_memory(err);
        if (access(file, F_OK) == 0)
            LBW_TRY(load_file(dataset, &dataset->pictures[i], file, err));
    }
    return LBW_OK;
}
