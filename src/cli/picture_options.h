/* SPDX-License-Identifier: MIT */
/* The options on how images become network inputs, the same in every command. */
#ifndef LBW_CLI_PICTURE_OPTIONS_H
#define LBW_CLI_PICTURE_OPTIONS_H

#include <stdbool.h>

#include <lbw/image.h>
#include <lbw/profile.h>

#include "cli/option.h"

/* One member of a command's struct of values. */
struct lbw_picture_values {
    const char *profile;
    const char *size, *resize, *pad, *mean, *std, *color, *layout, *multiple;
};

#define LBW_PICTURE_ROW(values, member, field) offsetof(values, member.field)

/* Rows for an option table: `values` is the struct, `member` its lbw_picture_values. */
/* clang-format off */
#define LBW_PICTURE_OPTIONS(values, member)                                                    \
    {"profile", 'p', LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, profile), "NAME|FILE", \
     "preprocessing and output format of the detector: a name from 'lbw profiles' or a "       \
     "JSON file"},                                                                             \
    {"size", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, size), "WxH",               \
     "input size of a model with a dynamic input"},                                            \
    {"resize", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, resize), NULL,            \
     "how images are fitted to the input", .choice = lbw_resize_choice},                       \
    {"color", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, color), NULL,              \
     "channel order", .choice = lbw_color_choice},                                             \
    {"mean", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, mean), "A,B,C",             \
     "subtracted from pixel values 0 … 255; one number applies to all channels"},              \
    {"std", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, std), "A,B,C",               \
     "divisor applied after --mean; one number applies to all channels"},                      \
    {"pad", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, pad), "N",                   \
     "value of padding pixels, 0 … 255"},                                                      \
    {"layout", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, layout), NULL,            \
     "position of the channel axis", .choice = lbw_layout_choice},                             \
    {"multiple", 0, LBW_OPTION_STRING, LBW_PICTURE_ROW(values, member, multiple), "N",         \
     "round dynamic sizes up to a multiple of N"}
/* clang-format on */

/* The row that disables lbw's kernels, for commands that run models. */
#define LBW_NATIVE_OPTION(offset)                                                              \
    {                                                                                          \
        "no-native", 0, LBW_OPTION_FLAG, offset, NULL,                                         \
            "do not load lbw's operator library into ONNX Runtime"                             \
    }

const char *lbw_resize_choice(int i);
const char *lbw_color_choice(int i);
const char *lbw_layout_choice(int i);

/*
 * Whether the options make sense, also for a `source` of arrays in a file; if not, explains it:
 * return LBW_EXIT_USAGE. NULL: the source can only be images.
 */
bool lbw_picture_is_usable(const struct lbw_picture_values *values, const char *source,
                           const char *command);

/* Whether any option but --size was given; if not, preprocessing is inferred from the model. */
bool lbw_picture_given(const struct lbw_picture_values *values);

/*
 * For commands that need only preprocessing: the profile of --profile, adapted to the model, or
 * else the preprocessing inferred from the model, with the other options applied to it.
 * *preprocess is NULL if the model determines it alone; width and height are 0 unless --size
 * was given.
 */
struct lbw_picture {
    struct lbw_profile profile;
    const struct lbw_preprocess *preprocess;
    int width, height;
    struct lbw_profile guess;
    const struct lbw_profile *detector; /* the profile of the outputs, if known; borrowed */
};
void lbw_picture_release(struct lbw_picture *picture);
enum lbw_status lbw_picture_for_model(struct lbw_picture *out, struct lbw_model *model,
                                      const struct lbw_picture_values *values,
                                      struct lbw_error *err);

/*
 * The same for commands that detect boxes: without --profile, the profile that matches the
 * model's outputs (reported on standard error unless `quiet`). LBW_ERR_ARGUMENT lists the
 * outputs if there is none.
 */
enum lbw_status lbw_picture_for_detector(struct lbw_profile *out, struct lbw_model *model,
                                         const char *path,
                                         const struct lbw_picture_values *values, bool quiet,
                                         struct lbw_error *err);

#endif
