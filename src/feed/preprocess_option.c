/* SPDX-License-Identifier: MIT */
/* Preprocessing from text: the options --size, --mean, … and the keys of a profile file. */
#include <lbw/profile.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "feed/preprocess_check.h"

#define NUM      LBW_NUM
#define MAX_SIDE LBW_MAX_SIDE

static const char *const resize_words[] = {
    [LBW_RESIZE_STRETCH] = "stretch",
    [LBW_RESIZE_LETTERBOX] = "letterbox",
    [LBW_RESIZE_LETTERBOX_CORNER] = "letterbox-corner",
};
static const char *const color_words[] = {
    [LBW_COLOR_RGB] = "rgb",
    [LBW_COLOR_BGR] = "bgr",
    [LBW_COLOR_GRAY] = "gray",
};
static const char *const layout_words[] = {"nchw", "nhwc"};

const char *lbw_resize_name(enum lbw_resize resize)
{
    return lbw_name_of(resize_words, NUM(resize_words), resize);
}

const char *lbw_color_name(enum lbw_color color)
{
    return lbw_name_of(color_words, NUM(color_words), color);
}

/* The position of `value` in a list of words. */
static enum lbw_status read_word(int *out, const char *const *words, size_t num,
                                 const char *key, const char *value, struct lbw_error *err)
{
    char list[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < num; i++) {
        if (!strcmp(words[i], value)) {
            *out = (int)i;
            return LBW_OK;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     i ? (i + 1 < num ? ", " : " or ") : "", words[i]);
    }
    return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: '%s' is not %s", key, value, list);
}

/*
 * At most `num` finite numbers, separated by commas or blanks; returns their number, 0 on
 * error.
 */
static int scan_numbers(double *out, int num, const char *text)
{
    int found = 0;
    while (found < num) {
        char *end;
        out[found] = strtod(text, &end);
        if (end == text || !isfinite(out[found]))
            return 0;
        found++;
        end += strspn(end, " ");
        if (!*end)
            return found;
        text = end + (*end == ',');
    }
    return 0;
}

/* One number for all channels, or one for each. */
static enum lbw_status read_channels(float out[3], const char *key, const char *value,
                                     bool allow_zero, struct lbw_error *err)
{
    double numbers[3];
    int num = scan_numbers(numbers, 3, value);
    if (num != 1 && num != 3)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: '%s' is not one number or three", key,
                        value);
    float channels[3];
    for (int c = 0; c < 3; c++) {
        channels[c] = (float)numbers[num == 1 ? 0 : c];
        if (!isfinite(channels[c]) || (!allow_zero && !(fabsf(channels[c]) > 0)))
            return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: '%s' is out of range", key, value);
    }
    memcpy(out, channels, sizeof channels);
    return LBW_OK;
}

static enum lbw_status read_number(double *out, double least, double most, const char *key,
                                   const char *value, struct lbw_error *err)
{
    if (scan_numbers(out, 1, value) != 1 || *out < least || *out > most)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: '%s' is not a number from %g to %g", key,
                        value, least, most);
    return LBW_OK;
}

static enum lbw_status set_size(struct lbw_preprocess *preprocess, const char *value,
                                struct lbw_error *err)
{
    int width, height, length = 0;
    if (sscanf(value, "%5d%n", &width, &length) == 1 && !value[length])
        height = width;
    else if (sscanf(value, "%5dx%5d%n", &width, &height, &length) != 2 || value[length])
        return lbw_fail(err, LBW_ERR_ARGUMENT, "size: '%s' is not WIDTHxHEIGHT", value);
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "size: sides of '%s' are not within 1 and %d",
                        value, MAX_SIDE);
    preprocess->width = width;
    preprocess->height = height;
    return LBW_OK;
}

static enum lbw_status set_resize(struct lbw_preprocess *preprocess, const char *value,
                                  struct lbw_error *err)
{
    int word = 0;
    LBW_TRY(read_word(&word, resize_words, NUM(resize_words), "resize", value, err));
    preprocess->resize = (enum lbw_resize)word;
    return LBW_OK;
}

static enum lbw_status set_color(struct lbw_preprocess *preprocess, const char *value,
                                 struct lbw_error *err)
{
    int word = 0;
    LBW_TRY(read_word(&word, color_words, NUM(color_words), "color", value, err));
    preprocess->color = (enum lbw_color)word;
    return LBW_OK;
}

static enum lbw_status set_layout(struct lbw_preprocess *preprocess, const char *value,
                                  struct lbw_error *err)
{
    return read_word(&preprocess->channels_last, layout_words, NUM(layout_words), "layout",
                     value, err);
}

static enum lbw_status set_pad(struct lbw_preprocess *preprocess, const char *value,
                               struct lbw_error *err)
{
    double number = 0;
    LBW_TRY(read_number(&number, 0, 255, "pad", value, err));
    preprocess->pad = (float)number;
    return LBW_OK;
}

static enum lbw_status set_multiple(struct lbw_preprocess *preprocess, const char *value,
                                    struct lbw_error *err)
{
    double number = 0;
    LBW_TRY(read_number(&number, 0, 1024, "multiple", value, err));
    preprocess->multiple = (int)number;
    return LBW_OK;
}

static enum lbw_status set_mean(struct lbw_preprocess *preprocess, const char *value,
                                struct lbw_error *err)
{
    return read_channels(preprocess->mean, "mean", value, true, err);
}

static enum lbw_status set_std(struct lbw_preprocess *preprocess, const char *value,
                               struct lbw_error *err)
{
    return read_channels(preprocess->std, "std", value, false, err);
}

static const struct option {
    const char *key;
    enum lbw_status (*set)(struct lbw_preprocess *preprocess, const char *value,
                           struct lbw_error *err);
    unsigned given; /* enum lbw_given */
} options[] = {
    {"size", set_size, LBW_GIVEN_SIZE},
    {"resize", set_resize, 0},
    {"color", set_color, 0},
    {"pad", set_pad, 0},
    {"layout", set_layout, 0},
    {"multiple", set_multiple, 0},
    {"std", set_std, LBW_GIVEN_STD},
    {"mean", set_mean, LBW_GIVEN_MEAN},
};

enum lbw_status lbw_preprocess_option(struct lbw_preprocess *preprocess, const char *key,
                                      const char *value, struct lbw_error *err)
{
    for (size_t i = 0; i < NUM(options); i++)
        if (!strcmp(options[i].key, key)) {
            LBW_TRY(options[i].set(preprocess, value, err));
            preprocess->given |= options[i].given;
            return LBW_OK;
        }
    return lbw_fail(err, LBW_ERR_ARGUMENT, "unknown preprocessing option '%s'", key);
}

void lbw_preprocess_describe(char *out, size_t size, const struct lbw_preprocess *preprocess)
{
    const float *mean = preprocess->mean, *std = preprocess->std;
    const char *resize = lbw_resize_name(preprocess->resize);
    const char *color = lbw_color_name(preprocess->color);
    char sides[32] = "", pad[32] = "", normal[128];
    if (preprocess->width && preprocess->height)
        snprintf(sides, sizeof sides, "%dx%d ", preprocess->width, preprocess->height);
    if (preprocess->resize != LBW_RESIZE_STRETCH)
        snprintf(pad, sizeof pad, ", pad %g", (double)preprocess->pad);
    if (preprocess->color == LBW_COLOR_GRAY)
        snprintf(normal, sizeof normal, "mean %g, std %g", (double)mean[0], (double)std[0]);
    else
        snprintf(normal, sizeof normal, "mean %g,%g,%g, std %g,%g,%g", (double)mean[0],
                 (double)mean[1], (double)mean[2], (double)std[0], (double)std[1],
                 (double)std[2]);
    snprintf(out, size, "%s%s %s%s, %s%s", sides, resize ? resize : "unknown",
             color ? color : "unknown", pad, normal,
             preprocess->channels_last ? ", channels last" : "");
}
