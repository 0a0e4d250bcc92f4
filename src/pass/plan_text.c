/* SPDX-License-Identifier: MIT */
/* The plan as text or JSON, and back: the surface of golden tests, review and hand edits. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "pass/edge.h"
#include "pass/plan.h"
#include "pass/report.h"

#define CHANNEL_TYPE "int8/channel"

static void print_shape(FILE *f, const struct lbw_plan_item *item)
{
    if (item->num_dims == 0)
        fputs("?", f);
    for (size_t i = 0; i < item->num_dims; i++)
        fprintf(f, "%s%lld", i ? "x" : "", (long long)item->dims[i]);
}

/* In a comment, which is not read back. */
static void print_clean(FILE *f, const char *text)
{
    char clean[400];
    lbw_text_clean(clean, sizeof clean, text);
    fputs(clean, f);
}

/* GRID SCALE GROUP TENSOR SHAPE AXIS OP NODE [# REASON]; reading ignores SHAPE AXIS OP. */
static void print_item(FILE *f, const struct lbw_plan_item *item)
{
    fprintf(f, "%-5s %-5s %-8s ", item->grid ? item->grid->name : "-",
            lbw_scale_name(item->scale), lbw_group_name(item->group));
    lbw_text_print_word(f, item->tensor);
    fputc(' ', f);
    print_shape(f, item);
    fprintf(f, " %d ", item->axis);
    lbw_text_print_word(f, item->op);
    fputc(' ', f);
    lbw_text_print_word(f, item->node);
    if (*item->scope || *item->reason) {
        fputs("  # ", f);
        print_clean(f, item->reason);
        fputs(*item->scope && *item->reason ? ", in " : "", f);
        print_clean(f, item->scope);
    }
    if (item->grid && item->is_chosen && isnan(item->predicted_loss))
        fprintf(f, "  # effect unknown, %llu bytes", (unsigned long long)item->packed_bytes);
    else if (item->grid && item->is_chosen)
        fprintf(f, "  # predicted loss %.3g, %llu bytes", item->predicted_loss,
                (unsigned long long)item->packed_bytes);
    if (item->grid && strcmp(item->fit, "samples") == 0)
        fprintf(f, "  # fitted to as many columns as %llu bytes of memory hold",
                (unsigned long long)item->fit_bytes);
    else if (item->grid && strcmp(item->fit, "rounding") == 0)
        fputs("  # rounded: too little memory for a fit", f);
    fputc('\n', f);
}

/*
 * TYPE LOW HIGH TENSOR OP NODE [# REASON]; bounds "auto": to be fitted; OP NODE are ignored.
 * Scales per channel are always fitted.
 */
static void print_edge(FILE *f, const struct lbw_edge *edge)
{
    const struct lbw_plan_edge *item = &edge->item;
    bool by_channel = item->type == LBW_ACTIVATIONS_INT8 && item->group == LBW_GROUP_CHANNEL;
    bool is_given = item->low < item->high && !by_channel;
    fprintf(f, "%-5s ", by_channel ? CHANNEL_TYPE : lbw_activations_name(item->type));
    if (is_given)
        fprintf(f, "%.9g %.9g ", (double)item->low, (double)item->high);
    else
        fputs("auto auto ", f);
    lbw_text_print_word(f, item->tensor);
    fputc(' ', f);
    lbw_text_print_word(f, item->op);
    fputc(' ', f);
    lbw_text_print_word(f, item->node);
    if (*item->reason) {
        fputs("  # ", f);
        print_clean(f, item->reason);
    }
    fputc('\n', f);
}

static void print_edges(FILE *f, const struct lbw_plan *plan)
{
    if (plan->num_edges)
        fputs("# type low high   tensor op node   (edit the first three; auto: fitted)\n", f);
    for (size_t i = 0; i < plan->num_edges; i++)
        print_edge(f, &plan->edges[i]);
}

static void print_other(FILE *f, const struct lbw_plan_other *other)
{
    fputs("# not looked at: ", f);
    print_clean(f, other->op);
    fprintf(f, ", %llu bytes in %zu weight%s%s%s\n", (unsigned long long)other->bytes,
            other->num_weights, other->num_weights == 1 ? "" : "s", *other->note ? ": " : "",
            other->note);
}

static enum lbw_status print_text(char **out, const struct lbw_plan *plan,
                                  struct lbw_error *err)
{
    size_t size;
    FILE *f = open_memstream(out, &size);
    if (!f)
        return lbw_fail_memory(err);
    fputs("# grid scale group   tensor shape axis op node   (edit the first three; - keeps "
          "float)\n",
          f);
    for (size_t i = 0; i < plan->num_weights; i++)
        print_item(f, &plan->weights[i].item);
    print_edges(f, plan);
    for (size_t i = 0; i < plan->num_others; i++)
        print_other(f, &plan->others[i]);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(*out);
        return lbw_fail_memory(err);
    }
    return LBW_OK;
}

static json_t *item_json(const struct lbw_plan_item *item)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < item->num_dims; i++)
        json_array_append_new(shape, json_integer(item->dims[i]));
    json_t *out = json_pack(
        "{s:s?, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:I, s:I, s:s, s:I}", "grid",
        item->grid ? item->grid->name : NULL, "scale", lbw_scale_name(item->scale), "group",
        lbw_group_name(item->group), "tensor", item->tensor, "node", item->node, "op", item->op,
        "scope", item->scope, "type", item->type, "reason", item->reason, "shape", shape,
        "axis", item->axis, "uses", (json_int_t)item->num_uses, "zeros",
        (json_int_t)item->num_zeros, "fit", item->grid ? item->fit : "", "fit_bytes",
        (json_int_t)(item->grid ? item->fit_bytes : 0));
    if (out && item->grid && item->is_chosen) {
        json_object_set_new(out, "predicted_loss",
                            item->predicted_loss >= 0 ? json_real(item->predicted_loss)
                                                      : json_null());
        json_object_set_new(out, "bytes", json_integer((json_int_t)item->packed_bytes));
    }
    return out;
}

static json_t *edge_json(const struct lbw_edge *edge)
{
    const struct lbw_plan_edge *item = &edge->item;
    bool is_given = item->low < item->high && item->group == LBW_GROUP_TENSOR;
    return json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s}", "type",
                     lbw_activations_name(item->type), "group", lbw_group_name(item->group),
                     "low", is_given ? json_real((double)item->low) : json_null(), "high",
                     is_given ? json_real((double)item->high) : json_null(), "tensor",
                     item->tensor, "node", item->node, "op", item->op, "reason", item->reason);
}

/* JSON is UTF-8 and must be readable again: a name that is not UTF-8 cannot be in it. */
static enum lbw_status check_names(const struct lbw_plan *plan, struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_plan_item *item = &plan->weights[i].item;
        const char *const names[] = {item->tensor, item->node, item->op, item->scope,
                                     item->reason};
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (!lbw_text_is_utf8(names[k]))
                return lbw_fail(err, LBW_ERR_FORMAT,
                                "'%s' is not UTF-8: print the plan as text instead of JSON",
                                names[k]);
    }
    for (size_t i = 0; i < plan->num_edges; i++) {
        const struct lbw_plan_edge *item = &plan->edges[i].item;
        if (!lbw_text_is_utf8(item->tensor) || !lbw_text_is_utf8(item->node) ||
            !lbw_text_is_utf8(item->op))
            return lbw_fail(err, LBW_ERR_FORMAT,
                            "'%s' is not UTF-8: print the plan as text instead of JSON",
                            item->tensor);
    }
    return LBW_OK;
}

static enum lbw_status print_json(char **out, const struct lbw_plan *plan,
                                  struct lbw_error *err)
{
    LBW_TRY(check_names(plan, err));
    json_t *list = json_array();
    bool failed = !list;
    for (size_t i = 0; i < plan->num_weights && !failed; i++)
        failed = json_array_append_new(list, item_json(&plan->weights[i].item)) != 0;
    json_t *edges = plan->num_edges ? json_array() : NULL;
    for (size_t i = 0; i < plan->num_edges && !failed; i++)
        failed = json_array_append_new(edges, edge_json(&plan->edges[i])) != 0;
    json_t *root = json_pack("{s:i, s:o, s:o, s:o*}", "lbw_plan", 1, "weights", list, "others",
                             lbw_others_json(plan), "activations", edges);
    char *text = root && !failed ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII) : NULL;
    json_decref(root);
    if (!text)
        return lbw_fail_memory(err);
    *out = text;
    return LBW_OK;
}

enum lbw_status lbw_plan_print(char **out, const struct lbw_plan *plan, bool json,
                               struct lbw_error *err)
{
    char *text = NULL;
    LBW_TRY(json ? print_json(&text, plan, err) : print_text(&text, plan, err));
    *out = text;
    return LBW_OK;
}

/* The settings of one weight, as read from a file. */
struct wish {
    const char *grid, *scale, *group, *tensor;
    const char *node; /* distinguishes weights of the same name; NULL: not given */
};

/*
 * The weight that settings are for. Bodies of an If may have weights of the same name: then it
 * is the one whose node is named, else the next without settings, in the order of the plan.
 */
static struct lbw_weight *find_weight(struct lbw_plan *plan, const struct wish *wish)
{
    struct lbw_weight *found = NULL;
    for (size_t i = 0; i < plan->num_weights; i++) {
        struct lbw_weight *weight = &plan->weights[i];
        if (strcmp(weight->item.tensor, wish->tensor) != 0)
            continue;
        if (!weight->is_wished && wish->node && strcmp(weight->item.node, wish->node) == 0)
            return weight;
        if (!found || (found->is_wished && !weight->is_wished))
            found = weight;
    }
    return found;
}

static enum lbw_status apply_wish(struct lbw_plan *plan, const struct wish *wish,
                                  struct lbw_error *err)
{
    struct lbw_weight *weight = find_weight(plan, wish);
    if (!weight)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the model has no weight '%s'", wish->tensor);
    weight->is_wished = true;
    struct lbw_plan_item *item = &weight->item;
    bool keeps = strcmp(wish->grid, "-") == 0;
    const struct lbw_grid *grid = keeps ? NULL : lbw_grid_by_name(wish->grid);
    if (!keeps && !grid)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "weight '%s': unknown grid '%s' (see 'lbw grids')", wish->tensor,
                        wish->grid);
    if (grid && weight->is_fixed)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "weight '%s' cannot be converted: %s",
                        wish->tensor, item->reason);
    if (strcmp(wish->scale, "real") != 0 && strcmp(wish->scale, "pow2") != 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "weight '%s': scale '%s' is not real or pow2",
                        wish->tensor, wish->scale);
    if (strcmp(wish->group, "channel") != 0 && strcmp(wish->group, "tensor") != 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "weight '%s': group '%s' is not channel or tensor", wish->tensor,
                        wish->group);
    if (!grid && item->grid)
        item->reason = "kept by the plan file";
    else if (grid)
        item->reason = "";
    item->grid = grid;
    item->scale = strcmp(wish->scale, "real") == 0 ? LBW_SCALE_REAL : LBW_SCALE_POW2;
    item->group = strcmp(wish->group, "tensor") == 0 ? LBW_GROUP_TENSOR : LBW_GROUP_CHANNEL;
    return LBW_OK;
}

/* The settings of one activation; low >= high: its range is to be fitted. */
struct edge_wish {
    const char *type, *tensor;
    bool by_channel;
    double low, high;
};

/* A scale per channel, for a tensor that may have that. */
static enum lbw_status apply_channels(struct lbw_edge *edge, const struct edge_wish *wish,
                                      struct lbw_error *err)
{
    if (wish->low != 0 || wish->high != 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "activation '%s': scales per channel are fitted: use auto auto",
                        wish->tensor);
    if (!edge->may_differ)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "activation '%s' cannot have a scale per channel: that takes a "
                        "convolution that writes it, and only depthwise convolutions or an "
                        "activation function that read it",
                        wish->tensor);
    edge->item.group = LBW_GROUP_CHANNEL;
    return LBW_OK;
}

static enum lbw_status apply_edge(struct lbw_plan *plan, const struct edge_wish *wish,
                                  struct lbw_error *err)
{
    bool is_float = strcmp(wish->type, "float") == 0;
    struct lbw_edge *edge = lbw_edge_of(plan, wish->tensor);
    if (!plan->num_edges)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "activation '%s': the plan is for 8-bit activations "
                        "(--activations int8)",
                        wish->tensor);
    if (!edge)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "'%s' is not an activation between layers on integers", wish->tensor);
    if (!is_float && strcmp(wish->type, "int8") != 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "activation '%s': type '%s' is not int8 or float", wish->tensor,
                        wish->type);
    bool is_given = wish->low != 0 || wish->high != 0;
    if (is_given && !(wish->low <= 0 && wish->high >= 0 && wish->low < wish->high &&
                      wish->low > -3e38 && wish->high < 3e38))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "activation '%s': %g … %g is not a range that holds 0", wish->tensor,
                        wish->low, wish->high);
    edge->item.group = LBW_GROUP_TENSOR;
    if (wish->by_channel && !is_float)
        LBW_TRY(apply_channels(edge, wish, err));
    edge->item.type = is_float ? LBW_ACTIVATIONS_FLOAT : LBW_ACTIVATIONS_INT8;
    edge->item.reason = is_float ? "float by the plan file" : "";
    edge->item.low = (float)wish->low;
    edge->item.high = (float)wish->high;
    edge->is_wished =
        is_float || is_given || wish->by_channel; /* else as without a plan file */
    return LBW_OK;
}

/* TYPE LOW HIGH TENSOR; the type has been read already. */
static enum lbw_status apply_edge_line(struct lbw_plan *plan, const char *type, char *rest,
                                       struct lbw_error *err)
{
    const char *low = lbw_text_take_word(&rest), *high = low ? lbw_text_take_word(&rest) : NULL;
    bool by_channel = strcmp(type, CHANNEL_TYPE) == 0;
    struct edge_wish wish = {.type = by_channel ? "int8" : type,
                             .tensor = high ? lbw_text_take_word(&rest) : NULL,
                             .by_channel = by_channel};
    char *ends[2] = {NULL, NULL};
    if (!wish.tensor)
        return lbw_fail(err, LBW_ERR_FORMAT, "expected %s LOW HIGH TENSOR", type);
    if (strcmp(low, "auto") != 0 || strcmp(high, "auto") != 0) {
        wish.low = strtod(low, &ends[0]);
        wish.high = strtod(high, &ends[1]);
        if (*ends[0] || *ends[1] || ends[0] == low || ends[1] == high)
            return lbw_fail(err, LBW_ERR_FORMAT,
                            "activation '%s': '%s %s' is neither two numbers nor auto auto",
                            wish.tensor, low, high);
    }
    return apply_edge(plan, &wish, err);
}

/* One activation in the JSON file; bounds that are null or missing are to be fitted. */
static enum lbw_status apply_edge_entry(struct lbw_plan *plan, json_t *entry, size_t i,
                                        struct lbw_error *err)
{
    struct edge_wish wish = {0};
    const char *group = "tensor";
    json_t *low = NULL, *high = NULL;
    json_error_t problem;
    if (json_unpack_ex(entry, &problem, 0, "{s:s, s:s, s?s, s?o, s?o}", "type", &wish.type,
                       "tensor", &wish.tensor, "group", &group, "low", &low, "high",
                       &high) != 0)
        return lbw_fail(err, LBW_ERR_FORMAT, "activations[%zu]: %s", i, problem.text);
    wish.by_channel = strcmp(group, "channel") == 0;
    if (!wish.by_channel && strcmp(group, "tensor") != 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "activation '%s': group '%s' is not channel or tensor", wish.tensor,
                        group);
    if (json_is_number(low) && json_is_number(high)) {
        wish.low = json_number_value(low);
        wish.high = json_number_value(high);
    }
    return apply_edge(plan, &wish, err);
}

/* One weight in the JSON file; a null grid keeps it. */
static enum lbw_status apply_entry(struct lbw_plan *plan, json_t *entry, size_t i,
                                   struct lbw_error *err)
{
    struct wish wish = {.scale = "real", .group = "channel"};
    json_t *grid;
    json_error_t problem;
    if (json_unpack_ex(entry, &problem, 0, "{s:o, s:s, s?s, s?s, s?s}", "grid", &grid, "tensor",
                       &wish.tensor, "scale", &wish.scale, "group", &wish.group, "node",
                       &wish.node) != 0)
        return lbw_fail(err, LBW_ERR_FORMAT, "weights[%zu]: %s", i, problem.text);
    if (!json_is_string(grid) && !json_is_null(grid))
        return lbw_fail(err, LBW_ERR_FORMAT, "weights[%zu]: grid is neither a string nor null",
                        i);
    wish.grid = json_is_null(grid) ? "-" : json_string_value(grid);
    return apply_wish(plan, &wish, err);
}

static enum lbw_status apply_json(struct lbw_plan *plan, const char *data, size_t size,
                                  struct lbw_error *err)
{
    json_error_t problem;
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return lbw_fail(err, LBW_ERR_FORMAT, "line %d: %s", problem.line, problem.text);
    json_t *list = json_object_get(root, "weights"), *entry;
    size_t i;
    enum lbw_status status =
        json_is_array(list) ? LBW_OK : lbw_fail(err, LBW_ERR_FORMAT, "missing array 'weights'");
    json_array_foreach(list, i, entry)
    {
        if (status == LBW_OK)
            status = apply_entry(plan, entry, i, err);
    }
    json_array_foreach(json_object_get(root, "activations"), i, entry)
    {
        if (status == LBW_OK)
            status = apply_edge_entry(plan, entry, i, err);
    }
    json_decref(root);
    return status;
}

static enum lbw_status apply_text(struct lbw_plan *plan, char *text, struct lbw_error *err)
{
    for (int line = 1; *text; line++) {
        char *end = text + strcspn(text, "\n"), *rest = text;
        text = *end ? end + 1 : end;
        *end = '\0';
        struct wish wish = {.grid = lbw_text_take_word(&rest)};
        if (!wish.grid)
            continue;
        if (strcmp(wish.grid, "int8") == 0 || strcmp(wish.grid, CHANNEL_TYPE) == 0 ||
            strcmp(wish.grid, "float") == 0) {
            LBW_TRY(
                lbw_within(err, apply_edge_line(plan, wish.grid, rest, err), "line %d", line));
            continue;
        }
        wish.scale = lbw_text_take_word(&rest);
        wish.group = wish.scale ? lbw_text_take_word(&rest) : NULL;
        wish.tensor = wish.group ? lbw_text_take_word(&rest) : NULL;
        if (!wish.tensor)
            return lbw_fail(err, LBW_ERR_FORMAT, "line %d: expected GRID SCALE GROUP TENSOR",
                            line);
        for (int i = 0; i < 4 && (i == 0 || wish.node); i++) /* shape, axis, op, node */
            wish.node = lbw_text_take_word(&rest);
        LBW_TRY(lbw_within(err, apply_wish(plan, &wish, err), "line %d", line));
    }
    return LBW_OK;
}

enum lbw_status lbw_plan_apply_memory(struct lbw_plan *plan, const void *data, size_t size,
                                      const char *path, struct lbw_error *err)
{
    LBW_TRY(lbw_check_list("data", data, size, err));
    char *text = malloc(size + 1);
    if (!text)
        return lbw_fail_memory(err);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < plan->num_weights; i++)
        plan->weights[i].is_wished = false;
    enum lbw_status status;
    if (strlen(text) != size)
        status = lbw_fail(err, LBW_ERR_FORMAT, "not text");
    else if (text[strspn(text, " \t\r\n")] == '{')
        status = apply_json(plan, text, size, err);
    else
        status = apply_text(plan, text, err);
    free(text);
    return lbw_within(err, status, "%s", path ? path : "plan");
}

enum lbw_status lbw_plan_apply(struct lbw_plan *plan, const char *path, struct lbw_error *err)
{
    struct lbw_bytes bytes;
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    enum lbw_status status = lbw_plan_apply_memory(plan, bytes.data, bytes.size, path, err);
    lbw_bytes_release(&bytes);
    return status;
}
