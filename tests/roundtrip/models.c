/* SPDX-License-Identifier: MIT */
/* Open and save without a change: nothing is lost, and canonical bytes stay as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <cmocka.h>

#include "../fixture.h"
#include "base/file.h"
#include "onnx/index.h"

static bool is_same(const ProtobufCMessage *a, const ProtobufCMessage *b);

static bool is_same_string(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool is_same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
    return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

static size_t scalar_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

static bool is_same_item(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return is_same(*(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
    case PROTOBUF_C_TYPE_STRING:
        return is_same_string(*(char *const *)a, *(char *const *)b);
    case PROTOBUF_C_TYPE_BYTES:
        return is_same_bytes(a, b);
    default:
        return memcmp(a, b, scalar_size(field->type)) == 0;
    }
}

static size_t item_size(ProtobufCType type)
{
    if (type == PROTOBUF_C_TYPE_MESSAGE || type == PROTOBUF_C_TYPE_STRING)
        return sizeof(void *);
    return type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : scalar_size(type);
}

static bool is_same_field(const ProtobufCFieldDescriptor *field, const char *a, const char *b)
{
    const char *quantifier_a = a + field->quantifier_offset;
    const char *quantifier_b = b + field->quantifier_offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t num = *(const size_t *)(const void *)quantifier_a;
        if (num != *(const size_t *)(const void *)quantifier_b)
            return false;
        const char *list_a = *(char *const *)(const void *)(a + field->offset);
        const char *list_b = *(char *const *)(const void *)(b + field->offset);
        for (size_t i = 0; i < num; i++)
            if (!is_same_item(field, list_a + i * item_size(field->type),
                              list_b + i * item_size(field->type)))
                return false;
        return true;
    }
    if (field->quantifier_offset && memcmp(quantifier_a, quantifier_b, 4) != 0)
        return false; /* has_ flag or the case of a oneof */
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
        *(const uint32_t *)(const void *)quantifier_a != field->id)
        return true;
    return is_same_item(field, a + field->offset, b + field->offset);
}

/* Deep equality, presence and unknown fields included. */
static bool is_same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (!a || !b)
        return a == b;
    if (a->descriptor != b->descriptor || a->n_unknown_fields != b->n_unknown_fields)
        return false;
    for (unsigned i = 0; i < a->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *x = &a->unknown_fields[i],
                                           *y = &b->unknown_fields[i];
        if (x->tag != y->tag || x->wire_type != y->wire_type || x->len != y->len ||
            memcmp(x->data, y->data, x->len) != 0)
            return false;
    }
    for (unsigned i = 0; i < a->descriptor->n_fields; i++)
        if (!is_same_field(&a->descriptor->fields[i], (const char *)a, (const char *)b))
            return false;
    return true;
}

/* Saves what is in `bytes` and checks the outcome; true when it is the same byte for byte. */
static bool round_trip(const void *bytes, size_t num_bytes, const char *path)
{
    struct lbw_model *model = NULL, *again = NULL;
    struct lbw_error err = {0};
    struct lbw_index index = {0};
    void *saved = NULL, *saved_again = NULL;
    size_t size = 0, size_again = 0;
    if (path)
        assert_int_equal(lbw_model_open(&model, path, &err), LBW_OK);
    else
        assert_int_equal(lbw_model_open_memory(&model, bytes, num_bytes, &err), LBW_OK);
    assert_int_equal(lbw_index_init(&index, model, &err), LBW_OK);
    lbw_index_release(&index);
    assert_int_equal(lbw_model_save_memory(model, &saved, &size, &err), LBW_OK);
    assert_int_equal(size, lbw_model_size(model));
    bool is_identical = size == num_bytes && memcmp(saved, bytes, size) == 0;
    assert_int_equal(lbw_model_open_memory(&again, saved, size, &err), LBW_OK);
    assert_true(is_same(&model->proto->base, &again->proto->base));
    assert_int_equal(lbw_model_save_memory(again, &saved_again, &size_again, &err), LBW_OK);
    assert_int_equal(size_again, size);
    assert_memory_equal(saved_again, saved, size);
    lbw_free(saved);
    lbw_free(saved_again);
    lbw_model_close(&model);
    lbw_model_close(&again);
    return is_identical;
}

/* Adds what is below `folder` to the counts. */
static void visit(const char *folder, size_t *num, size_t *num_identical)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[2000];
        size_t length = strlen(entry->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
            visit(path, num, num_identical);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".onnx") != 0)
            continue;
        struct lbw_bytes bytes = {0};
        assert_int_equal(lbw_bytes_read(&bytes, path, NULL), LBW_OK);
        bool is_identical = round_trip(bytes.data, bytes.size, path);
        if (!is_identical)
            printf("# %s: the same content, in canonical order\n", path);
        *num_identical += is_identical;
        ++*num;
        lbw_bytes_release(&bytes);
    }
    if (dir)
        closedir(dir);
}

/* Where models are, "" for nowhere: the assets, and what backend.sh made. */
static char assets[1000], backend[1000];

static void test_assets(void **state)
{
    (void)state;
    size_t num = 0, num_identical = 0;
    visit(assets, &num, &num_identical);
    assert_true(num > 0);
    assert_int_equal(num_identical, num); /* each of them has a canonical writer */
}

static void test_backend(void **state)
{
    (void)state;
    size_t num = 0, num_identical = 0;
    visit(backend, &num, &num_identical);
    printf("# %zu models, %zu of them came back byte for byte\n", num, num_identical);
    assert_true(num > 0);
    assert_int_equal(num_identical, num); /* written by protobuf itself */
}

/* Fields out of order, numbers not packed, explicit zeros: the content stays. */
static void test_other_writers(void **state)
{
    (void)state;
    struct text graph = {0}, tensor = {0}, attribute = {0}, t = {0};
    put_text(&attribute, 1, "axis");
    put_int(&attribute, 20, 2);
    put_int(&attribute, 3, 0); /* zero, and saying so */
    put_text(&tensor, 8, "w");
    put_int(&tensor, 7, (uint64_t)-1);
    put_int(&tensor, 7, 5);
    put_int(&tensor, 2, TYPE(INT64));
    put_int(&tensor, 1, 2);
    put_text(&tensor, 77, "unknown");
    put_message(&graph, 5, &tensor);
    put_node(&graph, 1, "Relu", "x", "y", &attribute);
    put_message(&t, 7, &graph);
    put_int(&t, 1, 8);
    assert_false(round_trip(t.data, t.size, NULL));
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    const Onnx__TensorProto *w = model->proto->graph->initializer[0];
    assert_int_equal(w->n_int64_data, 2);
    assert_true(w->int64_data[0] == -1 && w->int64_data[1] == 5);
    assert_int_equal(w->base.n_unknown_fields, 1);
    assert_true(model->proto->graph->node[0]->attribute[0]->has_i);
    lbw_model_close(&model);
    free(t.data);
}

/* Notes go to standard error: newer TAP must begin with its version line. */
static void find_folders(void)
{
    const char *root = getenv("LBW_SOURCE_ROOT"), *named = getenv("LBW_ASSETS");
    if (named)
        snprintf(assets, sizeof assets, "%s/models", named);
    else
        snprintf(assets, sizeof assets, "%s/../shared/assets/models", root ? root : ".");
    named = getenv("LBW_ONNX_TESTDATA");
    snprintf(backend, sizeof backend, "%s", named ? named : "");
    if (access(assets, R_OK) != 0) {
        fprintf(stderr, "without test_assets: no models in %s\n", assets);
        *assets = '\0';
    }
    if (!named)
        fprintf(stderr, "without test_backend: LBW_ONNX_TESTDATA names no folder\n");
}

int main(void)
{
    find_folders();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_writers),
        cmocka_unit_test(test_assets),
        cmocka_unit_test(test_backend),
    };
    if (*assets && *backend)
        return cmocka_run_group_tests(tests, NULL, NULL);
    const struct CMUnitTest fewer[] = {tests[0], tests[*assets ? 1 : 2]};
    if (*assets || *backend)
        return cmocka_run_group_tests(fewer, NULL, NULL);
    const struct CMUnitTest fewest[] = {tests[0]};
    return cmocka_run_group_tests(fewest, NULL, NULL);
}
