/* SPDX-License-Identifier: MIT */
/* Checking and copying profiles. */
#include "detect/profile_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "feed/preprocess_check.h"

#define MOST_CLASSES 100000
#define MOST_STRIDE  4096

static enum lbw_status check_lists(const struct lbw_profile *p, struct lbw_error *err)
{
    LBW_TRY(lbw_check_range("strides", p->num_strides, 0, LBW_MAX_STRIDES, err));
    LBW_TRY(lbw_check_range("anchors", p->num_anchors, 0, LBW_MAX_ANCHORS, err));
    for (int i = 0; i < p->num_strides; i++)
        LBW_TRY(lbw_check_range("stride", p->strides[i], 1, MOST_STRIDE, err));
    LBW_TRY(lbw_check_list("labels", p->labels, p->num_labels, err));
    for (size_t i = 0; i < p->num_labels; i++)
        LBW_TRY(lbw_check_given("label", p->labels[i], err));
    return LBW_OK;
}

static enum lbw_status check(const struct lbw_profile *p, struct lbw_error *err)
{
    LBW_TRY(lbw_check_choice("family", p->family, LBW_FAMILY_CENTERNET + 1, err));
    LBW_TRY(lbw_check_choice("box order", p->box_order, LBW_BOX_CXCYWH + 1, err));
    LBW_TRY(lbw_check_range("classes", p->num_classes, 0, MOST_CLASSES, err));
    LBW_TRY(lbw_check_range("extra", p->num_extra, 0, MOST_CLASSES, err));
    LBW_TRY(lbw_check_range("background", p->background, -1, MOST_CLASSES, err));
    LBW_TRY(lbw_check_range("max_boxes", p->max_boxes, 1, INT32_MAX, err));
    LBW_TRY(lbw_check_range("score", (double)p->score, 0, 1, err));
    LBW_TRY(lbw_check_range("nms", (double)p->nms, 0, 1, err));
    LBW_TRY(lbw_check_range("objectness_power", (double)p->objectness_power, 0, 1, err));
    LBW_TRY(check_lists(p, err));
    return lbw_preprocess_check(&p->preprocess, err);
}

enum lbw_status lbw_profile_check(const struct lbw_profile *profile, struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("profile", profile, err));
    return lbw_within(err, check(profile, err), "profile '%s'",
                      profile->name ? profile->name : "");
}

struct lbw_arena *lbw_profile_storage(struct lbw_profile *profile)
{
    if (profile->owner != profile) {
        profile->storage = calloc(1, sizeof(struct lbw_arena));
        profile->owner = profile->storage ? profile : NULL;
    }
    return profile->storage;
}

void lbw_profile_release(struct lbw_profile *profile)
{
    if (!profile)
        return;
    if (profile->owner == profile) {
        lbw_arena_release(profile->storage);
        free(profile->storage);
    }
    *profile = (struct lbw_profile){0};
}

/* Out of memory: NULL for a text that was not NULL. */
static const char *copy_text(struct lbw_arena *arena, const char *text)
{
    return text ? lbw_arena_strdup(arena, text) : NULL;
}

static bool copy_texts(struct lbw_profile *to, struct lbw_arena *arena,
                       const struct lbw_profile *from)
{
    const char **labels = lbw_arena_calloc(arena, from->num_labels + 1, sizeof *labels);
    to->name = copy_text(arena, from->name);
    to->description = copy_text(arena, from->description);
    bool done = labels && !to->name == !from->name && !to->description == !from->description;
    for (size_t i = 0; done && i < from->num_labels; i++)
        done = (labels[i] = lbw_arena_strdup(arena, from->labels[i])) != NULL;
    to->labels = from->num_labels ? labels : NULL;
    return done;
}

enum lbw_status lbw_profile_copy(struct lbw_profile *out, const struct lbw_profile *profile,
                                 struct lbw_error *err)
{
    struct lbw_profile copy = *profile;
    struct lbw_arena *arena = lbw_profile_storage(&copy);
    if (!arena)
        return lbw_fail_memory(err);
    if (!copy_texts(&copy, arena, profile)) {
        lbw_profile_release(&copy);
        return lbw_fail_memory(err);
    }
    copy.owner = out;
    *out = copy;
    return LBW_OK;
}
