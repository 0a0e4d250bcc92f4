/* SPDX-License-Identifier: MIT */
/* onnx/tensor and extdata: sizes that lie, every data type, files beside the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "../fixture.h"
#include "base/bits.h"
#include "onnx/extdata.h"
#include "onnx/mapped.h"
#include "onnx/tensor.h"

static struct lbw_model *open_small(void)
{
    struct text t = small_model();
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

/* A tensor with raw data of `size` bytes; dims end with -9. */
static Onnx__TensorProto *make(struct lbw_model *model, int32_t type, const int64_t *dims,
                               void *data, size_t size)
{
    size_t num_dims = 0;
    while (dims[num_dims] != -9)
        num_dims++;
    Onnx__TensorProto *tensor = lbw_tensor_new(model, "t", type, dims, num_dims, data, size);
    assert_non_null(tensor);
    return tensor;
}

static void expect_error(struct lbw_model *model, const Onnx__TensorProto *tensor,
                         enum lbw_status status, const char *message)
{
    struct lbw_tensor view;
    struct lbw_error err = {0};
    assert_int_equal(lbw_tensor_view(&view, model, tensor, &err), status);
    assert_string_equal(err.message, message);
}

static void test_sizes(void **state)
{
    (void)state;
    struct lbw_model *model = open_small();
    unsigned char bytes[64] = {0};
    struct lbw_tensor view;
    static const struct {
        int32_t type;
        int64_t dims[5];
        size_t size;
        const char *message; /* NULL: fine */
    } cases[] = {
        {TYPE(FLOAT), {2, 3, -9}, 24, NULL},
        {TYPE(FLOAT), {-9}, 4, NULL},
        {TYPE(FLOAT), {0, INT64_MAX, 3, -9}, 0, NULL},
        {TYPE(INT4), {3, 3, -9}, 5, NULL},
        {TYPE(UINT2), {9, -9}, 3, NULL},
        {TYPE(FLOAT), {2, 3, -9}, 23, "tensor 't': 23 bytes for shape [2,3], expected 24"},
        {TYPE(FLOAT), {0, -9}, 1, "tensor 't': 1 bytes for shape [0], expected 0"},
        {TYPE(FLOAT), {2, -1, -9}, 8, "tensor 't': negative dimension in shape [2,-1]"},
        {TYPE(INT8),
         {1 << 30, 1 << 30, 1 << 30, -9},
         8,
         "tensor 't': shape [1073741824,1073741824,1073741824] overflows"},
        {TYPE(DOUBLE), {INT64_MAX, -9}, 8, "tensor 't': shape [9223372036854775807] overflows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Onnx__TensorProto *t =
            make(model, cases[i].type, cases[i].dims, bytes, cases[i].size);
        if (cases[i].message)
            expect_error(model, t, LBW_ERR_FORMAT, cases[i].message);
        else
            assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    }
    Onnx__TensorProto *t = make(model, 99, (int64_t[]){1, -9}, bytes, 1);
    expect_error(model, t, LBW_ERR_UNSUPPORTED,
                 "tensor 't': cannot read values of type an unknown type");
    t = make(model, TYPE(STRING), (int64_t[]){1, -9}, bytes, 1);
    expect_error(model, t, LBW_ERR_UNSUPPORTED,
                 "tensor 't': cannot read values of type string");
    lbw_model_close(&model);
}

static void test_typed_fields(void **state)
{
    (void)state;
    struct lbw_model *model = open_small();
    float floats[] = {1.5f, -2};
    int32_t halves[] = {0x3c00, 0xc000}, packed[] = {0x21, 0x0f};
    struct lbw_tensor view;
    float out[3];
    int64_t ints[3];
    Onnx__TensorProto *t = make(model, TYPE(FLOAT), (int64_t[]){2, -9}, NULL, 0);
    t->has_raw_data = false;
    expect_error(model, t, LBW_ERR_FORMAT, "tensor 't': 0 values for shape [2], expected 2");
    t->n_float_data = 2;
    t->float_data = floats;
    assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    assert_null(view.data);
    assert_int_equal(view.size, 8);
    assert_int_equal(lbw_tensor_read_float(&view, out, NULL), LBW_OK);
    assert_true(out[0] == 1.5f && out[1] == -2);
    assert_int_equal(lbw_tensor_read_int64(&view, ints, NULL), LBW_ERR_UNSUPPORTED);
    t->has_raw_data = true;
    t->raw_data = (ProtobufCBinaryData){8, (uint8_t *)floats};
    expect_error(model, t, LBW_ERR_FORMAT,
                 "tensor 't': values both in raw_data and in a typed field");
    t = make(model, TYPE(FLOAT16), (int64_t[]){2, -9}, NULL, 0);
    t->n_int32_data = 2;
    t->int32_data = halves;
    assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    assert_int_equal(lbw_tensor_read_float(&view, out, NULL), LBW_OK);
    assert_true(out[0] == 1 && out[1] == -2);
    t = make(model, TYPE(INT4), (int64_t[]){3, -9}, NULL, 0);
    t->n_int32_data = 2;
    t->int32_data = packed;
    assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    assert_int_equal(lbw_tensor_read_int64(&view, ints, NULL), LBW_OK);
    assert_true(ints[0] == 1 && ints[1] == 2 && ints[2] == -1);
    lbw_model_close(&model);
}

/* One raw element of a type, read as float. */
static float float_of(struct lbw_model *model, int32_t type, uint64_t bits)
{
    unsigned char data[9] = {0};
    lbw_store_le(data + 1, bits, 8); /* not aligned on purpose */
    size_t size = (lbw_data_type_bits(type) + 7) / 8;
    struct lbw_tensor view;
    float out = 0;
    const Onnx__TensorProto *t = make(model, type, (int64_t[]){1, -9}, data + 1, size);
    assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    assert_int_equal(lbw_tensor_read_float(&view, &out, NULL), LBW_OK);
    return out;
}

static void test_float_types(void **state)
{
    (void)state;
    struct lbw_model *model = open_small();
    static const struct {
        int32_t type;
        uint64_t bits;
        float value;
    } cases[] = {
        {TYPE(FLOAT), 0xbfc00000, -1.5f},
        {TYPE(DOUBLE), 0x3ff0000010000001, 0x1.000002p0f},
        {TYPE(FLOAT16), 0x0001, 0x1p-24f},
        {TYPE(BFLOAT16), 0x3f80, 1},
        {TYPE(FLOAT8E4M3FN), 0x01, 0x1p-9f},
        {TYPE(FLOAT8E4M3FN), 0x7e, 448},
        {TYPE(FLOAT8E4M3FN), 0xb8, -1},
        {TYPE(FLOAT8E4M3FNUZ), 0x7f, 240},
        {TYPE(FLOAT8E5M2), 0x7b, 57344},
        {TYPE(FLOAT8E5M2), 0xfc, -INFINITY},
        {TYPE(FLOAT8E5M2FNUZ), 0x01, 0x1p-17f},
        {TYPE(FLOAT8E8M0), 0x00, 0x1p-127f},
        {TYPE(FLOAT8E8M0), 0x80, 2},
        {TYPE(FLOAT4E2M1), 0x1, .5f},
        {TYPE(FLOAT4E2M1), 0xf, -6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(float_of(model, cases[i].type, cases[i].bits) == cases[i].value);
    assert_true(isnan(float_of(model, TYPE(FLOAT8E4M3FN), 0x7f)));
    assert_true(isnan(float_of(model, TYPE(FLOAT8E4M3FNUZ), 0x80)));
    assert_true(isnan(float_of(model, TYPE(FLOAT8E5M2), 0x7d)));
    assert_true(isnan(float_of(model, TYPE(FLOAT8E8M0), 0xff)));
    lbw_model_close(&model);
}

static void test_integer_types(void **state)
{
    (void)state;
    struct lbw_model *model = open_small();
    static const struct {
        int32_t type;
        uint64_t bits;
        int64_t value;
    } cases[] = {
        {TYPE(INT8), 0x80, -128},
        {TYPE(UINT8), 0x80, 128},
        {TYPE(BOOL), 1, 1},
        {TYPE(INT16), 0xffff, -1},
        {TYPE(UINT16), 0xffff, 65535},
        {TYPE(INT32), 0x80000000, INT32_MIN},
        {TYPE(UINT32), 0xffffffff, UINT32_MAX},
        {TYPE(INT64), UINT64_MAX, -1},
        {TYPE(UINT4), 0xf, 15},
        {TYPE(INT4), 0x8, -8},
        {TYPE(UINT2), 0x3, 3},
        {TYPE(INT2), 0x2, -2},
    };
    struct lbw_tensor view;
    struct lbw_error err = {0};
    unsigned char data[8];
    int64_t out;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lbw_store_le(data, cases[i].bits, sizeof data);
        size_t size = (lbw_data_type_bits(cases[i].type) + 7) / 8;
        const Onnx__TensorProto *t = make(model, cases[i].type, (int64_t[]){-9}, data, size);
        assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
        assert_int_equal(lbw_tensor_read_int64(&view, &out, NULL), LBW_OK);
        assert_int_equal(out, cases[i].value);
    }
    lbw_store_le(data, UINT64_MAX, sizeof data);
    const Onnx__TensorProto *t = make(model, TYPE(UINT64), (int64_t[]){-9}, data, 8);
    assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    assert_int_equal(lbw_tensor_read_int64(&view, &out, &err), LBW_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "tensor 't': value 0 exceeds 63 bits");
    lbw_model_close(&model);
}

/* --- external data --- */

/* A tensor 'e' of 3 floats in another file; NULL leaves an entry out. */
static void put_external(struct text *graph, const char *location, const char *offset,
                         const char *length)
{
    struct text tensor = {0}, entry = {0};
    const char *keys[] = {"location", "offset", "length"};
    const char *values[] = {location, offset, length};
    put_int(&tensor, 1, 3);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, "e");
    for (size_t i = 0; i < 3; i++) {
        if (!values[i])
            continue;
        put_text(&entry, 1, keys[i]);
        put_text(&entry, 2, values[i]);
        put_message(&tensor, 13, &entry);
    }
    put_int(&tensor, 14, 1);
    put_message(graph, 5, &tensor);
}

static char *external_folder(void)
{
    static char folder[300];
    snprintf(folder, sizeof folder, "%s", temporary_path("external"));
    return folder;
}

static int make_folder(void **state)
{
    (void)state;
    static const float values[] = {1, 2, 3, 4, 5, 6};
    char path[400];
    mkdir(external_folder(), 0777);
    snprintf(path, sizeof path, "%s/inner", external_folder());
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/inner/w.bin", external_folder());
    write_file(path, values, sizeof values);
    snprintf(path, sizeof path, "%s/link.bin", external_folder());
    int failed = symlink("inner/w.bin", path);
    snprintf(path, sizeof path, "%s/linked", external_folder());
    failed |= symlink("inner", path);
    snprintf(path, sizeof path, "%s/inner/back", external_folder());
    failed |= symlink("..", path);
    snprintf(path, sizeof path, "%s/pipe", external_folder());
    return failed | mkfifo(path, 0600);
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"m.onnx",     "copy.onnx", "copy.data", "inner/w.bin",
                                        "inner/back", "inner",     "link.bin",  "linked",
                                        "pipe",       ""};
    char path[400];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", external_folder(), names[i]);
        remove(path);
    }
    return 0;
}

static struct lbw_model *open_external(const char *location, const char *offset,
                                       const char *length)
{
    struct text graph = {0};
    put_external(&graph, location, offset, length);
    struct text t = wrap(&graph);
    char path[400];
    snprintf(path, sizeof path, "%s/m.onnx", external_folder());
    write_file(path, t.data, t.size);
    free(t.data);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open(&model, path, NULL), LBW_OK);
    return model;
}

static void test_external(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"inner/w.bin", "8", "12"},
                                           {"./inner//w.bin", "8", NULL}};
    struct lbw_tensor view;
    float out[3];
    for (size_t i = 0; i < 2; i++) {
        struct lbw_model *model = open_external(cases[i][0], cases[i][1], cases[i][2]);
        Onnx__TensorProto *t = model->proto->graph->initializer[0];
        t->has_raw_data = i > 0; /* there and empty, as some writers leave it */
        assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
        assert_int_equal(lbw_tensor_read_float(&view, out, NULL), LBW_OK);
        assert_true(out[0] == 3 && out[2] == 5);
        lbw_model_close(&model);
    }
    struct lbw_model *model = open_external("inner/w.bin", "12", "12");
    char path[400];
    snprintf(path, sizeof path, "%s/copy.onnx", external_folder());
    uint64_t external_size = lbw_external_size(model);
    assert_int_equal(external_size, 12);
    assert_int_equal(lbw_model_save(model, path, NULL), LBW_OK);
    lbw_model_close(&model);
    assert_int_equal(lbw_model_open(&model, path, NULL), LBW_OK);
    Onnx__TensorProto *t = model->proto->graph->initializer[0];
    assert_false(lbw_tensor_is_external(t));
    assert_int_equal(t->n_external_data, 0);
    assert_int_equal(lbw_tensor_view(&view, model, t, NULL), LBW_OK);
    assert_int_equal(lbw_tensor_read_float(&view, out, NULL), LBW_OK);
    assert_true(out[0] == 4 && out[2] == 6);
    lbw_model_close(&model);
}

/* Nothing leads out of the model's folder, or behind the end of a file. */
static const struct {
    const char *location, *offset, *length;
    enum lbw_status status;
    const char *message;
} refused[] = {
    {"/etc/passwd", "0", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data at an absolute path, '/etc/passwd'"},
    {"inner/../../x", NULL, NULL, LBW_ERR_FORMAT,
     "tensor 'e': external data outside the model's folder, at 'inner/../../x'"},
    {"..", NULL, NULL, LBW_ERR_FORMAT,
     "tensor 'e': external data outside the model's folder, at '..'"},
    {"link.bin", NULL, NULL, LBW_ERR_FORMAT,
     "tensor 'e': external data in 'link.bin', which is a symbolic link"},
    {"pipe", NULL, NULL, LBW_ERR_FORMAT,
     "tensor 'e': external data in 'pipe', which is not a regular file"},
    {"inner", NULL, NULL, LBW_ERR_FORMAT,
     "tensor 'e': external data in 'inner', which is not a regular file"},
    {"absent.bin", NULL, NULL, LBW_ERR_IO,
     "tensor 'e': cannot open the external data 'absent.bin': No such file or directory"},
    {"inner/w.bin", "16", "12", LBW_ERR_FORMAT,
     "tensor 'e': 12 bytes at 16 of the external data 'inner/w.bin', which has 24"},
    {"inner/w.bin", "25", "0", LBW_ERR_FORMAT,
     "tensor 'e': 0 bytes at 25 of the external data 'inner/w.bin', which has 24"},
    {"inner/w.bin", "18446744073709551615", "12", LBW_ERR_FORMAT,
     "tensor 'e': 12 bytes at 18446744073709551615 of the external data 'inner/w.bin', "
     "which has 24"},
    {"inner/w.bin", "18446744073709551616", NULL, LBW_ERR_FORMAT,
     "tensor 'e': external data has an invalid offset '18446744073709551616'"},
    {"inner/w.bin", "0", "-12", LBW_ERR_FORMAT,
     "tensor 'e': external data has an invalid length '-12'"},
    {"inner/w.bin", "0", "24", LBW_ERR_FORMAT,
     "tensor 'e': 24 bytes of external data for shape [3], expected 12"},
    {NULL, "0", "12", LBW_ERR_FORMAT, "tensor 'e': external data without a location"},
    {"inner/w.bin", "-4", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data has an invalid offset '-4'"},
    {"inner/w.bin", "12", "18446744073709551612", LBW_ERR_FORMAT,
     "tensor 'e': 18446744073709551612 bytes at 12 of the external data 'inner/w.bin', "
     "which has 24"},
    {"inner/../inner/w.bin", "0", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data outside the model's folder, at 'inner/../inner/w.bin'"},
    {"//etc/passwd", "0", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data at an absolute path, '//etc/passwd'"},
    {"linked/w.bin", "0", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data in 'linked/w.bin', whose path crosses a symbolic link or a "
     "missing folder"},
    {"inner/back/x", "0", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data in 'inner/back/x', whose path crosses a symbolic link or a "
     "missing folder"},
    {"inner/w.bin/x", "0", "12", LBW_ERR_FORMAT,
     "tensor 'e': external data in 'inner/w.bin/x', whose path crosses a symbolic link or a "
     "missing folder"},
};

static void test_external_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct lbw_model *model =
            open_external(refused[i].location, refused[i].offset, refused[i].length);
        expect_error(model, model->proto->graph->initializer[0], refused[i].status,
                     refused[i].message);
        lbw_model_close(&model);
    }
    struct lbw_model *model = NULL;
    struct text graph = {0};
    put_external(&graph, "inner/w.bin", NULL, NULL);
    struct text t = wrap(&graph);
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    expect_error(model, model->proto->graph->initializer[0], LBW_ERR_UNSUPPORTED,
                 "tensor 'e': external data in 'inner/w.bin', but the model did not come from "
                 "a file");
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_save(model, "/dev/null", &err), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "memory: tensor 'e': external data in"));
    lbw_model_close(&model);
    free(t.data);
}

/* --- external data written --- */

static size_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : SIZE_MAX;
}

/* 'e' external, 'w' of 6 floats, 'big' of 3000: all of them leave the file, or the largest. */
static void test_save_external(void **state)
{
    (void)state;
    struct text graph = {0};
    put_external(&graph, "inner/w.bin", "4", NULL);
    put_initializer(&graph, "w", 7, 6);
    put_initializer(&graph, "big", 100, 3000);
    struct text t = wrap(&graph);
    char path[400], copy[400], data[400];
    snprintf(path, sizeof path, "%s/m.onnx", external_folder());
    snprintf(copy, sizeof copy, "%s/copy.onnx", external_folder());
    snprintf(data, sizeof data, "%s/copy.data", external_folder());
    write_file(path, t.data, t.size);
    write_file(copy, "old", 3);
    write_file(data, "old", 3);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open(&model, path, NULL), LBW_OK);
    struct lbw_external_params params = {"copy.data", 12, 256};
    Onnx__TensorProto *e = model->proto->graph->initializer[0];
    for (int i = 0; i < 2; i++) { /* the model stays as it was, so it can be done again */
        assert_int_equal(lbw_model_save_external(model, copy, &params, NULL), LBW_OK);
        assert_int_equal(size_of(data), 12288 + 12);
        assert_true(lbw_tensor_is_external(e));
        assert_string_equal(e->external_data[0]->value, "inner/w.bin");
    }
    params.threshold = 0; /* 1024 */
    assert_int_equal(lbw_model_save_external(model, copy, &params, NULL), LBW_OK);
    assert_int_equal(size_of(data), 12000);
    lbw_model_close(&model);
    assert_int_equal(lbw_model_open(&model, copy, NULL), LBW_OK);
    static const float first[] = {2, 7, 100};
    for (size_t i = 0; i < 3; i++) {
        const Onnx__TensorProto *proto = model->proto->graph->initializer[i];
        struct lbw_tensor view;
        float values[3000];
        assert_int_equal(lbw_tensor_is_external(proto), i == 2);
        assert_int_equal(lbw_tensor_view(&view, model, proto, NULL), LBW_OK);
        assert_int_equal(lbw_tensor_read_float(&view, values, NULL), LBW_OK);
        assert_true(values[0] == first[i] &&
                    values[view.count - 1] == first[i] + view.count - 1);
    }
    /* In place: the old data stays readable while it is replaced. */
    assert_int_equal(lbw_model_save_external(model, copy, &params, NULL), LBW_OK);
    assert_int_equal(size_of(data), 12000);
    /* Under another model's name the data would be lost to the one that is read. */
    assert_int_equal(lbw_model_save_external(model, path, &params, NULL), LBW_ERR_ARGUMENT);
    assert_int_equal(lbw_model_save(model, data, NULL), LBW_ERR_ARGUMENT);
    params.file = "none.data";
    params.threshold = 1 << 20; /* nothing is that large: no second file is made */
    assert_int_equal(lbw_model_save_external(model, path, &params, NULL), LBW_OK);
    assert_int_equal(size_of(data), 12000);
    assert_true(size_of(path) > 12000);
    lbw_model_close(&model);
    free(t.data);
}

#define NAMES ": use a plain file name, other than the model's and not *.gz"

static void test_save_external_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *file;
        size_t alignment;
        enum lbw_status status;
        const char *message;
    } cases[] = {
        {"-", "d", 0, LBW_ERR_ARGUMENT,
         "-: external data requires the model to be written to a regular, uncompressed file"},
        {"m.gz", "d", 0, LBW_ERR_ARGUMENT,
         "m.gz: external data requires the model to be written to a regular, uncompressed "
         "file"},
        {"/dev/null", "d", 0, LBW_ERR_ARGUMENT,
         "/dev/null: external data requires the model to be written to a regular, uncompressed "
         "file"},
        {"m", NULL, 0, LBW_ERR_ARGUMENT, "m: external data cannot be named ''" NAMES},
        {"m", "..", 0, LBW_ERR_ARGUMENT, "m: external data cannot be named '..'" NAMES},
        {"m", "a/b", 0, LBW_ERR_ARGUMENT, "m: external data cannot be named 'a/b'" NAMES},
        {"m", "d.gz", 0, LBW_ERR_ARGUMENT, "m: external data cannot be named 'd.gz'" NAMES},
        {"x/m", "m", 0, LBW_ERR_ARGUMENT, "x/m: external data cannot be named 'm'" NAMES},
        {"m", "d", 3, LBW_ERR_ARGUMENT, "m: alignment 3 is not a power of two"},
        {"/nonexistent/m", "d", 0, LBW_ERR_IO,
         "/nonexistent/m: cannot write: No such file or directory"},
    };
    struct lbw_model *model = open_small();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_external_params params = {cases[i].file, 0, cases[i].alignment};
        struct lbw_error err = {0};
        assert_int_equal(lbw_model_save_external(model, cases[i].path, &params, &err),
                         cases[i].status);
        assert_string_equal(err.message, cases[i].message);
    }
    lbw_model_close(&model);
}

/* Pages of files that are in memory for us, in bytes. */
static size_t mapped_memory(void)
{
    char line[128];
    size_t sum = 0, kilobytes;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "RssFile: %zu", &kilobytes) == 1 ||
            sscanf(line, "RssShmem: %zu", &kilobytes) == 1)
            sum += 1024 * kilobytes;
    fclose(file);
    return sum;
}

/* Many new values are mapped from a file, of which only one tensor's are kept in memory. */
static void test_made(void **state)
{
    (void)state;
    enum { NUM = 8, PAGE = 4096 };
    const size_t size = (size_t)64 << 20;
    struct lbw_model *model = open_small();
    unsigned char *made[NUM];
    size_t before = mapped_memory();
    for (size_t i = 0; i < NUM; i++) {
        made[i] = lbw_mapped_alloc(model, size);
        assert_non_null(made[i]);
        for (size_t at = i; at < size; at += PAGE)
            made[i][at] = (unsigned char)(i + 1);
    }
    assert_int_equal(model->made_size, (uint64_t)256 << 20);
    assert_non_null(model->made);
    assert_in_range(mapped_memory() - before, size / 2, size + size / 4);
    for (size_t i = 0; i < NUM; i++) {
        lbw_mapped_touch(model, made[i], size);
        for (size_t at = i; at < size; at += PAGE)
            assert_int_equal(made[i][at], i + 1);
    }
    assert_in_range(mapped_memory() - before, size / 2, size + size / 4);
    assert_non_null(lbw_mapped_alloc(model, 16)); /* little stays in the arena */
    assert_int_equal(model->made_size, ((uint64_t)256 << 20) + 16);
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_typed_fields),
        cmocka_unit_test(test_float_types),
        cmocka_unit_test(test_integer_types),
        cmocka_unit_test_setup_teardown(test_external, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_external_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_save_external, make_folder, remove_folder),
        cmocka_unit_test(test_save_external_refused),
        cmocka_unit_test(test_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
