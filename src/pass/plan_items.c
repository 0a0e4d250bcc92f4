/* SPDX-License-Identifier: MIT */
/* The contents of a plan: weights, activations, and operators outside it. */
#include "pass/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pass/edge.h"

size_t lbw_plan_num_items(const struct lbw_plan *plan)
{
    return plan->num_weights;
}

const struct lbw_plan_item *lbw_plan_item(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_weights ? &plan->weights[i].item : NULL;
}

size_t lbw_plan_num_edges(const struct lbw_plan *plan)
{
    return plan->num_edges;
}

const struct lbw_plan_edge *lbw_plan_edge(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_edges ? &plan->edges[i].item : NULL;
}

size_t lbw_plan_num_others(const struct lbw_plan *plan)
{
    return plan->num_others;
}

const struct lbw_plan_other *lbw_plan_other(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_others ? &plan->others[i] : NULL;
}

size_t lbw_plan_num_notes(const struct lbw_plan *plan)
{
    return plan->num_notes;
}

const char *lbw_plan_note(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_notes ? plan->notes[i] : NULL;
}

enum lbw_status lbw_plan_add_note(struct lbw_plan *plan, struct lbw_error *err, const char *fmt,
                                  ...)
{
    struct lbw_arena *arena = &plan->model->arena;
    char line[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    const char **notes = lbw_arena_calloc(arena, plan->num_notes + 1, sizeof *notes);
    char *note = lbw_arena_printf(arena, "%s", line);
    if (!notes || !note)
        return lbw_fail_memory(err);
    if (plan->num_notes)
        memcpy(notes, plan->notes, plan->num_notes * sizeof *notes);
    notes[plan->num_notes++] = note;
    plan->notes = notes;
    return LBW_OK;
}

size_t lbw_plan_num_folded(const struct lbw_plan *plan)
{
    return plan->model->num_folded;
}
