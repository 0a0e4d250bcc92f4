/* SPDX-License-Identifier: MIT */
/* The profile that a model's outputs match, adapted to the model. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "detect/assume.h"
#include "detect/family.h"
#include "detect/profile_check.h"
#include "onnx/metadata.h"
#include "onnx/model.h"

#define MOST_CLASSES 100000

/* NULL if none matches, or several. */
static const struct lbw_profile *guess(const struct lbw_look *look)
{
    const struct lbw_profile *found = NULL;
    const struct lbw_profile_row *row;
    for (size_t i = 0; (row = lbw_profile_row_at(i)); i++) {
        if (!row->matches || !row->matches(look))
            continue;
        if (found)
            return NULL;
        found = &row->profile;
    }
    return found;
}

const struct lbw_profile *lbw_profile_guess(struct lbw_model *model)
{
    struct lbw_look look;
    return lbw_look_init(&look, model, NULL) == LBW_OK ? guess(&look) : NULL;
}

const struct lbw_profile *lbw_profile_candidate(struct lbw_model *model, size_t i)
{
    struct lbw_look look;
    const struct lbw_profile_row *row;
    if (lbw_look_init(&look, model, NULL) != LBW_OK)
        return NULL;
    for (size_t k = 0; (row = lbw_profile_row_at(k)); k++)
        if (row->matches && row->matches(&look) && i-- == 0)
            return &row->profile;
    return NULL;
}

/*
 * Whether the outputs certainly belong to the profile's family: then another number of classes
 * is due to the model, else the profile is most likely wrong.
 */
static bool is_of_family(const struct lbw_profile *profile, const struct lbw_look *look)
{
    const struct lbw_profile_row *row;
    if (profile->family == LBW_FAMILY_YOLOV5 && lbw_look_dim(look, 0, 5, 4) > 5)
        return true; /* one undecoded head is enough */
    for (size_t i = 0; (row = lbw_profile_row_at(i)); i++)
        if (row->profile.family == profile->family && row->matches && row->matches(look))
            return true;
    return false;
}

static enum lbw_status adapt_classes(struct lbw_profile *profile, const struct lbw_look *look,
                                     struct lbw_error *err)
{
    const struct lbw_family_row *family = lbw_family_at((size_t)profile->family);
    const char *const *labels = NULL;
    size_t num = 0;
    int64_t seen = family->num_classes ? family->num_classes(profile, look) : 0;
    struct lbw_arena *arena = lbw_profile_storage(profile);
    if (!arena)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_metadata_labels(&labels, &num, arena, &look->info, err));
    bool is_free = !profile->has_own_classes || profile->num_classes == 0;
    bool is_sure = is_free && num == 0 && seen > 0 && seen != profile->num_classes &&
                   profile->num_classes && is_of_family(profile, look);
    if (num && (is_free || num == (size_t)profile->num_classes)) {
        profile->labels = labels;
        profile->num_labels = num;
        profile->num_classes = (int)num;
    } else if (is_sure) {
        profile->labels = NULL;
        profile->num_labels = 0;
        profile->num_classes = seen <= MOST_CLASSES ? (int)seen : 0;
    }
    return LBW_OK;
}

/* A size from the user's file is kept; that of a built-in profile is only a default. */
static void adapt_size(struct lbw_preprocess *preprocess, bool is_own,
                       const struct lbw_look *look)
{
    if (!is_own || (!preprocess->width && !preprocess->height))
        lbw_metadata_size(&preprocess->width, &preprocess->height, &look->info);
}

enum lbw_status lbw_profile_adapt(struct lbw_profile *profile, struct lbw_model *model,
                                  struct lbw_error *err)
{
    struct lbw_look look;
    LBW_TRY(lbw_check_given("profile", profile, err));
    LBW_TRY(lbw_look_init(&look, model, err));
    const struct lbw_family_row *family = lbw_family_at((size_t)profile->family);
    if (!family)
        return lbw_check_choice("family", profile->family, 0, err);
    if (!profile->has_own_classes || !profile->labels)
        LBW_TRY(adapt_classes(profile, &look, err));
    int64_t extra = family->num_extra ? family->num_extra(&look) : 0;
    if (!profile->num_extra && extra > 0 && extra <= MOST_CLASSES)
        profile->num_extra = (int)extra;
    adapt_size(&profile->preprocess, profile->has_own_size, &look);
    return LBW_OK;
}
