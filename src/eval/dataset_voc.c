/* SPDX-License-Identifier: MIT */
/* Pascal VOC labels: NAME.xml for each image; corners are 1-based and inclusive. */
#include "eval/dataset.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define MAX_TEXT 128

/* The elements read of an object: at depth 3 (annotation/object/X) and in its bndbox. */
enum field {
    FIELD_NONE = 0,
    FIELD_NAME,
    FIELD_DIFFICULT,
    FIELD_XMIN,
    FIELD_YMIN,
    FIELD_XMAX,
    FIELD_YMAX,
    NUM_FIELDS,
};

static const struct {
    const char *parent, *name;
    int depth;
    enum field field;
} elements[] = {
    {"object", "name", 3, FIELD_NAME}, {"object", "difficult", 3, FIELD_DIFFICULT},
    {"bndbox", "xmin", 4, FIELD_XMIN}, {"bndbox", "ymin", 4, FIELD_YMIN},
    {"bndbox", "xmax", 4, FIELD_XMAX}, {"bndbox", "ymax", 4, FIELD_YMAX},
};

struct voc {
    XML_Parser parser;
    struct lbw_dataset *dataset;
    struct lbw_truths truths;
    struct lbw_error *err;
    enum lbw_status status;
    int depth;
    bool is_voc;           /* the root is <annotation> */
    bool is_in_object;     /* below annotation/object */
    char parent[MAX_TEXT]; /* of the current element, up to depth 3 */
    enum field field;
    char text[NUM_FIELDS][MAX_TEXT];
};

static void stop(struct voc *voc, enum lbw_status status)
{
    voc->status = status;
    XML_StopParser(voc->parser, XML_FALSE);
}

static void copy_text(char *out, const char *text)
{
    size_t length = strnlen(text, MAX_TEXT - 1);
    memcpy(out, text, length);
    out[length] = '\0';
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct voc *voc = user;
    voc->depth++;
    voc->field = FIELD_NONE;
    if (voc->depth == 1)
        voc->is_voc = strcmp(name, "annotation") == 0;
    if (voc->depth == 2) {
        voc->is_in_object = strcmp(name, "object") == 0;
        memset(voc->text, 0, sizeof voc->text);
    }
    for (size_t i = 0; voc->is_in_object && i < sizeof elements / sizeof *elements; i++)
        if (voc->depth == elements[i].depth && strcmp(voc->parent, elements[i].parent) == 0 &&
            strcmp(name, elements[i].name) == 0)
            voc->field = elements[i].field;
    if (voc->field)
        voc->text[voc->field][0] = '\0';
    if (voc->depth <= 3)
        copy_text(voc->parent, name);
}

static void on_text(void *user, const XML_Char *text, int length)
{
    struct voc *voc = user;
    if (!voc->field)
        return;
    char *out = voc->text[voc->field];
    size_t used = strlen(out);
    size_t room = MAX_TEXT - 1 - used;
    size_t size = (size_t)length < room ? (size_t)length : room;
    memcpy(out + used, text, size);
    out[used + size] = '\0';
}

static char *trim(char *text)
{
    static const char space[] = " \t\r\n";
    text += strspn(text, space);
    size_t length = strlen(text);
    while (length && strchr(space, text[length - 1]))
        text[--length] = '\0';
    return text;
}

static bool number_of(double *out, char *text)
{
    char *end;
    text = trim(text);
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static enum lbw_status end_object(struct voc *voc)
{
    const char *name = trim(voc->text[FIELD_NAME]);
    double x0, y0, x1, y1, difficult = 0;
    if (!number_of(&x0, voc->text[FIELD_XMIN]) || !number_of(&y0, voc->text[FIELD_YMIN]) ||
        !number_of(&x1, voc->text[FIELD_XMAX]) || !number_of(&y1, voc->text[FIELD_YMAX]))
        return lbw_fail(voc->err, LBW_ERR_FORMAT,
                        "object '%s' has no bndbox of four numbers xmin ymin xmax ymax", name);
    if (x1 < x0 || y1 < y0)
        return lbw_fail(voc->err, LBW_ERR_FORMAT, "object '%s': the box is inside out", name);
    int class_index = lbw_dataset_class(voc->dataset, name);
    if (class_index < 0)
        return lbw_fail(voc->err, LBW_ERR_FORMAT,
                        "class '%s' is not one of the model's %zu classes ('%s', …)", name,
                        voc->dataset->num_names, voc->dataset->names[0]);
    if (voc->text[FIELD_DIFFICULT][0] && !number_of(&difficult, voc->text[FIELD_DIFFICULT]))
        return lbw_fail(voc->err, LBW_ERR_FORMAT, "object '%s': difficult is not a number",
                        name);
    /* Pixel number 1 covers [0, 1): the box extends to the far side of its last pixel. */
    struct lbw_truth truth = {.x = x0 - 1,
                              .y = y0 - 1,
                              .width = x1 - x0 + 1,
                              .height = y1 - y0 + 1,
                              .class_index = class_index,
                              .is_difficult = difficult != 0};
    truth.area = truth.width * truth.height;
    return lbw_truths_add(&voc->truths, &truth) ? LBW_OK : lbw_fail_memory(voc->err);
}

static void on_end(void *user, const XML_Char *name)
{
    struct voc *voc = user;
    (void)name;
    voc->field = FIELD_NONE;
    if (voc->status == LBW_OK && voc->depth == 2 && voc->is_in_object) {
        enum lbw_status status = end_object(voc);
        if (status != LBW_OK)
            stop(voc, status);
        voc->is_in_object = false;
    }
    /* Back at a child of the object: its parent is the object again. */
    voc->depth--;
    if (voc->depth == 2)
        copy_text(voc->parent, "object");
}

static enum lbw_status parse(struct voc *voc, const struct lbw_bytes *bytes)
{
    if (bytes->size > INT_MAX)
        return lbw_fail(voc->err, LBW_ERR_FORMAT, "too large for a label file");
    XML_SetUserData(voc->parser, voc);
    XML_SetElementHandler(voc->parser, on_start, on_end);
    XML_SetCharacterDataHandler(voc->parser, on_text);
    enum XML_Status parsed =
        XML_Parse(voc->parser, (const char *)bytes->data, (int)bytes->size, XML_TRUE);
    if (voc->status != LBW_OK)
        return lbw_within(voc->err, voc->status, "line %lu",
                          (unsigned long)XML_GetCurrentLineNumber(voc->parser));
    if (parsed != XML_STATUS_OK)
        return lbw_fail(voc->err, LBW_ERR_FORMAT, "line %lu: %s",
                        (unsigned long)XML_GetCurrentLineNumber(voc->parser),
                        XML_ErrorString(XML_GetErrorCode(voc->parser)));
    if (!voc->is_voc)
        return lbw_fail(voc->err, LBW_ERR_FORMAT, "no <annotation>: not VOC labels");
    return LBW_OK;
}

static enum lbw_status load_file(struct lbw_dataset *dataset, struct lbw_picture *picture,
                                 const char *path, struct lbw_error *err)
{
    struct voc voc = {.dataset = dataset, .err = err};
    struct lbw_bytes bytes = {0};
    enum lbw_status status;
    LBW_OR_OUT(lbw_bytes_read(&bytes, path, err));
    voc.parser = XML_ParserCreate(NULL);
    if (!voc.parser)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(lbw_within(err, parse(&voc, &bytes), "%s", path));
    LBW_OR_OUT(lbw_truths_store(&voc.truths, dataset, picture, err));
out:
    if (voc.parser)
        XML_ParserFree(voc.parser);
    free(voc.truths.items);
    lbw_bytes_release(&bytes);
    return status;
}

enum lbw_status lbw_dataset_load_voc(struct lbw_dataset *dataset, const char *path,
                                     struct lbw_error *err)
{
    if (!dataset->num_names)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s: VOC labels name their classes, but the profile does not name the "
                        "model's (give it \"labels\")",
                        path);
    for (size_t i = 0; i < dataset->num_pictures; i++) {
        char *file = lbw_dataset_label_path(dataset, path, &dataset->pictures[i], ".xml");
        if (!file)
            return lbw_fail_memory(err);
        if (access(file, F_OK) == 0)
            LBW_TRY(load_file(dataset, &dataset->pictures[i], file, err));
    }
    return LBW_OK;
}
