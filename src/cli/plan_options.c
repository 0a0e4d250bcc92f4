/* SPDX-License-Identifier: MIT */
/* From the plan options to a plan. */
#include "cli/plan_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lbw_method_names[] = {"optimal", "ternary", "threshold", NULL};
const char *const lbw_group_names[] = {"channel", "tensor", NULL};
const char *const lbw_scale_names[] = {"real", "pow2", NULL};

static enum lbw_status bad_grid(struct lbw_error *err, const char *name)
{
    err->status = LBW_ERR_ARGUMENT;
    snprintf(err->message, sizeof err->message,
             "--bits: no grid '%s'; 'lbw grids' lists them, 2 to 6 are the plain ones", name);
    return LBW_ERR_ARGUMENT;
}

/* "4x2d2" by name; "4" together with --terms and --shift. */
static enum lbw_status find_grid(const struct lbw_grid **out, const char *name,
                                 const struct lbw_plan_values *v, struct lbw_error *err)
{
    const struct lbw_grid *grid = lbw_grid_by_name(name);
    bool is_plain = strspn(name, "0123456789") == strlen(name);
    if (grid && is_plain && (v->terms > 1 || v->shift)) {
        int shift = v->shift ? (int)v->shift : 1;
        grid = lbw_grid_find(grid->bits, v->terms ? (int)v->terms : 2, shift);
    }
    if (!grid)
        return bad_grid(err, name);
    *out = grid;
    return LBW_OK;
}

/* Fills the rules; the strings of split "REGEX=N" are put into `regexes`, to be freed. */
static enum lbw_status make_rules(struct lbw_plan_params *params, struct lbw_plan_rule *rules,
                                  char **regexes, const struct lbw_plan_values *v,
                                  struct lbw_error *err)
{
    size_t num = 0;
    enum lbw_status status = find_grid(&params->grid, "4", v, err);
    for (size_t i = 0; status == LBW_OK && i < v->bits.num; i++) {
        const char *item = v->bits.items[i], *equals = strrchr(item, '=');
        if (!equals) {
            status = find_grid(&params->grid, item, v, err);
            continue;
        }
        status = find_grid(&rules[num].grid, equals + 1, v, err);
        rules[num].regex = regexes[num] = strndup(item, (size_t)(equals - item));
        if (!regexes[num]) {
            *err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
            return LBW_ERR_MEMORY;
        }
        num++;
    }
    for (size_t i = 0; i < v->skip.num; i++)
        rules[num++] = (struct lbw_plan_rule){.regex = v->skip.items[i]};
    params->rules = rules;
    params->num_rules = num;
    return status;
}

enum lbw_status lbw_plan_from_options(struct lbw_plan **out, struct lbw_model *model,
                                      const struct lbw_plan_values *v, struct lbw_error *err)
{
    struct lbw_plan_params params = {
        .ops = v->ops,
        .method = (enum lbw_method)v->method,
        .scale = (enum lbw_scale)v->scale,
        .group = (enum lbw_group)v->group,
        .mu = (float)v->mu,
        .keep_batchnorm = v->no_fold,
        .all = v->all,
        .requantize = v->requantize,
    };
    size_t most = v->bits.num + v->skip.num + 1;
    struct lbw_plan_rule *rules = calloc(most, sizeof *rules);
    char **regexes = calloc(most, sizeof *regexes);
    struct lbw_plan *plan = NULL;
    enum lbw_status status = LBW_ERR_MEMORY;
    if (rules && regexes)
        status = make_rules(&params, rules, regexes, v, err);
    else
        *err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
    if (status == LBW_OK)
        status = lbw_plan_new(&plan, model, &params, err);
    if (status == LBW_OK && v->plan)
        status = lbw_plan_apply(plan, v->plan, err);
    if (status == LBW_OK)
        *out = plan;
    else
        lbw_plan_free(&plan);
    for (size_t i = 0; regexes && i < most; i++)
        free(regexes[i]);
    free(regexes);
    free(rules);
    return status;
}
