/* SPDX-License-Identifier: MIT */
/*
 * Writing external data: tensors refer to the new file while the tree is written, then to the
 * old again.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/writer.h"
#include "onnx/extdata.h"
#include "onnx/mapped.h"
#include "onnx/tensor.h"
#include "onnx/walk.h"

#define DEFAULT_THRESHOLD ((size_t)1024)
#define DEFAULT_ALIGNMENT ((size_t)4096)

/* A tensor that may move, and its old state. */
struct moved {
    Onnx__TensorProto *tensor;
    Onnx__TensorProto before;
};

struct job {
    struct lbw_model *model;
    struct lbw_external_params params;
    struct lbw_writer *data;
    struct lbw_writer *tree;
    struct moved *moved;
    size_t num_moved;
    size_t capacity;
    struct lbw_error *err;
};

static bool remember(struct job *job, Onnx__TensorProto *tensor)
{
    if (job->num_moved == job->capacity) {
        size_t capacity = job->capacity ? 2 * job->capacity : 256;
        struct moved *larger = realloc(job->moved, capacity * sizeof *larger);
        if (!larger)
            return false;
        job->moved = larger;
        job->capacity = capacity;
    }
    job->moved[job->num_moved++] = (struct moved){tensor, *tensor};
    return true;
}

/* Initializers of every graph; other tensors (attributes) only if they are external already. */
static bool find_candidates(ProtobufCMessage *message, void *user)
{
    struct job *job = user;
    Onnx__TensorProto *tensor = lbw_walk_tensor(message);
    if (tensor)
        return !lbw_tensor_is_external(tensor) || remember(job, tensor);
    if (message->descriptor != &onnx__graph_proto__descriptor)
        return true;
    const Onnx__GraphProto *graph = (const Onnx__GraphProto *)message;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (!lbw_tensor_is_external(graph->initializer[i]) &&
            !remember(job, graph->initializer[i]))
            return false;
    return true;
}

static bool add_entry(struct job *job, Onnx__TensorProto *tensor, const char *key,
                      const char *value)
{
    Onnx__StringStringEntryProto *entry = lbw_arena_alloc(&job->model->arena, sizeof *entry);
    if (!entry || !value)
        return false;
    onnx__string_string_entry_proto__init(entry);
    entry->key = lbw_arena_strdup(&job->model->arena, key);
    entry->value = (char *)(uintptr_t)value;
    tensor->external_data[tensor->n_external_data++] = entry;
    return entry->key != NULL;
}

/* Makes the tensor refer to the place of its values in the new file. */
static bool refer(struct job *job, Onnx__TensorProto *tensor, uint64_t offset, size_t size)
{
    struct lbw_arena *arena = &job->model->arena;
    tensor->has_raw_data = false;
    tensor->raw_data = (ProtobufCBinaryData){0};
    tensor->has_data_location = true;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->n_external_data = 0;
    tensor->external_data = lbw_arena_alloc(arena, 3 * sizeof *tensor->external_data);
    return tensor->external_data && add_entry(job, tensor, "location", job->params.file) &&
           add_entry(job, tensor, "offset",
                     lbw_arena_printf(arena, "%llu", (unsigned long long)offset)) &&
           add_entry(job, tensor, "length", lbw_arena_printf(arena, "%zu", size));
}

static void pad(struct lbw_writer *writer, size_t alignment)
{
    static const char zeros[4096];
    size_t left = (size_t)(-lbw_writer_size(writer) & (alignment - 1));
    for (; left > sizeof zeros; left -= sizeof zeros)
        lbw_writer_write(writer, zeros, sizeof zeros);
    lbw_writer_write(writer, zeros, left);
}

/* Values in a typed field stay where they are: large models do not use these for weights. */
static enum lbw_status move(struct job *job, Onnx__TensorProto *tensor)
{
    bool is_external = lbw_tensor_is_external(tensor);
    const unsigned char *data = tensor->raw_data.data;
    size_t size = tensor->raw_data.len;
    if (!is_external && (!tensor->has_raw_data || size < job->params.threshold))
        return LBW_OK;
    if (is_external) {
        struct lbw_tensor view = {0};
        LBW_TRY(lbw_tensor_view(&view, job->model, tensor, job->err));
        data = view.data;
        size = view.size;
        if (size < job->params.threshold)
            return lbw_external_inline_tensor(job->model, tensor, job->err);
    }
    pad(job->data, job->params.alignment);
    uint64_t offset = lbw_writer_size(job->data);
    lbw_mapped_touch(job->model, data, size);
    lbw_writer_write(job->data, data, size);
    return refer(job, tensor, offset, size) ? LBW_OK : lbw_fail_memory(job->err);
}

static bool ends_in_gz(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".gz") == 0;
}

static enum lbw_status check_params(const struct lbw_external_params *params, const char *path,
                                    struct lbw_error *err)
{
    struct stat st;
    const char *slash = strrchr(path, '/'), *file = params->file ? params->file : "";
    bool is_special = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    if (strcmp(path, "-") == 0 || ends_in_gz(path) || is_special)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s: external data requires the model to be written to a regular, "
                        "uncompressed file",
                        path);
    if (!*file || strcmp(file, ".") == 0 || strcmp(file, "..") == 0 || strchr(file, '/') ||
        ends_in_gz(file) || strcmp(slash ? slash + 1 : path, file) == 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s: external data cannot be named '%s': use a plain file name, other "
                        "than the model's and not *.gz",
                        path, file);
    if (params->alignment & (params->alignment - 1))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: alignment %zu is not a power of two", path,
                        params->alignment);
    return LBW_OK;
}

/* Whether writing `path` replaces the file that `read` refers to. */
static bool would_replace(const char *path, const char *read)
{
    struct stat a, b;
    const char *name = strrchr(path, '/'), *other = strrchr(read, '/');
    if (lstat(path, &a) != 0 || stat(read, &b) != 0 || a.st_dev != b.st_dev ||
        a.st_ino != b.st_ino)
        return false;
    return a.st_nlink == 1 || strcmp(name ? name + 1 : path, other ? other + 1 : read) == 0;
}

/* For the walk over external tensors: are the values of any in the file to be written? */
struct target {
    const struct lbw_model *model;
    const char *path;
    bool is_taken;
};

static bool check_location(struct target *target, const char *location)
{
    char file[PATH_MAX];
    const char *folder = target->model->folder;
    int length =
        snprintf(file, sizeof file, "%s%s%s", folder, strcmp(folder, ".") ? "" : "/", location);
    if (length < (int)sizeof file && would_replace(target->path, file))
        target->is_taken = true;
    return !target->is_taken;
}

static bool check_tensor(ProtobufCMessage *message, void *user)
{
    const Onnx__TensorProto *tensor = lbw_walk_tensor(message);
    if (!tensor || !lbw_tensor_is_external(tensor))
        return true;
    const char *location = lbw_external_location(tensor);
    return !location || check_location(user, location);
}

enum lbw_status lbw_external_check_target(const struct lbw_model *model, const char *path,
                                          const char *model_path, struct lbw_error *err)
{
    struct target target = {model, path, false};
    if (!model->folder)
        return LBW_OK;
    if (model_path && would_replace(path, model->name))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: is the model being read", path);
    if (model_path && would_replace(model_path, model->name))
        return LBW_OK;
    lbw_walk(&model->proto->base, check_tensor, &target);
    for (const char *location = NULL; (location = lbw_external_next(model, location));)
        check_location(&target, location);
    if (!target.is_taken)
        return LBW_OK;
    return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: holds external data of the model being read",
                    path);
}

/* In the model's folder; to be freed. */
static char *data_path_of(const char *path, const char *file)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0, size = strlen(file) + 1;
    char *out = malloc(folder + size);
    if (out) {
        memcpy(out, path, folder);
        memcpy(out + folder, file, size);
    }
    return out;
}

enum lbw_status lbw_model_check_save(const struct lbw_model *model, const char *path,
                                     const struct lbw_external_params *params,
                                     struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(lbw_external_check_target(model, path, NULL, err));
    if (!params)
        return LBW_OK;
    LBW_TRY(check_params(params, path, err));
    char *data_path = data_path_of(path, params->file);
    if (!data_path)
        return lbw_fail_memory(err);
    enum lbw_status status = LBW_OK;
    struct stat st;
    if (stat(data_path, &st) == 0 && !S_ISREG(st.st_mode))
        status = lbw_fail(err, LBW_ERR_ARGUMENT, "%s: not a regular file", data_path);
    else
        status = lbw_external_check_target(model, data_path, path, err);
    free(data_path);
    return status;
}

/* Writes both files completely, not yet under their names. */
static enum lbw_status write_both(struct job *job, const char *path, const char *data_path)
{
    if (!lbw_walk(&job->model->proto->base, find_candidates, job))
        return lbw_fail_memory(job->err);
    LBW_TRY(lbw_writer_open(&job->tree, path, job->err));
    LBW_TRY(lbw_writer_open(&job->data, data_path, job->err));
    for (size_t i = 0; i < job->num_moved; i++)
        LBW_TRY(move(job, job->moved[i].tensor));
    LBW_TRY(lbw_model_write(job->model, job->tree, job->err));
    LBW_TRY(lbw_writer_sync(job->data, job->err));
    return lbw_writer_sync(job->tree, job->err);
}

static enum lbw_status commit_both(struct job *job)
{
    if (lbw_writer_size(job->data))
        return lbw_writer_commit_pair(&job->data, &job->tree, job->err);
    lbw_writer_abort(&job->data);
    return lbw_writer_commit(&job->tree, job->err);
}

enum lbw_status lbw_model_save_external(struct lbw_model *model, const char *path,
                                        const struct lbw_external_params *params,
                                        struct lbw_error *err)
{
    struct job job = {.model = model, .err = err};
    char *data_path = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_check_given("params", params, err));
    LBW_OR_OUT(lbw_model_check_save(model, path, params, err));
    job.params = *params;
    data_path = data_path_of(path, params->file);
    if (!data_path)
        LBW_OR_OUT(lbw_fail_memory(err));
    if (!job.params.threshold)
        job.params.threshold = DEFAULT_THRESHOLD;
    if (!job.params.alignment)
        job.params.alignment = DEFAULT_ALIGNMENT;
    status = write_both(&job, path, data_path);
    for (size_t i = 0; i < job.num_moved; i++)
        *job.moved[i].tensor = job.moved[i].before;
    LBW_OR_OUT(status);
    LBW_OR_OUT(commit_both(&job));
out:
    free(job.moved);
    free(data_path);
    lbw_writer_abort(&job.data);
    lbw_writer_abort(&job.tree);
    return status;
}
