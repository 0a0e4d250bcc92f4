/* SPDX-License-Identifier: MIT */
/*
 * Every gradient rule against central differences: small models of one node whose float inputs
 * are all wanted, in double where the runtime computes the operator in double, else in float.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "fixture.h"
#include "grad/grad.h"
#include "run/session.h"
#include "runtime.h"

#define MAX_INPUTS  8
#define MAX_OUTPUTS 3
#define MAX_INNER   5

/*
 * Inputs, separated by blanks: "2,3" a wanted tensor of these dims, "+2,3" of positive values,
 * "!2,3" positive and not wanted, "i:1,2" constant integers, "f:1,2" constant floats, "-" left
 * out; named w0, w1, … Attributes: "a=1" an int, "a*1,2" ints, "a~.5" a float, "a~.5,2" floats,
 * "a:text".
 */
struct one {
    const char *op; /* or nodes "OP input… output; …" without attributes */
    const char *inputs, *attributes;
    int from, to; /* opsets */
    int num_outputs;
};

static const struct one cases[] = {
    {"Identity", "2,3", "", 7, 21},
    {"Add", "2,3,4 2,3,4", "", 7, 21},
    {"Add", "2,3,4 3,1", "", 7, 21},
    {"Sub", "3,1 2,3,4", "", 7, 21},
    {"Mul", "2,3,4 1,3,1", "", 7, 21},
    {"Mul", "1 2,3", "", 7, 21},
    {"Div", "2,3,4 +4", "", 7, 21},
    {"Div", "4 +2,3,1", "", 7, 21},
    {"Sum", "2,3 3 2,1", "", 8, 21},
    {"Neg", "5", "", 7, 21},
    {"Sqrt", "+5", "", 7, 21},
    {"Log", "+5", "", 7, 21},
    {"Abs", "6", "", 7, 21},
    {"Exp", "6", "", 7, 21},
    {"Relu", "2,5", "", 7, 21},
    {"LeakyRelu", "2,5", "alpha~.3", 7, 21},
    {"LeakyRelu", "2,5", "", 7, 21},
    {"PRelu", "1,3,2,4 3,1,1", "", 7, 21},
    {"PRelu", "2,4 1", "", 7, 21},
    {"Clip", "3,4", "min~-.7 max~.9", 7, 10},
    {"Clip", "3,4 f:-.7 f:.9", "", 11, 21},
    {"Clip", "3,4 - f:.9", "", 11, 21},
    {"Sigmoid", "3,4", "", 7, 21},
    {"Sigmoid w0 a; Mul w0 a y0", "3,4", "", 7, 21},
    {"Sigmoid w0 a; Mul a w0 b; Add b a y0", "3,4", "", 7, 21},
    {"Tanh", "3,4", "", 7, 21},
    {"Softplus", "3,4", "", 7, 21},
    {"HardSigmoid", "3,4", "alpha~.7 beta~.4", 7, 21},
    {"HardSigmoid", "3,4", "", 7, 21},
    {"HardSwish", "3,4", "", 14, 21},
    {"BatchNormalization", "2,3,2,2 3 3 !3 !3", "epsilon~.01", 9, 21},
    {"BatchNormalization", "4,3 3 3 !3 !3", "", 9, 21},
    {"Softmax", "2,3,4", "axis=1", 7, 21},
    {"Softmax", "2,3,4", "", 7, 21},
    {"Softmax", "2,3,4", "axis=0", 7, 21},
    {"Dropout", "2,3", "", 7, 21},
    {"Reshape", "2,3,4 i:4,-1", "", 7, 21},
    {"Flatten", "2,3,4", "axis=2", 7, 21},
    {"Squeeze", "2,1,3,1", "axes*1,3", 7, 12},
    {"Squeeze", "2,1,3,1 i:1,3", "", 13, 21},
    {"Unsqueeze", "2,3", "axes*0,2", 7, 12},
    {"Unsqueeze", "2,3 i:0,2", "", 13, 21},
    {"Transpose", "2,3,4", "perm*2,0,1", 7, 21},
    {"Transpose", "2,3,4", "", 7, 21},
    {"Concat", "2,3,2 2,1,2 2,2,2", "axis=1", 7, 21},
    {"Concat", "2,3 2,1", "axis=-1", 11, 21},
    {"Split", "2,6", "axis=1 split*1,2,3", 7, 12, 3},
    {"Split", "2,6 i:4,2", "axis=1", 13, 21, 2},
    {"Split", "6,2", "", 7, 17, 2},
    {"Slice", "3,5,2", "starts*1,-4 ends*3,9223372036854775807 axes*0,1", 7, 9},
    {"Slice", "3,5,2 i:1,0 i:3,-1", "", 10, 21},
    {"Slice", "3,7,2 i:1,-1 i:6,-4 i:1,2 i:2,-1", "", 10, 21},
    {"Slice", "5,7 i:4 i:-9 i:0 i:-2", "", 10, 21},
    {"Pad", "2,3,4", "pads*0,1,2,1,0,1 value~.5", 7, 10},
    {"Pad", "2,3,4 i:0,1,2,1,0,1", "", 11, 21},
    {"Pad", "2,3,4 i:0,-1,2,0,0,-1", "", 11, 21},
    {"Pad", "2,4,5 i:0,2,1,0,3,4", "mode:reflect", 11, 21},
    {"Pad", "2,4,5 i:0,2,1,0,3,0", "mode:edge", 11, 21},
    {"Pad", "2,3,4 i:1,2 - i:1", "", 18, 21},
    {"Gather", "4,3 i:2,0,1", "", 7, 21},
    {"Gather", "2,5,3 i:1,-1", "axis=1", 11, 21},
    {"Gather", "2,5,3 i:1,3,1", "axis=-2", 7, 21},
    {"Gather", "2,5,3 s:1", "axis=1", 7, 21},
    {"ReduceMean", "2,3,4", "axes*1,2 keepdims=0", 7, 17},
    {"ReduceMean", "2,3,4 i:-1", "", 18, 21},
    {"ReduceSum", "2,3,4", "axes*-1 keepdims=1", 11, 12},
    {"ReduceSum", "2,3,4 i:0,2", "keepdims=0", 13, 21},
    {"ReduceSum", "2,3,4", "", 7, 21},
    {"MaxPool", "1,2,6,7", "kernel_shape*2,2 strides*2,2", 7, 21},
    {"MaxPool", "2,2,7,6", "kernel_shape*3,3 strides*2,2 pads*1,1,1,1", 7, 21},
    {"MaxPool", "1,2,5,6", "kernel_shape*5,3 pads*2,1,2,1", 7, 21},
    {"MaxPool", "1,1,7,8", "kernel_shape*3,2 strides*2,3 ceil_mode=1", 10, 21},
    {"MaxPool", "1,2,8,7", "kernel_shape*3,2 dilations*2,3 strides*1,2", 10, 21},
    {"MaxPool", "1,2,7,6", "kernel_shape*3,3 strides*2,2 auto_pad:SAME_UPPER", 7, 21},
    {"MaxPool", "2,2,9", "kernel_shape*3 strides*2", 7, 21},
    {"AveragePool", "1,2,6,7", "kernel_shape*3,2 strides*2,3 pads*1,0,1,1", 7, 21},
    {"AveragePool", "1,2,6,7", "kernel_shape*3,3 pads*1,1,1,1 count_include_pad=1", 7, 21},
    {"AveragePool", "1,2,7,7", "kernel_shape*2,2 strides*2,2 auto_pad:SAME_LOWER", 7, 21},
    {"GlobalAveragePool", "2,3,4,5", "", 7, 21},
    {"Upsample", "1,2,3,4", "scales~1,1,2,3", 7, 8},
    {"Upsample", "1,2,3,4 f:1,1,2,2", "mode:linear", 9, 9},
    {"Resize", "1,2,3,4 f:1,1,2,1.5", "", 10, 10},
    {"Resize", "1,2,3,4 f: f:1,1,2,2",
     "coordinate_transformation_mode:asymmetric "
     "nearest_mode:floor",
     11, 21},
    {"Resize", "1,2,4,4 f: f:1,1,1.6,.5", "", 11, 21},
    {"Resize", "1,2,3,4 f: f: i:1,2,6,8", "mode:linear", 11, 21},
    {"Resize", "1,2,5,4 f: f:1,1,2,1.7", "mode:linear", 11, 21},
    {"Resize", "1,2,5,4 - - i:1,2,7,9",
     "mode:linear "
     "coordinate_transformation_mode:align_corners",
     13, 21},
    {"Resize", "1,1,4,4 - - i:1,1,8,6",
     "mode:linear "
     "coordinate_transformation_mode:pytorch_half_pixel",
     13, 21},
    {"Resize", "1,1,4,5 - - i:1,1,8,3", "nearest_mode:ceil", 13, 21},
    {"Conv", "2,3,5,6 4,3,3,3 4", "pads*1,1,1,1", 7, 21},
    {"Conv", "1,3,6,5 4,3,1,1 4", "", 7, 21},
    {"Conv", "2,3,6,5 4,3,1,1", "strides*2,2", 7, 21},
    {"Conv", "1,2,7,8 3,2,3,2", "strides*2,3 pads*1,0,2,1", 7, 21},
    {"Conv", "1,2,8,9 3,2,3,2", "dilations*2,3 pads*2,1,0,1 strides*1,2", 7, 21},
    {"Conv", "1,4,5,5 4,1,3,3 4", "group=4 pads*1,1,1,1", 7, 21},
    {"Conv", "1,3,6,5 3,1,5,3", "group=3 pads*2,1,2,1", 7, 21},
    {"Conv", "1,2,9,8 2,1,3,3", "group=2 strides*2,2 dilations*1,2 pads*1,2,0,1", 7, 21},
    {"Conv", "1,3,4,40 3,1,3,3", "group=3 pads*1,1,1,1", 7, 21},
    {"Conv", "2,3,7,6 6,1,3,3", "group=3 pads*1,1,1,1 strides*2,2", 7, 21},
    {"Conv", "2,4,5,5 6,2,3,3 6", "group=2", 7, 21},
    {"Conv", "1,4,6,5 6,2,1,1 6", "group=2", 7, 21},
    {"Conv", "1,2,7,6 3,2,3,3", "strides*2,2 auto_pad:SAME_UPPER", 7, 21},
    {"Conv", "1,2,7,6 3,2,2,4", "strides*2,2 auto_pad:SAME_LOWER", 7, 21},
    {"Conv", "1,2,9,9 3,2,3,3", "strides*4,4", 7, 21},
    {"Conv", "2,3,8 4,3,3 4", "strides*2 pads*1,1", 7, 21},
    {"ConvTranspose", "2,3,4,5 3,2,3,3 2", "", 7, 21},
    {"ConvTranspose", "1,3,4,5 3,2,2,2 2", "strides*2,2", 7, 21},
    {"ConvTranspose", "1,4,3,4 4,2,3,3",
     "group=2 strides*2,3 pads*1,1,0,1 "
     "output_padding*1,2",
     7, 21},
    {"ConvTranspose", "1,3,4,4 3,1,3,3 3", "group=3 dilations*2,1", 7, 21},
    {"Gemm", "3,4 4,5 5", "", 7, 21},
    {"Gemm", "4,3 5,4 3,1", "transA=1 transB=1 alpha~.5 beta~2", 7, 21},
    {"Gemm", "3,4 5,4", "transB=1", 11, 21},
    {"Gemm", "4,3 4,5 1", "transA=1", 7, 21},
    {"MatMul", "3,4 4,2", "", 7, 21},
    {"MatMul", "2,3,4 4,2", "", 7, 21},
    {"MatMul", "2,1,3,4 3,4,2", "", 7, 21},
    {"MatMul", "3,4 2,4,5", "", 7, 21},
    /* graphs: values with several readers, a weight read twice, a target behind another */
    {"Conv w0 w1 a; Relu a b; Conv b w1 c; Add b c d; Sigmoid d e; Mul d e y0",
     "1,3,5,5 3,3,1,1", "", 7, 21},
    /* scales, bounds and indices that the graph computes */
    {"Concat w1 w2 a; Resize w0 - a y0", "1,2,3,4 f:1,1 f:2,3", "", 13, 21},
    {"Shape w1 a; Slice w0 w2 a y0", "4,5,3 !3,4,2 i:1,1,0", "", 10, 21},
    {"Conv w0 w1 y0; Tanh y0 a; MatMul a w2 y1", "1,2,4,4 3,2,1,1 4,3", "", 7, 21, 2},
};

static const int opsets[] = {7, 9, 10, 11, 13, 17, 18, 21};

/* One tensor of a case. */
struct tensor {
    char name[16];
    bool is_wanted;
    int32_t type;
    struct lbw_grad_shape shape;
    size_t count;
    double values[1024];
};

struct trial {
    const struct one *one;
    int opset;
    int32_t type;
    size_t num_inputs;
    struct tensor inputs[MAX_INPUTS];
    size_t num_outputs;
    size_t num_inner; /* values named a, b, … on the way */
    struct lbw_array outputs[MAX_OUTPUTS + MAX_INNER];
};

static size_t read_numbers(double *out, const char *text)
{
    size_t num = 0;
    while (*text) {
        char *end;
        out[num++] = strtod(text, &end);
        text = *end ? end + 1 : end;
    }
    return num;
}

/* Distinct values in -2 … 2 (or .4 … 1.6), none at a kink of the operators above. */
static void fill(struct tensor *t, struct lbw_random *random, bool is_positive)
{
    for (size_t i = 0; i < t->count; i++)
        t->values[i] = ((double)i + 0.45) / (double)t->count;
    for (size_t i = t->count; i-- > 1;) {
        size_t k = lbw_random_below(random, (uint32_t)i + 1);
        double value = t->values[i];
        t->values[i] = t->values[k];
        t->values[k] = value;
    }
    for (size_t i = 0; i < t->count; i++)
        t->values[i] = is_positive ? 0.4 + 1.2 * t->values[i] : 4 * t->values[i] - 2;
}

static void read_input(struct tensor *t, const char *word, size_t i, int32_t type,
                       struct lbw_random *random)
{
    double numbers[32];
    bool is_list = word[1] == ':';
    bool is_signed = word[0] != '+' && word[0] != '!';
    size_t num = read_numbers(numbers, is_list ? word + 2 : is_signed ? word : word + 1);
    *t = (struct tensor){.type = type, .is_wanted = !is_list && word[0] != '!'};
    snprintf(t->name, sizeof t->name, "w%zu", i);
    t->count = is_list ? num : 1;
    t->shape.num_dims = word[0] == 's' ? 0 : is_list ? 1 : num;
    for (size_t k = 0; k < t->shape.num_dims; k++) {
        t->shape.dims[k] = is_list ? (int64_t)num : (int64_t)numbers[k];
        t->count *= is_list ? 1 : (size_t)numbers[k];
    }
    assert_true(t->count <= 1024);
    if (is_list)
        memcpy(t->values, numbers, num * sizeof *numbers);
    else
        fill(t, random, !is_signed);
    if (word[0] == 'i' || word[0] == 's')
        t->type = TYPE(INT64);
    /* Resize has float scales, whatever it resizes. */
    else if (is_list && num > 1)
        t->type = TYPE(FLOAT);
    t->shape.data_type = t->type;
}

static size_t write_values(void *out, const struct tensor *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->type == TYPE(INT64))
            ((int64_t *)out)[i] = (int64_t)t->values[i];
        else if (t->type == TYPE(DOUBLE))
            ((double *)out)[i] = t->values[i];
        else
            ((float *)out)[i] = (float)t->values[i];
    }
    return t->count * (t->type == TYPE(FLOAT) ? sizeof(float) : sizeof(double));
}

static void put_tensor(struct text *graph, const struct tensor *t)
{
    struct text tensor = {0};
    double raw[1024];
    size_t size = write_values(raw, t);
    for (size_t i = 0; i < t->shape.num_dims; i++)
        put_int(&tensor, 1, (uint64_t)t->shape.dims[i]);
    put_int(&tensor, 2, (uint64_t)t->type);
    put_text(&tensor, 8, t->name);
    put_bytes(&tensor, 9, raw, size);
    put_message(graph, 5, &tensor);
}

static void put_float(struct text *t, unsigned field, double value)
{
    float narrow = (float)value;
    put_varint(t, field << 3 | 5);
    put(t, &narrow, sizeof narrow);
}

/* The constant may also be given from outside, as old exporters have it. */
static void put_default(struct text *graph, const struct tensor *t)
{
    struct text port = {0}, type = {0}, tensor = {0}, shape = {0};
    for (size_t i = 0; i < t->shape.num_dims; i++) {
        struct text dim = {0};
        put_int(&dim, 1, (uint64_t)t->shape.dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_text(&port, 1, t->name);
    put_int(&tensor, 1, (uint64_t)t->type);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_message(&port, 2, &type);
    put_message(graph, 11, &port);
}

static void put_attribute(struct text *node, char *word)
{
    struct text a = {0};
    size_t at = strcspn(word, "=*~:");
    char kind = word[at], *value = word + at + 1;
    word[at] = '\0';
    put_text(&a, 1, word);
    bool is_list = kind == '*' || (kind == '~' && strchr(value, ','));
    put_int(&a, 20, kind == '=' ? 2 : kind == ':' ? 3 : kind == '*' ? 7 : is_list ? 6 : 1);
    if (kind == ':')
        put_text(&a, 4, value);
    else if (kind == '=')
        put_int(&a, 3, (uint64_t)strtoll(value, NULL, 10));
    else
        for (char *end = value; *value; value = *end ? end + 1 : end) {
            if (kind == '*')
                put_int(&a, 8, (uint64_t)strtoll(value, &end, 10));
            else
                put_float(&a, is_list ? 7 : 2, strtod(value, &end));
        }
    put_message(node, 5, &a);
}

static struct text wrap_at(struct text *graph, int opset)
{
    struct text model = {0}, import = {0};
    put_int(&model, 1, opset > 18 ? 10 : 8);
    put_message(&model, 7, graph);
    put_text(&import, 1, "");
    put_int(&import, 2, (uint64_t)opset);
    put_message(&model, 8, &import);
    return model;
}

static const char *const output_names[] = {"y0", "y1", "y2"};
static const char *const inner_names[MAX_INNER] = {"a", "b", "c", "d", "e"};

/* "OP input… output; …" */
static void put_nodes(struct text *graph, struct trial *trial)
{
    char *copy = strdup(trial->one->op), *save = NULL;
    for (char *line = strtok_r(copy, ";", &save); line; line = strtok_r(NULL, ";", &save)) {
        line += strspn(line, " ");
        char *inputs = strchr(line, ' '), *output = strrchr(line, ' ');
        *inputs = *output = '\0';
        struct text axis = {0};
        put_text(&axis, 1, "axis");
        put_int(&axis, 3, 0);
        put_int(&axis, 20, 2);
        bool is_concat = strcmp(line, "Concat") == 0;
        put_node(graph, 1, line, inputs + 1, output + 1, is_concat ? &axis : NULL);
        free(axis.data);
        if (output[1] != 'y')
            put_port(graph, 12, inner_names[trial->num_inner++]);
    }
    free(copy);
}

/* The case as a model whose tensors are of trial->type. */
static struct text make_model(struct trial *trial)
{
    struct text graph = {0}, node = {0};
    struct lbw_random random = {7};
    char *copy = strdup(trial->one->inputs), *save = NULL;
    trial->num_inputs = 0;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        struct tensor *t = &trial->inputs[trial->num_inputs];
        *t = (struct tensor){0};
        if (strcmp(word, "-") != 0)
            read_input(t, word, trial->num_inputs, trial->type, &random);
        put_text(&node, 1, t->name);
        if (*t->name)
            put_tensor(&graph, t);
        if (t->type == TYPE(INT64) && trial->opset == 11)
            put_default(&graph, t);
        trial->num_inputs++;
    }
    free(copy);
    trial->num_outputs = trial->one->num_outputs ? (size_t)trial->one->num_outputs : 1;
    for (size_t i = 0; i < trial->num_outputs; i++) {
        put_text(&node, 2, output_names[i]);
        put_port(&graph, 12, output_names[i]);
    }
    put_text(&node, 4, trial->one->op);
    if (trial->opset >= 18 && strcmp(trial->one->op, "Split") == 0 && trial->num_inputs == 1)
        put_attribute(&node, (char[]){"num_outputs=2"});
    copy = strdup(trial->one->attributes);
    save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        put_attribute(&node, word);
    free(copy);
    if (strchr(trial->one->op, ';')) {
        free(node.data);
        put_nodes(&graph, trial);
    } else {
        put_message(&graph, 1, &node);
    }
    put_text(&graph, 2, "one");
    return wrap_at(&graph, trial->opset);
}

/* How training graphs are built for a whole test. */
static struct {
    bool has_native; /* with the operator library, in float */
    bool is_scored;  /* cross-entropy, too */
} way;

static const struct lbw_session_params plain = {.num_threads = 1, .optimize = 1, .native = 1};

/* What the outputs are, by running the model as it is. False: not in this type. */
static bool run_forward(struct trial *trial, const struct text *model, struct lbw_error *err)
{
    struct lbw_session *session = NULL;
    if (lbw_session_open(&session, model->data, model->size, &plain, err) != LBW_OK)
        return false;
    bool done = lbw_session_run(session, NULL, trial->outputs, err) == LBW_OK;
    lbw_session_close(&session);
    return done;
}

/* The training graph of a model, its session, and the inputs in the session's order. */
struct training {
    struct lbw_model *model;
    struct lbw_index index;
    struct lbw_strmap shapes;
    struct lbw_grad grad;
    struct lbw_session *session;
    const char *weights[MAX_INPUTS];
    struct tensor *tensors[MAX_INPUTS];
    size_t num_weights;
    struct tensor wanted[MAX_OUTPUTS], factors[MAX_OUTPUTS], scores[MAX_OUTPUTS];
    struct lbw_grad_shape inner[MAX_INNER];
};

static struct lbw_grad_shape shape_of(const struct lbw_array *array)
{
    struct lbw_grad_shape shape = {array->data_type, array->num_dims, {0}, NULL};
    memcpy(shape.dims, array->dims, array->num_dims * sizeof *shape.dims);
    return shape;
}

static bool open_training(struct training *t, struct trial *trial, const struct text *model,
                          struct lbw_error *err)
{
    struct lbw_random random = {99};
    assert_int_equal(lbw_model_open_memory(&t->model, model->data, model->size, err), LBW_OK);
    assert_int_equal(lbw_index_init(&t->index, t->model, err), LBW_OK);
    for (size_t i = 0; i < trial->num_outputs; i++) {
        struct tensor *wanted = &t->wanted[i], *factors = &t->factors[i];
        wanted->shape = shape_of(&trial->outputs[i]);
        wanted->type = trial->type;
        wanted->count = trial->outputs[i].size / (trial->type == TYPE(FLOAT) ? 4 : 8);
        assert_in_range(wanted->count, 1, 1024);
        fill(wanted, &random, false);
        *factors = *wanted;
        fill(factors, &random, true);
        t->scores[i] = *wanted;
        fill(&t->scores[i], &random, true);
        assert_true(lbw_strmap_put(&t->shapes, output_names[i], &wanted->shape));
    }
    for (size_t i = 0; i < trial->num_inner; i++) {
        t->inner[i] = shape_of(&trial->outputs[trial->num_outputs + i]);
        t->inner[i].values = trial->outputs[trial->num_outputs + i].data;
        assert_true(lbw_strmap_put(&t->shapes, inner_names[i], &t->inner[i]));
    }
    for (size_t i = 0; i < trial->num_inputs; i++)
        if (trial->inputs[i].is_wanted) {
            t->tensors[t->num_weights] = &trial->inputs[i];
            t->weights[t->num_weights++] = trial->inputs[i].name;
        }
    struct lbw_grad_params params = {.targets = output_names,
                                     .num_targets = trial->num_outputs,
                                     .weights = t->weights,
                                     .num_weights = t->num_weights,
                                     .shapes = &t->shapes,
                                     .has_native = way.has_native,
                                     .num_scored = way.is_scored ? trial->num_outputs : 0};
    if (lbw_grad_build(&t->grad, &t->index, &params, err) != LBW_OK)
        return false;
    if (t->grad.num_cuts) {
        snprintf(err->message, sizeof err->message, "%s", t->grad.cuts[0]);
        return false;
    }
    return lbw_session_open(&t->session, t->grad.data, t->grad.size, &plain, err) == LBW_OK;
}

static void close_training(struct training *t)
{
    lbw_session_close(&t->session);
    lbw_grad_release(&t->grad);
    lbw_strmap_release(&t->shapes);
    lbw_index_release(&t->index);
    lbw_model_close(&t->model);
}

static void set_input(struct training *t, struct lbw_array *arrays, const char *name,
                      const struct tensor *tensor)
{
    size_t i = lbw_session_find_input(t->session, name);
    assert_true(i < lbw_session_num_inputs(t->session));
    struct lbw_array *array = &arrays[i];
    array->data = calloc(tensor->count, sizeof(double));
    array->size = write_values(array->data, tensor);
    array->data_type = tensor->type;
    array->num_dims = tensor->shape.num_dims;
    memcpy(array->dims, tensor->shape.dims, array->num_dims * sizeof *array->dims);
}

/* Runs with the tensors as they are now; outputs as in the training graph. */
static void run(struct training *t, struct lbw_array *outputs)
{
    size_t num = lbw_session_num_inputs(t->session);
    struct lbw_array *arrays = calloc(num + 1, sizeof *arrays);
    struct lbw_error err = {0};
    for (size_t i = 0; i < MAX_OUTPUTS && t->wanted[i].count; i++) {
        set_input(t, arrays, t->grad.wanted[i], &t->wanted[i]);
        set_input(t, arrays, t->grad.factors[i], &t->factors[i]);
        if (way.is_scored)
            set_input(t, arrays, t->grad.scores[i], &t->scores[i]);
    }
    for (size_t i = 0; i < t->num_weights; i++)
        set_input(t, arrays, t->weights[i], t->tensors[i]);
    if (lbw_session_run(t->session, arrays, outputs, &err) != LBW_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < num; i++)
        lbw_array_release(&arrays[i]);
    free(arrays);
}

static double read_at(const struct lbw_array *array, size_t i)
{
    return array->data_type == TYPE(DOUBLE) ? ((const double *)array->data)[i]
                                            : ((const float *)array->data)[i];
}

static double loss_of(struct training *t)
{
    struct lbw_array outputs[MAX_INPUTS + 1] = {0};
    run(t, outputs);
    double loss = read_at(&outputs[0], 0);
    for (size_t i = 0; i <= t->num_weights; i++)
        lbw_array_release(&outputs[i]);
    return loss;
}

/* The largest difference between gradient and central difference, as a share. */
static double worst_difference(struct training *t, int32_t type, const char **where)
{
    struct lbw_array outputs[MAX_INPUTS + 1] = {0};
    double h = type == TYPE(DOUBLE) ? 1e-5 : 0.02, worst = 0;
    run(t, outputs);
    for (size_t i = 0; i < t->num_weights; i++) {
        const struct lbw_array *gradient = &outputs[1 + i];
        struct tensor *weight = t->tensors[i];
        double largest = 1;
        assert_int_equal(gradient->num_dims, weight->shape.num_dims);
        assert_memory_equal(gradient->dims, weight->shape.dims,
                            gradient->num_dims * sizeof *gradient->dims);
        for (size_t k = 0; k < weight->count; k++)
            largest = fmax(largest, fabs(read_at(gradient, k)));
        for (size_t k = 0; k < weight->count; k++) {
            double value = weight->values[k];
            weight->values[k] = value + h;
            double above = loss_of(t);
            weight->values[k] = value - h;
            double difference = (above - loss_of(t)) / (2 * h);
            weight->values[k] = value;
            double error = fabs(difference - read_at(gradient, k)) / largest;
            if (!(error <= worst)) {
                worst = error;
                *where = weight->name;
            }
        }
    }
    for (size_t i = 0; i <= t->num_weights; i++)
        lbw_array_release(&outputs[i]);
    return worst;
}

/* All cases are tried before the test fails. */
static size_t num_wrong;

static void LBW_PRINTF(2, 3) complain(const struct trial *trial, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print_error("%s (%s; %s) opset %d: %s\n", trial->one->op, trial->one->inputs,
                trial->one->attributes, trial->opset, text);
    num_wrong++;
}

/* False where the runtime does not compute the operator, or its gradient, in this type. */
static bool check(const struct one *one, int opset, int32_t type, struct lbw_error *err)
{
    static struct trial trial;
    struct training training = {0};
    const char *where = "";
    trial = (struct trial){.one = one, .opset = opset, .type = type};
    struct text model = make_model(&trial);
    bool is_run = run_forward(&trial, &model, err);
    if (is_run) {
        bool is_open = open_training(&training, &trial, &model, err);
        if (!is_open && type == TYPE(FLOAT))
            complain(&trial, "%s", err->message);
        is_run = is_open;
        double error = is_open ? worst_difference(&training, type, &where) : 0;
        if (!(error < (type == TYPE(DOUBLE) ? 1e-6 : 2e-3)))
            complain(&trial, "the gradient of %s is off by %g", where, error);
        close_training(&training);
    }
    for (size_t i = 0; i < trial.num_outputs + trial.num_inner; i++)
        lbw_array_release(&trial.outputs[i]);
    free(model.data);
    return is_run;
}

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct one *one = &cases[i];
        for (size_t k = 0; k < sizeof opsets / sizeof *opsets; k++) {
            if (opsets[k] < one->from || opsets[k] > one->to)
                continue;
            struct lbw_error err = {0};
            if (!check(one, opsets[k], TYPE(DOUBLE), &err) &&
                !check(one, opsets[k], TYPE(FLOAT), &err)) {
                print_error("%s (%s; %s) opset %d does not run: %s\n", one->op, one->inputs,
                            one->attributes, opsets[k], err.message);
                num_wrong++;
            }
        }
    }
    assert_int_equal(num_wrong, 0);
}

/* The same gradients where the operator library has operators for them. */
static void test_native(void **state)
{
    static const struct one natives[] = {
        {"Relu", "2,25", "", 7, 21},
        {"LeakyRelu", "1,9", "alpha~.3", 7, 21},
        {"Sigmoid w0 a; Mul w0 a y0", "3,9", "", 13, 13},
        {"Sigmoid w0 a; Mul a w0 b; Add b a y0", "3,4", "", 13, 13},
        {"Conv", "1,4,5,5 4,1,3,3 4", "group=4 pads*1,1,1,1", 13, 13},
        {"Conv", "1,3,6,5 3,1,5,3", "group=3 pads*2,1,2,1", 13, 13},
        {"Conv", "1,2,9,8 2,1,3,3", "group=2 strides*2,2 pads*1,2,0,1", 13, 13},
        {"Conv", "1,2,8,9 2,1,3,3", "group=2 strides*2,2 pads*1,1,1,1", 13, 13},
        {"Conv", "1,2,7,9 2,1,2,3", "group=2 strides*1,2", 13, 13},
        {"Conv", "1,3,4,20 3,1,3,3", "group=3 pads*1,1,1,1", 13, 13},
        {"Conv", "1,2,9,9 2,1,5,5 2", "group=2 pads*2,2,2,2", 13, 13},
        {"Conv", "1,2,9,9 2,1,7,7", "group=2 strides*2,2 pads*3,3,3,3", 13, 13},
        {"Conv", "2,3,7,6 3,1,3,3", "group=3 pads*1,1,1,1 strides*2,2", 13, 13},
        {"Conv", "1,2,9,8 2,1,3,3", "group=2 dilations*2,2", 13, 13},
        {"MaxPool", "1,2,4,5", "kernel_shape*3,3 pads*1,1,1,1", 13, 13},
        {"MaxPool", "1,2,8,9", "kernel_shape*3,3 strides*2,2 pads*1,1,1,1", 13, 13},
        {"MaxPool", "1,2,9,7", "kernel_shape*2,3 strides*2,3 ceil_mode=1", 13, 13},
        {"MaxPool", "1,1,9,9", "kernel_shape*3,3 dilations*2,2", 13, 13},
        {"Conv w0 w1 w2 a; Sigmoid a b; Mul a b y0", "1,2,3,7 3,2,1,1 3", "", 13, 13},
        {"Conv w0 w1 w2 a; Relu a y0", "2,2,4,5 3,2,1,1 3", "", 13, 13},
        {"Conv", "1,3,6,9 5,3,3,3 5", "pads*1,1,1,1", 13, 13},
        {"Conv", "1,3,9,8 4,3,3,3 4", "strides*2,2 pads*1,1,1,1", 13, 13},
        {"Conv", "1,2,7,20 6,2,5,3", "strides*1,2 pads*2,0,1,2", 13, 13},
        {"Conv", "1,3,4,4 2,3,3,3 2", "dilations*2,2 pads*2,2,2,2", 13, 13},
    };
    struct lbw_error err = {0};
    (void)state;
    if (!lbw_session_has_native()) {
        print_message("no operator library for this runtime: skipped\n");
        skip();
    }
    way.has_native = true;
    for (size_t i = 0; i < sizeof natives / sizeof *natives; i++)
        assert_true(check(&natives[i], 13, TYPE(FLOAT), &err));
    way.has_native = false;
    assert_int_equal(num_wrong, 0);
}

/* Cross-entropy of probabilities that a model gives. */
static void test_scores(void **state)
{
    static const struct one scored[] = {
        {"Sigmoid", "3,4", "", 7, 21},
        {"Softmax", "2,3,4", "axis=1", 7, 21},
        {"Sigmoid", "1,3,7", "", 7, 21},
    };
    struct lbw_error err = {0};
    (void)state;
    way.is_scored = true;
    for (size_t i = 0; i < sizeof scored / sizeof *scored; i++) {
        assert_true(check(&scored[i], 13, TYPE(DOUBLE), &err));
        assert_true(check(&scored[i], 7, TYPE(FLOAT), &err));
        way.has_native = lbw_session_has_native();
        assert_true(check(&scored[i], 13, TYPE(FLOAT), &err));
        way.has_native = false;
    }
    way.is_scored = false;
    assert_int_equal(num_wrong, 0);
}

/* Of x and of every value after it. */
static struct lbw_grad_shape whole = {TYPE(FLOAT), 4, {1, 2, 4, 4}, NULL};

static struct lbw_model *open_nodes(struct trial *trial, struct lbw_index *index)
{
    struct text graph = {0};
    struct lbw_model *model = NULL;
    static const struct tensor weight = {
        .type = TYPE(FLOAT), .shape = {TYPE(FLOAT), 4, {2, 2, 1, 1}}, .count = 4};
    struct tensor copy = weight;
    put_nodes(&graph, trial);
    put_text(&graph, 2, "g");
    for (unsigned i = 0; i < 3; i++) {
        snprintf(copy.name, sizeof copy.name, "w%u", i);
        put_tensor(&graph, &copy);
    }
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y0");
    struct text text = wrap_at(&graph, 13);
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    assert_int_equal(lbw_index_init(index, model, NULL), LBW_OK);
    free(text.data);
    return model;
}

/* The targets are the last convolutions, whatever decodes them. */
static void test_targets(void **state)
{
    (void)state;
    static const struct one one = {
        "Conv x w0 a; Conv a w1 b; Conv a w2 c; Sigmoid b d; Add d c e; Shape a y0", "", ""};
    static const struct one other = {"Conv x w0 a; Conv a w1 b; Sigmoid b y0", "", ""};
    struct trial trial = {.one = &one};
    struct lbw_index index;
    const char **names;
    size_t num = 0;
    struct lbw_error err = {0};
    struct lbw_model *model = open_nodes(&trial, &index);
    assert_int_equal(lbw_grad_targets(&names, &num, &index, &err), LBW_OK);
    assert_int_equal(num, 3); /* put_nodes() makes inner values outputs too: a, b, c */
    assert_string_equal(names[0], "a");
    assert_string_equal(names[2], "c");
    lbw_index_release(&index);
    lbw_model_close(&model);
    trial = (struct trial){.one = &other};
    model = open_nodes(&trial, &index);
    assert_int_equal(lbw_grad_values(&names, &num, &index, (const char *[]){"b"}, 1, &err),
                     LBW_OK);
    assert_int_equal(num, 2);
    assert_string_equal(names[1], "b");
    assert_int_equal(lbw_grad_values(&names, &num, &index, (const char *[]){"x"}, 1, &err),
                     LBW_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "'x'"));
    lbw_index_release(&index);
    lbw_model_close(&model);
}

/* What only a node without a rule leads to the target from gets no gradient, not half of it. */
static void test_cut(void **state)
{
    (void)state;
    static const struct one one = {
        "Conv x w0 a; Sign a b; Add a b c; Conv c w1 d; Conv x w2 e; Add d e y0", "", ""};
    struct trial trial = {.one = &one};
    struct lbw_index index;
    struct lbw_strmap shapes = {0};
    struct lbw_grad grad;
    struct lbw_error err = {0};
    struct lbw_session *session = NULL;
    struct lbw_model *model = open_nodes(&trial, &index);
    const char *const names[] = {"x", "a", "b", "c", "d", "e", "y0"};
    for (size_t i = 0; i < 7; i++)
        assert_true(lbw_strmap_put(&shapes, names[i], &whole));
    struct lbw_grad_params params = {.targets = (const char *[]){"y0"},
                                     .num_targets = 1,
                                     .weights = (const char *[]){"w0", "w1", "w2", "w9"},
                                     .num_weights = 4,
                                     .shapes = &shapes};
    assert_int_equal(lbw_grad_build(&grad, &index, &params, &err), LBW_OK);
    assert_true(grad.is_input[0]);
    assert_false(grad.is_input[3]);
    assert_false(grad.is_reached[0]);
    assert_true(grad.is_reached[1]);
    assert_true(grad.is_reached[2]);
    assert_false(grad.is_reached[3]);
    assert_null(grad.gradients[0]);
    assert_int_equal(grad.num_cuts, 1);
    assert_string_equal(grad.cuts[0], "Sign 'b': no gradient rule");
    assert_int_equal(grad.num_inputs, 1);
    assert_string_equal(grad.inputs[0], "x");
    assert_int_equal(lbw_session_open(&session, grad.data, grad.size, &plain, &err), LBW_OK);
    assert_int_equal(lbw_session_num_inputs(session), 1 + 2 + 3);
    assert_int_equal(lbw_session_num_outputs(session), 1 + 2);
    lbw_session_close(&session);
    lbw_grad_release(&grad);
    whole.data_type = TYPE(FLOAT16);
    assert_int_equal(lbw_grad_build(&grad, &index, &params, &err), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "float16"));
    lbw_strmap_release(&shapes);
    lbw_index_release(&index);
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),  cmocka_unit_test(test_native),
        cmocka_unit_test(test_scores), cmocka_unit_test(test_targets),
        cmocka_unit_test(test_cut),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
