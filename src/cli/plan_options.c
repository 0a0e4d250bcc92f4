/* SPDX-License-Identifier: MIT */
/* From the plan options to a plan. */
#include "cli/plan_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lbw/convert.h>

#include "cli/talk.h"

const char *lbw_activations_choice(int i)
{
    return lbw_activations_name((enum lbw_activations_type)i);
}

const char *lbw_method_choice(int i)
{
    return lbw_method_name((enum lbw_method)i);
}

const char *lbw_group_choice(int i)
{
    return lbw_group_name((enum lbw_group)i);
}

const char *lbw_scale_choice(int i)
{
    return lbw_scale_name((enum lbw_scale)i);
}

bool lbw_activations_are_usable(const struct lbw_plan_values *v, const char *command)
{
    if (v->activations != LBW_ACTIVATIONS_FLOAT ||
        (!v->float_activations.num && !(v->range_power > 0)))
        return true;
    lbw_usage_error(command, "--%s needs --activations int8",
                    v->float_activations.num ? "float-activations" : "range-power");
    return false;
}

static enum lbw_status fail(struct lbw_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err->status = LBW_ERR_ARGUMENT;
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    return LBW_ERR_ARGUMENT;
}

/* "4x2d2" by name; "4" together with --terms and --shift. */
static enum lbw_status find_grid(const struct lbw_grid **out, const char *name,
                                 const struct lbw_plan_values *v, struct lbw_error *err)
{
    const struct lbw_grid *grid = lbw_grid_by_name(name);
    bool is_plain = strspn(name, "0123456789") == strlen(name);
    if (grid && is_plain && v->terms > 1)
        grid = lbw_grid_find(grid->bits, (int)v->terms, v->shift ? (int)v->shift : 1);
    if (!grid)
        return fail(err, "--bits: unknown grid '%s': use 2 to 6 or a name from 'lbw grids'",
                    name);
    if (!is_plain &&
        ((v->terms && v->terms != grid->terms) || (v->shift && v->shift != grid->shift)))
        return fail(err, "--bits %s contradicts --%s", name,
                    v->terms && v->terms != grid->terms ? "terms" : "shift");
    *out = grid;
    return LBW_OK;
}

/* Fills the rules; the strings of split "REGEX=N" go into `regexes`, to be freed. */
static enum lbw_status make_rules(struct lbw_plan_wishes *out, const struct lbw_plan_values *v,
                                  struct lbw_error *err)
{
    size_t num = 0;
    if (v->shift && v->terms < 2)
        return fail(err, "--shift needs --terms 2");
    if (v->mu > 0 && v->method != LBW_METHOD_THRESHOLD)
        return fail(err, "--mu needs --method threshold");
    enum lbw_status status = find_grid(&out->params.grid, "4", v, err);
    out->is_auto = !v->terms;
    for (size_t i = 0; status == LBW_OK && i < v->bits.num; i++) {
        const char *item = v->bits.items[i], *equals = strrchr(item, '=');
        if (!equals) {
            out->is_auto = strcmp(item, "auto") == 0;
            if (out->is_auto)
                continue;
            status = find_grid(&out->params.grid, item, v, err);
            continue;
        }
        status = find_grid(&out->rules[num].grid, equals + 1, v, err);
        out->rules[num].regex = out->regexes[num] = strndup(item, (size_t)(equals - item));
        if (!out->regexes[num]) {
            *err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
            return LBW_ERR_MEMORY;
        }
        num++;
    }
    if (status == LBW_OK && !out->is_auto && (v->bpw > 0 || v->target_size))
        return fail(err, "--%s needs --bits auto", v->bpw > 0 ? "bpw" : "target-size");
    for (size_t i = 0; i < v->skip.num; i++)
        out->rules[num++] = (struct lbw_plan_rule){.regex = v->skip.items[i]};
    out->params.rules = out->rules;
    out->params.num_rules = num;
    return status;
}

enum lbw_status lbw_plan_wishes_init(struct lbw_plan_wishes *out,
                                     const struct lbw_plan_values *v, struct lbw_error *err)
{
    size_t most = v->bits.num + v->skip.num + 1;
    *out = (struct lbw_plan_wishes){
        .params = {.ops = v->ops,
                   .method = (enum lbw_method)v->method,
                   .scale = (enum lbw_scale)v->scale,
                   .group = (enum lbw_group)v->group,
                   .mu = (float)v->mu,
                   .all = v->all,
                   .activations = (enum lbw_activations_type)v->activations,
                   .float_activations = v->float_activations.items,
                   .num_float_activations = v->float_activations.num,
                   .range_power = v->range_power},
        .prepare = {.ops = v->ops,
                    .keep_batchnorm = v->no_fold,
                    .requantize = v->requantize,
                    .activations = (enum lbw_activations_type)v->activations},
        .rules = calloc(most, sizeof *out->rules),
        .regexes = calloc(most, sizeof *out->regexes),
        .num_regexes = most,
    };
    if (out->rules && out->regexes)
        return make_rules(out, v, err);
    *err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
    return LBW_ERR_MEMORY;
}

void lbw_plan_wishes_release(struct lbw_plan_wishes *wishes)
{
    for (size_t i = 0; wishes->regexes && i < wishes->num_regexes; i++)
        free(wishes->regexes[i]);
    free(wishes->regexes);
    free(wishes->rules);
}

size_t lbw_plan_warn(const struct lbw_plan *plan, size_t first)
{
    size_t num = lbw_plan_num_notes(plan);
    for (size_t i = first; i < num; i++)
        lbw_talk("warning: %s", lbw_plan_note(plan, i));
    return num > first ? num : first;
}

enum lbw_status lbw_plan_from_options(struct lbw_plan **out, bool *is_auto,
                                      struct lbw_model *model, const struct lbw_plan_values *v,
                                      uint64_t memory, struct lbw_error *err)
{
    struct lbw_plan_wishes wishes;
    struct lbw_plan *plan = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_plan_wishes_init(&wishes, v, err));
    LBW_OR_OUT(lbw_model_prepare(model, &wishes.prepare, err));
    wishes.params.memory = memory;
    LBW_OR_OUT(lbw_plan_new(&plan, model, &wishes.params, err));
    if (v->plan)
        LBW_OR_OUT(lbw_plan_apply(plan, v->plan, err));
    if (is_auto)
        *is_auto = wishes.is_auto;
    *out = plan;
    plan = NULL;
out:
    lbw_plan_free(&plan);
    lbw_plan_wishes_release(&wishes);
    return status;
}
