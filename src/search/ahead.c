/* SPDX-License-Identifier: MIT */
/* A trial's conversion leaves processors idle between its layers; another one fills them. */
#include "search/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"

static enum lbw_status make(struct lbw_made *made, const struct lbw_bench *bench, double mu)
{
    struct lbw_error *err = &made->err;
    struct lbw_trial *trial = &made->trial;
    LBW_TRY(lbw_trial_open(trial, bench, LBW_EFFORT_FULL, made->grids, mu, err));
    LBW_TRY(lbw_plan_print(&made->text, trial->plan, false, err));
    return lbw_trial_convert(trial, bench, LBW_EFFORT_FULL, &bench->params->encode, err);
}

void lbw_made_make(struct lbw_made *out, const struct lbw_bench *bench, double mu,
                   const struct lbw_grid *const *grids)
{
    double start = lbw_now();
    size_t size = bench->num * sizeof *grids;
    out->grids = grids ? malloc(size + 1) : NULL;
    if (grids && !out->grids) {
        out->status = lbw_fail_memory(&out->err);
        return;
    }
    if (grids)
        memcpy(out->grids, grids, size);
    out->status = make(out, bench, mu);
    out->seconds = lbw_now() - start;
}

void lbw_made_release(struct lbw_made *made)
{
    lbw_trial_close(&made->trial);
    lbw_free(made->text);
    free(made->grids);
    *made = (struct lbw_made){0};
}

struct pair {
    struct lbw_ahead *ahead;
    const struct lbw_bench *bench;
    double mu;
    const struct lbw_grid *const *grids[2];
};

static void make_one(void *user, size_t i)
{
    struct pair *pair = user;
    lbw_made_make(&pair->ahead->made[i], pair->bench, pair->mu, pair->grids[i]);
}

void lbw_ahead_make(struct lbw_ahead *ahead, const struct lbw_bench *bench, double mu,
                    const struct lbw_grid *const *first, const struct lbw_grid *const *second)
{
    struct pair pair = {ahead, bench, mu, {first, second}};
    lbw_ahead_release(ahead);
    lbw_parallel_for(2, 2, make_one, &pair);
}

/* The slot with these grids; 2: none. */
static size_t find(const struct lbw_ahead *ahead, size_t num_grids,
                   const struct lbw_grid *const *grids)
{
    size_t i = 0;
    while (i < 2 && (!grids || !ahead->made[i].grids ||
                     memcmp(ahead->made[i].grids, grids, num_grids * sizeof *grids) != 0))
        i++;
    return i;
}

bool lbw_ahead_has(const struct lbw_ahead *ahead, size_t num_grids,
                   const struct lbw_grid *const *grids)
{
    return find(ahead, num_grids, grids) < 2;
}

bool lbw_ahead_take(struct lbw_made *out, struct lbw_ahead *ahead, size_t num_grids,
                    const struct lbw_grid *const *grids)
{
    size_t i = find(ahead, num_grids, grids);
    if (i == 2)
        return false;
    *out = ahead->made[i];
    ahead->made[i] = (struct lbw_made){0};
    return true;
}

void lbw_ahead_release(struct lbw_ahead *ahead)
{
    lbw_made_release(&ahead->made[0]);
    lbw_made_release(&ahead->made[1]);
}

bool lbw_tried_has(const struct lbw_tried *tried, const struct lbw_grid *const *grids)
{
    for (size_t i = 0; i < tried->num; i++)
        if (memcmp(&tried->grids[i * tried->num_grids], grids,
                   tried->num_grids * sizeof *grids) == 0)
            return true;
    return false;
}

enum lbw_status lbw_tried_add(struct lbw_tried *tried, const struct lbw_grid *const *grids,
                              struct lbw_error *err)
{
    size_t row = tried->num_grids * sizeof *grids;
    const struct lbw_grid **more = realloc(tried->grids, (tried->num + 1) * row);
    if (!more)
        return lbw_fail_memory(err);
    memcpy(&more[tried->num++ * tried->num_grids], grids, row);
    tried->grids = more;
    return LBW_OK;
}

void lbw_tried_release(struct lbw_tried *tried)
{
    free(tried->grids);
    *tried = (struct lbw_tried){0};
}
