/* SPDX-License-Identifier: MIT */
/* Models: read completely, checked, unpacked into one arena; written through a buffer. */
#include "onnx/model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "base/writer.h"
#include "onnx/extdata.h"
#include "onnx/extract.h"
#include "onnx/import.h"
#include "onnx/mapped.h"
#include "onnx/scan.h"

/* From this size on, the arena starts with space for the whole file, in large pages. */
#define LARGE_MODEL ((size_t)8 << 20)

/* Gives protobuf-c memory from the arena, which keeps it until the model is closed. */
struct unpacker {
    struct lbw_arena *arena;
    bool is_out_of_memory;
};

static void *unpacker_alloc(void *user, size_t size)
{
    struct unpacker *unpacker = user;
    void *memory = lbw_arena_alloc(unpacker->arena, size);
    unpacker->is_out_of_memory |= !memory;
    return memory;
}

static void unpacker_free(void *user, void *pointer)
{
    (void)user;
    (void)pointer;
}

static enum lbw_status unpack(struct lbw_model *model, const void *data, size_t size,
                              struct lbw_error *err)
{
    LBW_TRY(lbw_scan_model(data, size, err));
    if (size >= LARGE_MODEL)
        lbw_arena_reserve(&model->arena, size);
    struct unpacker unpacker = {&model->arena, false};
    ProtobufCAllocator allocator = {unpacker_alloc, unpacker_free, &unpacker};
    model->proto = onnx__model_proto__unpack(&allocator, size, data);
    if (unpacker.is_out_of_memory)
        return lbw_fail_memory(err);
    if (!model->proto)
        return lbw_fail(err, LBW_ERR_FORMAT, "not an ONNX model (malformed)");
    if (!model->proto->graph)
        return lbw_fail(err, LBW_ERR_FORMAT, "not an ONNX model (it holds no graph)");
    lbw_imports_merge(model->proto);
    return LBW_OK;
}

/* Takes ownership of the bytes: frees them before allocating anything else. */
static enum lbw_status open_bytes(struct lbw_model **out, struct lbw_bytes *bytes,
                                  const char *path, struct lbw_error *err)
{
    bool is_stdin = path && strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path ? path : "memory";
    enum lbw_status status = LBW_ERR_MEMORY;
    struct lbw_model *model = calloc(1, sizeof *model);
    if (!model || !(model->name = lbw_arena_strdup(&model->arena, name))) {
        lbw_fail_memory(err);
        goto out;
    }
    atomic_init(&model->num_holders, 1);
    if (path && !is_stdin) {
        const char *slash = strrchr(path, '/');
        model->folder =
            slash ? lbw_arena_printf(&model->arena, "%.*s", (int)(slash - path) + 1, path)
                  : ".";
        if (!model->folder) {
            lbw_fail_memory(err);
            goto out;
        }
    }
    model->file_size = bytes->size;
    status = unpack(model, bytes->data, bytes->size, err);
out:
    lbw_bytes_release(bytes);
    if (status != LBW_OK) {
        lbw_model_close(&model);
        return lbw_within(err, status, "%s", name);
    }
    *out = model;
    return LBW_OK;
}

enum lbw_status lbw_model_open(struct lbw_model **out, const char *path, struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    return open_bytes(out, &bytes, path, err);
}

enum lbw_status lbw_model_open_memory(struct lbw_model **out, const void *data, size_t size,
                                      struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    LBW_TRY(lbw_check_list("data", data, size, err));
    LBW_TRY(lbw_bytes_borrow(&bytes, data, size, "memory", err));
    return open_bytes(out, &bytes, NULL, err);
}

struct lbw_model *lbw_model_hold(struct lbw_model *model)
{
    atomic_fetch_add(&model->num_holders, 1);
    return model;
}

void lbw_model_close(struct lbw_model **model)
{
    struct lbw_model *closed = *model;
    *model = NULL;
    if (!closed || atomic_fetch_sub(&closed->num_holders, 1) > 1)
        return;
    lbw_external_release(closed);
    lbw_mapped_release(closed);
    lbw_arena_release(&closed->arena);
    free(closed);
}

enum lbw_status lbw_model_check(const struct lbw_model *model, struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("model", model, err));
    if (model->is_spoiled)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s: a change failed half way: open the model again", model->name);
    return LBW_OK;
}

enum lbw_status lbw_model_rewritten(struct lbw_model *model, enum lbw_status status)
{
    model->num_rewrites++;
    model->is_spoiled = model->is_spoiled || status != LBW_OK;
    return status;
}

uint64_t lbw_model_size(const struct lbw_model *model)
{
    return onnx__model_proto__get_packed_size(model->proto) + lbw_external_size(model);
}

static enum lbw_status check_size(size_t size, struct lbw_error *err)
{
    if (size > INT_MAX)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "%zu bytes exceed the 2 GiB limit of an ONNX file; store the weights "
                        "as external data",
                        size);
    return LBW_OK;
}

/* Buffers the many tiny pieces that protobuf-c writes. */
struct sink {
    ProtobufCBuffer base;
    struct lbw_model *model;
    struct lbw_writer *writer;
    size_t used;
    unsigned char chunk[16 * 1024];
};

static void sink_flush(struct sink *sink)
{
    lbw_writer_write(sink->writer, sink->chunk, sink->used);
    sink->used = 0;
}

static void sink_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
    struct sink *sink = (struct sink *)buffer;
    if (size > sizeof sink->chunk - sink->used)
        sink_flush(sink);
    if (size > sizeof sink->chunk) {
        lbw_mapped_touch(sink->model, data, size);
        lbw_writer_write(sink->writer, data, size);
    } else if (size) {
        memcpy(sink->chunk + sink->used, data, size);
        sink->used += size;
    }
}

enum lbw_status lbw_model_write(struct lbw_model *model, struct lbw_writer *writer,
                                struct lbw_error *err)
{
    LBW_TRY(check_size(onnx__model_proto__get_packed_size(model->proto), err));
    struct sink sink = {.base = {sink_append}, .model = model, .writer = writer};
    onnx__model_proto__pack_to_buffer(model->proto, &sink.base);
    sink_flush(&sink);
    return LBW_OK;
}

enum lbw_status lbw_model_save(struct lbw_model *model, const char *path, struct lbw_error *err)
{
    struct lbw_writer *writer = NULL;
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_model_check(model, err));
    enum lbw_status status = lbw_external_inline(model, err);
    if (status != LBW_OK)
        return lbw_within(err, status, "%s", model->name);
    LBW_TRY(lbw_external_check_target(model, path, NULL, err));
    LBW_TRY(lbw_writer_open(&writer, path, err));
    status = lbw_model_write(model, writer, err);
    if (status == LBW_OK)
        return lbw_writer_commit(&writer, err);
    lbw_writer_abort(&writer);
    return lbw_within(err, status, "%s", path);
}

enum lbw_status lbw_model_save_memory(struct lbw_model *model, void **data, size_t *size,
                                      struct lbw_error *err)
{
    static const struct lbw_part whole;
    LBW_TRY(lbw_model_check(model, err));
    return lbw_within(err, lbw_extract(data, size, model, &whole, err), "%s", model->name);
}

static bool is_same_domain(const char *a, const char *b)
{
    a = a && strcmp(a, "ai.onnx") != 0 ? a : "";
    b = b && strcmp(b, "ai.onnx") != 0 ? b : "";
    return strcmp(a, b) == 0;
}

static Onnx__OperatorSetIdProto *find_import(const struct lbw_model *model, const char *domain)
{
    for (size_t i = 0; i < model->proto->n_opset_import; i++)
        if (is_same_domain(model->proto->opset_import[i]->domain, domain))
            return model->proto->opset_import[i];
    return NULL;
}

int64_t lbw_model_opset(const struct lbw_model *model, const char *domain)
{
    const Onnx__OperatorSetIdProto *import = find_import(model, domain);
    return import ? import->version : 0;
}

enum lbw_status lbw_model_import(struct lbw_model *model, const char *domain, int64_t version,
                                 struct lbw_error *err)
{
    Onnx__OperatorSetIdProto *import = find_import(model, domain);
    if (!import) {
        size_t num = model->proto->n_opset_import;
        Onnx__OperatorSetIdProto **list =
            lbw_arena_alloc(&model->arena, (num + 1) * sizeof *list);
        import = lbw_arena_alloc(&model->arena, sizeof *import);
        char *copy = lbw_arena_strdup(&model->arena, domain);
        if (!list || !import || !copy)
            return lbw_fail_memory(err);
        if (num)
            memcpy(list, model->proto->opset_import, num * sizeof *list);
        onnx__operator_set_id_proto__init(import);
        import->domain = copy;
        list[num] = import;
        model->proto->opset_import = list;
        model->proto->n_opset_import = num + 1;
    }
    if (!import->has_version || import->version < version) {
        import->has_version = true;
        import->version = version;
    }
    return LBW_OK;
}
