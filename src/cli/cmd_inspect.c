/* SPDX-License-Identifier: MIT */
/* lbw inspect: describes a model and its weights. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/summary.h"
#include "cli/table.h"
#include "cli/talk.h"

struct inspect_values {
    const char *ops;
    bool json, digest;
};

/* Some exporters name a dynamic dim by a formula of a hundred letters. */
#define MAX_SYMBOL 24

/* "float32 [1,3,?,width]" */
static void describe_port(char *out, size_t size, const struct lbw_port *port)
{
    size_t used = (size_t)snprintf(out, size, "%s", port->type);
    if (port->num_dims < 0)
        return;
    for (int i = 0; i < port->num_dims && used < size; i++) {
        const char *before = i ? "," : " [";
        const char *symbol = port->symbols[i] && *port->symbols[i] ? port->symbols[i] : "?";
        if (strlen(symbol) > MAX_SYMBOL)
            symbol = "?";
        int put = port->dims[i] >= 0
                      ? snprintf(out + used, size - used, "%s%" PRId64, before, port->dims[i])
                      : snprintf(out + used, size - used, "%s%s", before, symbol);
        used += (size_t)put;
    }
    if (used < size)
        snprintf(out + used, size - used, port->num_dims ? "]" : " []");
}

static void add_ports(struct lbw_table *table, const char *title, const struct lbw_port *ports,
                      size_t num)
{
    for (size_t i = 0; i < num; i++) {
        char text[512];
        describe_port(text, sizeof text, &ports[i]);
        lbw_table_cell(table, "%s", i ? "" : title);
        lbw_table_cell(table, "%s", ports[i].name);
        lbw_table_cell(table, "%s", text);
    }
}

static void print_head(const char *path, const struct lbw_model_info *info, uint64_t size)
{
    char text[LBW_TEXT_SIZE];
    lbw_print_clean(stdout, path);
    printf(": %s, ONNX IR %" PRId64 ", opset %" PRId64 "%s", lbw_text_bytes(text, size),
           info->ir_version, info->opset, *info->producer ? ", from " : "");
    lbw_print_clean(stdout, info->producer);
    putchar('\n');
    printf("%zu node%s", info->num_nodes, info->num_nodes == 1 ? "" : "s");
    if (info->num_functions)
        printf(", %zu function%s", info->num_functions, info->num_functions == 1 ? "" : "s");
    puts("\n");
    static const struct lbw_column columns[] = {
        {"", LBW_ALIGN_LEFT}, {"name", LBW_ALIGN_LEFT}, {"type", LBW_ALIGN_LEFT}};
    struct lbw_table table;
    lbw_table_init(&table, columns, 3);
    add_ports(&table, info->num_inputs == 1 ? "input" : "inputs", info->inputs,
              info->num_inputs);
    add_ports(&table, info->num_outputs == 1 ? "output" : "outputs", info->outputs,
              info->num_outputs);
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
    if (info->num_metadata)
        fputs("\nmetadata:", stdout);
    for (size_t i = 0; i < info->num_metadata; i++) {
        fputs(i ? ", " : " ", stdout);
        lbw_print_clean(stdout, info->metadata[2 * i]);
    }
    puts(info->num_metadata ? "\n" : "");
}

/* Node and tensor as users name them: with the scope unless it is the main graph. */
static void add_name(struct lbw_table *table, const char *name, const char *scope)
{
    if (*scope)
        lbw_table_cell(table, "%s (%s)", name, scope);
    else
        lbw_table_cell(table, "%s", name);
}

/* A weight that is computed at run time has no numbers to show. */
static void add_numbers(struct lbw_table *table, const struct lbw_plan_item *item)
{
    char shape[96], count[LBW_TEXT_SIZE];
    if (!item->count) {
        for (int i = 0; i < 5; i++)
            lbw_table_cell(table, "?");
        lbw_table_cell(table, "%s", item->reason);
        return;
    }
    lbw_table_cell(table, "%s", lbw_text_shape(shape, item->num_dims, item->dims));
    lbw_table_cell(table, "%s", item->type);
    lbw_table_cell(table, "%s", lbw_text_count(count, item->count));
    bool is_known = item->max_magnitude > 0 || item->num_zeros > 0;
    lbw_table_cell(table, is_known ? "%.4g" : "?", item->max_magnitude);
    lbw_table_cell(table, is_known ? "%.1f %%" : "?",
                   100.0 * (double)item->num_zeros / (double)item->count);
    lbw_table_cell(table, "%s", item->encoded);
}

static void print_weights(const struct lbw_plan *plan)
{
    static const struct lbw_column columns[] = {
        {"node", LBW_ALIGN_SHRINK},   {"op", LBW_ALIGN_LEFT},
        {"tensor", LBW_ALIGN_SHRINK}, {"shape", LBW_ALIGN_LEFT},
        {"type", LBW_ALIGN_LEFT},     {"parameters", LBW_ALIGN_RIGHT},
        {"largest", LBW_ALIGN_RIGHT}, {"zeros", LBW_ALIGN_RIGHT},
        {"encoding", LBW_ALIGN_LEFT},
    };
    struct lbw_table table;
    lbw_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++) {
        const struct lbw_plan_item *item = lbw_plan_item(plan, i);
        add_name(&table, item->node, item->scope);
        lbw_table_cell(&table, "%s", item->op);
        lbw_table_cell(&table, "%s", item->tensor);
        add_numbers(&table, item);
    }
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
}

static void print_total(const struct lbw_plan *plan)
{
    uint64_t count = 0;
    size_t num = lbw_plan_num_items(plan), encoded = 0;
    for (size_t i = 0; i < num; i++) {
        count += lbw_plan_item(plan, i)->count;
        encoded += *lbw_plan_item(plan, i)->encoded != '\0';
    }
    char text[LBW_TEXT_SIZE];
    if (!num) {
        puts("no weights that lbw converts");
        lbw_print_others(stdout, plan);
        return;
    }
    printf("\n%zu weight%s, %s parameters", num, num == 1 ? "" : "s",
           lbw_text_count(text, count));
    if (encoded)
        printf(", %zu of them encoded", encoded);
    putchar('\n');
    lbw_print_others(stdout, plan);
}

static json_t *json_port(const struct lbw_port *port)
{
    json_t *dims = port->num_dims < 0 ? json_null() : json_array();
    for (int i = 0; i < port->num_dims; i++)
        lbw_json_append(&dims, port->dims[i] >= 0 ? json_integer(port->dims[i])
                               : port->symbols[i] && *port->symbols[i]
                                   ? lbw_json_text(port->symbols[i])
                                   : json_null());
    return json_pack("{s:o, s:s, s:o}", "name", lbw_json_text(port->name), "type", port->type,
                     "shape", dims);
}

static json_t *json_ports(const struct lbw_port *ports, size_t num)
{
    json_t *list = json_array();
    for (size_t i = 0; i < num; i++)
        lbw_json_append(&list, json_port(&ports[i]));
    return list;
}

static json_t *json_weight(const struct lbw_plan_item *item)
{
    json_t *dims = json_array();
    for (size_t i = 0; i < item->num_dims; i++)
        lbw_json_append(&dims, json_integer(item->dims[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:I, s:o, s:I, s:s}", "node",
                     lbw_json_text(item->node), "op", lbw_json_text(item->op), "tensor",
                     lbw_json_text(item->tensor), "scope", lbw_json_text(item->scope), "shape",
                     dims, "type", item->type, "parameters", (json_int_t)item->count, "uses",
                     (json_int_t)item->num_uses, "largest", lbw_json_real(item->max_magnitude),
                     "zeros", (json_int_t)item->num_zeros, "encoding", item->encoded);
}

static int print_json(const char *path, const struct lbw_model_info *info, uint64_t size,
                      const struct lbw_plan *plan)
{
    json_t *weights = json_array(), *metadata = json_object(), *others = json_array();
    for (size_t i = 0; i < lbw_plan_num_others(plan); i++) {
        const struct lbw_plan_other *other = lbw_plan_other(plan, i);
        lbw_json_append(&others,
                        json_pack("{s:o, s:I, s:I, s:s}", "op", lbw_json_text(other->op),
                                  "weights", (json_int_t)other->num_weights, "bytes",
                                  (json_int_t)other->bytes, "note", other->note));
    }
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        lbw_json_append(&weights, json_weight(lbw_plan_item(plan, i)));
    for (size_t i = 0; i < info->num_metadata; i++)
        lbw_json_set(&metadata, info->metadata[2 * i],
                     lbw_json_text(info->metadata[2 * i + 1]));
    return lbw_json_print(json_pack(
        "{s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "model",
        lbw_json_text(path), "bytes", (json_int_t)size, "ir_version",
        (json_int_t)info->ir_version, "opset", (json_int_t)info->opset, "producer",
        lbw_json_text(info->producer), "graph", lbw_json_text(info->graph_name), "nodes",
        (json_int_t)info->num_nodes, "functions", (json_int_t)info->num_functions, "inputs",
        json_ports(info->inputs, info->num_inputs), "outputs",
        json_ports(info->outputs, info->num_outputs), "metadata", metadata, "weights", weights,
        "others", others));
}

static int print_digest(struct lbw_model *model, const char *path)
{
    char digest[LBW_DIGEST_SIZE];
    struct lbw_error err = {0};
    if (lbw_digest(digest, model, &err) != LBW_OK)
        return lbw_explain(&err);
    printf("%s  %s\n", digest, path);
    return LBW_EXIT_DONE;
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct inspect_values *v = values;
    const char *path = arguments[0];
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_model_info info;
    struct lbw_plan *plan = NULL;
    const struct lbw_prepare_params look = {.ops = v->ops, .as_is = true};
    const struct lbw_plan_params params = {.ops = v->ops};
    uint64_t size = 0;
    int code = LBW_EXIT_DONE;
    enum lbw_status status = lbw_model_open(&model, path, &err);
    if (status == LBW_OK && v->digest) {
        code = print_digest(model, path);
        lbw_model_close(&model);
        return code;
    }
    if (status == LBW_OK)
        status = lbw_model_describe(&info, model, &err);
    if (status == LBW_OK) {
        size = info.file_size ? info.file_size : lbw_model_size(model);
        status = lbw_model_prepare(model, &look, &err);
    }
    if (status == LBW_OK)
        status = lbw_plan_new(&plan, model, &params, &err);
    if (status != LBW_OK) {
        code = lbw_explain(&err);
    } else if (v->json) {
        code = print_json(path, &info, size, plan);
    } else {
        print_head(strcmp(path, "-") == 0 ? "standard input" : path, &info, size);
        if (lbw_plan_num_items(plan))
            print_weights(plan);
        print_total(plan);
    }
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return code;
}

static const struct lbw_option options[] = {
    {"ops", 0, LBW_OPTION_STRING, offsetof(struct inspect_values, ops), "A,B",
     "list the weights of these operators (default Conv,ConvTranspose; also Gemm and MatMul "
     "if they hold more than a tenth of the weights)"},
    {"json", 0, LBW_OPTION_FLAG, offsetof(struct inspect_values, json), NULL,
     "print JSON instead of tables"},
    {"digest", 0, LBW_OPTION_FLAG, offsetof(struct inspect_values, digest), NULL,
     "print only a digest of the weights, which is the same for all encodings of a model"},
    {0},
};

const struct lbw_command lbw_cmd_inspect = {
    .name = "inspect",
    .summary = "describe a model and its convolution weights",
    .arguments = "MODEL",
    .description =
        "Prints the opset, the inputs and outputs, and one line per convolution weight: its "
        "node, shape, type, largest magnitude, number of zeros, and encoding.",
    .example = "lbw inspect model.onnx",
    .options = options,
    .values_size = sizeof(struct inspect_values),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
