/* SPDX-License-Identifier: MIT */
/* Profiles from JSON files: a table of keys, and one clear line for each error. */
#include <lbw/profile.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/file.h"

#define NUM(array)  (sizeof(array) / sizeof *(array))
#define MAX_LABELS  100000
#define MAX_CLASSES 100000

struct reader {
    struct lbw_profile profile;
    struct lbw_arena *arena; /* of the strings; becomes profile.storage */
    bool has_classes, has_labels;
    struct lbw_error *err;
};

struct key {
    const char *name;
    enum lbw_status (*read)(struct reader *reader, const struct key *key, const json_t *value);
    size_t offset; /* of the field in struct lbw_profile */
    double least, most;
};

static enum lbw_status wrong(struct reader *reader, const struct key *key, const char *expected)
{
    return lbw_fail(reader->err, LBW_ERR_FORMAT, "'%s': expected %s", key->name, expected);
}

static void *field(struct reader *reader, const struct key *key)
{
    return (char *)&reader->profile + key->offset;
}

static enum lbw_status read_string(struct reader *reader, const struct key *key,
                                   const json_t *value)
{
    if (!json_is_string(value) || !json_string_length(value))
        return wrong(reader, key, "a string");
    const char *copy = lbw_arena_strdup(reader->arena, json_string_value(value));
    if (!copy)
        return lbw_fail_memory(reader->err);
    memcpy(field(reader, key), &copy, sizeof copy);
    return LBW_OK;
}

static enum lbw_status number_in_range(double *out, struct reader *reader,
                                       const struct key *key, const json_t *value)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= key->least) || !(number <= key->most))
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "'%s': expected a number from %g to %g",
                        key->name, key->least, key->most);
    *out = number;
    return LBW_OK;
}

static enum lbw_status read_float(struct reader *reader, const struct key *key,
                                  const json_t *value)
{
    double number = 0;
    LBW_TRY(number_in_range(&number, reader, key, value));
    *(float *)field(reader, key) = (float)number;
    return LBW_OK;
}

static enum lbw_status read_int(struct reader *reader, const struct key *key,
                                const json_t *value)
{
    double number = 0;
    LBW_TRY(number_in_range(&number, reader, key, value));
    if (!json_is_integer(value))
        return wrong(reader, key, "a whole number");
    *(int *)field(reader, key) = (int)number;
    return LBW_OK;
}

static enum lbw_status read_classes(struct reader *reader, const struct key *key,
                                    const json_t *value)
{
    reader->has_classes = true;
    return read_int(reader, key, value);
}

static enum lbw_status read_bool(struct reader *reader, const struct key *key,
                                 const json_t *value)
{
    if (!json_is_boolean(value))
        return wrong(reader, key, "true or false");
    *(bool *)field(reader, key) = json_is_true(value);
    return LBW_OK;
}

/* A string, a number or a list of numbers, as text for lbw_preprocess_option(). */
static enum lbw_status read_option(struct reader *reader, const struct key *key,
                                   const json_t *value)
{
    char text[128] = "";
    size_t num = json_is_array(value) ? json_array_size(value) : 1;
    if (num < 1 || num > 3)
        return wrong(reader, key, "at most three numbers");
    const char *between = !strcmp(key->name, "size") ? "x" : " ";
    for (size_t i = 0; i < num; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        size_t used = strlen(text);
        if (json_is_number(item))
            snprintf(text + used, sizeof text - used, "%s%.9g", i ? between : "",
                     json_number_value(item));
        else if (json_is_string(item) && item == value)
            snprintf(text, sizeof text, "%s", json_string_value(item));
        else
            return wrong(reader, key, "a string, a number or a list of numbers");
    }
    enum lbw_status status =
        lbw_preprocess_option(&reader->profile.preprocess, key->name, text, reader->err);
    if (status != LBW_OK && reader->err)
        reader->err->status = LBW_ERR_FORMAT;
    return status != LBW_OK ? LBW_ERR_FORMAT : LBW_OK;
}

static enum lbw_status read_strides(struct reader *reader, const struct key *key,
                                    const json_t *value)
{
    size_t num = json_array_size(value);
    if (!json_is_array(value) || num < 1 || num > LBW_MAX_STRIDES)
        return wrong(reader, key, "one to eight whole numbers in a list");
    for (size_t i = 0; i < num; i++) {
        double number = 0;
        const json_t *item = json_array_get(value, i);
        LBW_TRY(number_in_range(&number, reader, key, item));
        if (!json_is_integer(item))
            return wrong(reader, key, "one to eight whole numbers in a list");
        reader->profile.strides[i] = (int)number;
    }
    reader->profile.num_strides = (int)num;
    return LBW_OK;
}

static enum lbw_status read_labels(struct reader *reader, const struct key *key,
                                   const json_t *value)
{
    size_t num = json_array_size(value);
    if (!json_is_array(value) || num < 1 || num > MAX_LABELS)
        return wrong(reader, key, "strings in a list");
    const char **labels = lbw_arena_calloc(reader->arena, num, sizeof *labels);
    if (!labels)
        return lbw_fail_memory(reader->err);
    for (size_t i = 0; i < num; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item))
            return wrong(reader, key, "strings in a list");
        labels[i] = lbw_arena_strdup(reader->arena, json_string_value(item));
        if (!labels[i])
            return lbw_fail_memory(reader->err);
    }
    reader->profile.labels = labels;
    reader->profile.num_labels = num;
    reader->has_labels = true;
    return LBW_OK;
}

/* One number for each stride. */
static enum lbw_status read_spread(struct reader *reader, const struct key *key,
                                   const json_t *value)
{
    size_t num = json_array_size(value);
    if (!json_is_array(value) || num < 1 || num > LBW_MAX_STRIDES)
        return wrong(reader, key, "one to eight numbers in a list");
    for (size_t i = 0; i < num; i++) {
        double number = 0;
        LBW_TRY(number_in_range(&number, reader, key, json_array_get(value, i)));
        reader->profile.spread[i] = (float)number;
    }
    return LBW_OK;
}

static enum lbw_status read_variance(struct reader *reader, const struct key *key,
                                     const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) != 2)
        return wrong(reader, key, "two numbers in a list");
    double pair[2] = {0};
    for (size_t i = 0; i < 2; i++)
        LBW_TRY(number_in_range(&pair[i], reader, key, json_array_get(value, i)));
    reader->profile.variance[0] = (float)pair[0];
    reader->profile.variance[1] = (float)pair[1];
    return LBW_OK;
}

/* A list for each stride of [width, height], all of the same length. */
static enum lbw_status read_anchors(struct reader *reader, const struct key *key,
                                    const json_t *value)
{
    static const char expected[] = "a list for each stride of one to eight [width, height], "
                                   "as many in each";
    size_t strides = json_array_size(value);
    size_t num = json_array_size(json_array_get(value, 0));
    if (strides < 1 || strides > LBW_MAX_STRIDES || num < 1 || num > LBW_MAX_ANCHORS)
        return wrong(reader, key, expected);
    struct lbw_profile *profile = &reader->profile;
    memset(profile->anchors, 0, sizeof profile->anchors);
    for (size_t i = 0; i < strides * num; i++) {
        const json_t *list = json_array_get(value, i / num);
        const json_t *pair = json_array_get(list, i % num);
        double width = 0, height = 0;
        if (json_array_size(list) != num || json_array_size(pair) != 2)
            return wrong(reader, key, expected);
        LBW_TRY(number_in_range(&width, reader, key, json_array_get(pair, 0)));
        LBW_TRY(number_in_range(&height, reader, key, json_array_get(pair, 1)));
        profile->anchors[i / num][i % num] = (struct lbw_anchor){(float)width, (float)height};
    }
    profile->num_anchors = (int)num;
    return LBW_OK;
}

static enum lbw_status read_box_order(struct reader *reader, const struct key *key,
                                      const json_t *value)
{
    static const char *const words[] = {
        [LBW_BOX_XYXY] = "xyxy", [LBW_BOX_YXYX] = "yxyx", [LBW_BOX_CXCYWH] = "cxcywh"};
    for (size_t i = 0; json_is_string(value) && i < NUM(words); i++)
        if (!strcmp(words[i], json_string_value(value))) {
            reader->profile.box_order = (enum lbw_box_order)i;
            return LBW_OK;
        }
    return wrong(reader, key, "xyxy, yxyx or cxcywh");
}

/* choose_base() handles "extends" and "family" before all others. */
static enum lbw_status read_base(struct reader *reader, const struct key *key,
                                 const json_t *value)
{
    return json_is_string(value) ? LBW_OK : wrong(reader, key, "a string");
}

#define FIELD(name) offsetof(struct lbw_profile, name)

static const struct key keys[] = {
    {"name", read_string, FIELD(name)},
    {"description", read_string, FIELD(description)},
    {"extends", read_base},
    {"family", read_base},
    {"size", read_option},
    {"resize", read_option},
    {"color", read_option},
    {"layout", read_option},
    {"pad", read_option},
    {"mean", read_option},
    {"std", read_option},
    {"multiple", read_option},
    {"strides", read_strides, 0, 1, 4096},
    {"classes", read_classes, FIELD(num_classes), 0, MAX_CLASSES},
    {"labels", read_labels},
    {"score", read_float, FIELD(score), 0, 1},
    {"nms", read_float, FIELD(nms), 0, 1},
    {"class_agnostic", read_bool, FIELD(class_agnostic)},
    {"background", read_int, FIELD(background), -1, MAX_CLASSES},
    {"max_boxes", read_int, FIELD(max_boxes), 1, 1000000},
    {"objectness_power", read_float, FIELD(objectness_power), 0, 1},
    {"variance", read_variance, 0, 1e-6, 1e6},
    {"box_order", read_box_order},
    {"normalized", read_bool, FIELD(normalized)},
    {"anchors", read_anchors, 0, 1e-6, 1e6},
    {"spread", read_spread, 0, 1, 4},
    {"extra", read_int, FIELD(num_extra), 0, MAX_CLASSES},
};

static enum lbw_status choose_base(struct reader *reader, const json_t *root)
{
    const char *extends = json_string_value(json_object_get(root, "extends"));
    const char *family = json_string_value(json_object_get(root, "family"));
    if (!extends && !family)
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "needs 'family' or 'extends', a string");
    const struct lbw_profile *base = lbw_profile_by_name(extends ? extends : family);
    if (!base || (!extends && strcmp(lbw_family_name(base->family), family)))
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "'%s': no %s '%s'",
                        extends ? "extends" : "family", extends ? "profile" : "family",
                        extends ? extends : family);
    if (extends && family && strcmp(lbw_family_name(base->family), family))
        return lbw_fail(reader->err, LBW_ERR_FORMAT,
                        "'family': '%s', but profile '%s' is of family '%s'", family, extends,
                        lbw_family_name(base->family));
    reader->profile = *base;
    return LBW_OK;
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < NUM(keys); i++)
        if (!strcmp(keys[i].name, name))
            return &keys[i];
    return NULL;
}

/* Makes labels and classes agree; drops those of the base if the file has others. */
static enum lbw_status settle_classes(struct reader *reader)
{
    struct lbw_profile *profile = &reader->profile;
    profile->has_own_classes = reader->has_labels || reader->has_classes;
    if (reader->has_labels && !reader->has_classes)
        profile->num_classes = (int)profile->num_labels;
    if ((size_t)profile->num_classes == profile->num_labels)
        return LBW_OK;
    if (reader->has_labels)
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "'labels': %zu of them for %d classes",
                        profile->num_labels, profile->num_classes);
    profile->labels = NULL;
    profile->num_labels = 0;
    return LBW_OK;
}

static enum lbw_status read_object(struct reader *reader, json_t *root)
{
    if (!json_is_object(root))
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "expected an object");
    LBW_TRY(choose_base(reader, root));
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        const struct key *key = find_key(name);
        if (!key)
            return lbw_fail(reader->err, LBW_ERR_FORMAT, "unknown key '%s'", name);
        LBW_TRY(key->read(reader, key, value));
    }
    reader->profile.has_own_size = reader->profile.preprocess.given & LBW_GIVEN_SIZE;
    reader->profile.preprocess.given = 0; /* by a profile, not by the user */
    return settle_classes(reader);
}

enum lbw_status lbw_profile_parse(struct lbw_profile *out, const void *data, size_t size,
                                  const char *path, struct lbw_error *err)
{
    json_error_t where;
    struct reader reader = {.err = err};
    LBW_TRY(lbw_check_given("data", data, err));
    reader.arena = calloc(1, sizeof *reader.arena);
    if (!reader.arena)
        return lbw_fail_memory(err);
    enum lbw_status status;
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
    if (root)
        status = read_object(&reader, root);
    else
        status = lbw_fail(err, LBW_ERR_FORMAT, "line %d: %s", where.line, where.text);
    json_decref(root);
    reader.profile.storage = reader.arena;
    reader.profile.owner = status == LBW_OK ? out : &reader.profile;
    if (status == LBW_OK)
        *out = reader.profile;
    else
        lbw_profile_release(&reader.profile);
    return lbw_within(err, status, "%s", path ? path : "profile");
}

enum lbw_status lbw_profile_read(struct lbw_profile *out, const char *path,
                                 struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    enum lbw_status status = lbw_profile_parse(out, bytes.data, bytes.size, path, err);
    lbw_bytes_release(&bytes);
    return status;
}
