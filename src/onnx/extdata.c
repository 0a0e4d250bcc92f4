/* SPDX-License-Identifier: MIT */
/* Reading external data: files are opened once, component by component, and mapped. */
#include "onnx/extdata.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "onnx/mapped.h"
#include "onnx/tensor.h"
#include "onnx/walk.h"

/* One file, mapped whole. */
struct lbw_external_file {
    struct lbw_external_file *next;
    const char *location;
    const unsigned char *data; /* NULL when the file is empty */
    size_t size;
};

/* The location, offset and length that a tensor states. */
struct place {
    const char *location;
    uint64_t offset;
    uint64_t length;
    bool has_length;
};

bool lbw_tensor_is_external(const Onnx__TensorProto *tensor)
{
    return tensor->has_data_location &&
           tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

const char *lbw_external_location(const Onnx__TensorProto *tensor)
{
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = tensor->external_data[i];
        if (entry->key && entry->value && strcmp(entry->key, "location") == 0)
            return entry->value;
    }
    return NULL;
}

const char *lbw_external_next(const struct lbw_model *model, const char *location)
{
    const struct lbw_external_file *file = model->external_files;
    while (location && file && file->location != location)
        file = file->next;
    if (location && file)
        file = file->next;
    return file ? file->location : NULL;
}

bool lbw_external_holds(const struct lbw_model *model, const unsigned char *data)
{
    for (const struct lbw_external_file *f = model->external_files; f; f = f->next)
        if (f->data && data >= f->data && data < f->data + f->size)
            return true;
    return false;
}

/* Digits only, no sign, no blanks; false for anything else, and on overflow. */
static bool parse_number(uint64_t *out, const char *text)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    *out = value;
    return true;
}

static enum lbw_status parse_place(struct place *out, const Onnx__TensorProto *tensor,
                                   struct lbw_error *err)
{
    struct place place = {0};
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const char *key = tensor->external_data[i]->key,
                   *value = tensor->external_data[i]->value;
        if (!key || !value)
            continue;
        bool is_length = strcmp(key, "length") == 0;
        if (strcmp(key, "location") == 0)
            place.location = value;
        else if ((is_length || strcmp(key, "offset") == 0) &&
                 !parse_number(is_length ? &place.length : &place.offset, value))
            return lbw_fail(err, LBW_ERR_FORMAT, "external data has an invalid %s '%s'", key,
                            value);
        place.has_length |= is_length;
    }
    if (!place.location || !*place.location)
        return lbw_fail(err, LBW_ERR_FORMAT, "external data without a location");
    *out = place;
    return LBW_OK;
}

/* Refuses a location that could leave the model's folder. */
static enum lbw_status check_location(const char *location, struct lbw_error *err)
{
    if (*location == '/')
        return lbw_fail(err, LBW_ERR_FORMAT, "external data at an absolute path, '%s'",
                        location);
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
            return lbw_fail(err, LBW_ERR_FORMAT,
                            "external data outside the model's folder, at '%s'", location);
    }
    return LBW_OK;
}

/* Opens `folder`/`location`, following no symbolic link below `folder`. -1 with errno. */
static int open_inside(const char *folder, const char *location)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0) {
        location += strspn(location, "/");
        size_t length = strcspn(location, "/");
        bool is_last = !location[length];
        char part[NAME_MAX + 1];
        if (length > NAME_MAX) {
            close(fd);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(part, location, length);
        part[length] = '\0';
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (is_last ? O_NONBLOCK : O_DIRECTORY);
        int inner = openat(fd, length ? part : ".", flags);
        int number = errno;
        close(fd);
        errno = number;
        fd = inner;
        location += length;
        if (is_last)
            break;
    }
    return fd;
}

static enum lbw_status map_fd(struct lbw_external_file *file, int fd, struct lbw_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return lbw_fail_errno(err, "cannot read the external data '%s'", file->location);
    if (!S_ISREG(st.st_mode))
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "external data in '%s', which is not a regular file", file->location);
    if (st.st_size == 0)
        return LBW_OK;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return lbw_fail_errno(err, "cannot map the external data '%s'", file->location);
    file->data = map;
    file->size = (size_t)st.st_size;
    return LBW_OK;
}

/* The file of that location, from the model's list or newly mapped. */
static enum lbw_status find_file(struct lbw_external_file **out, struct lbw_model *model,
                                 const char *location, struct lbw_error *err)
{
    for (struct lbw_external_file *f = model->external_files; f; f = f->next) {
        if (strcmp(f->location, location) == 0) {
            *out = f;
            return LBW_OK;
        }
    }
    if (!model->folder)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "external data in '%s', but the model did not come from a file",
                        location);
    LBW_TRY(check_location(location, err));
    struct lbw_external_file *file = lbw_arena_calloc(&model->arena, 1, sizeof *file);
    if (!file || !(file->location = lbw_arena_strdup(&model->arena, location)))
        return lbw_fail_memory(err);
    int fd = open_inside(model->folder, location);
    if (fd < 0 && (errno == ELOOP || errno == EMLINK))
        return lbw_fail(err, LBW_ERR_FORMAT, "external data in '%s', which is a symbolic link",
                        location);
    if (fd < 0 && errno == ENOTDIR) /* the error of O_NOFOLLOW on a linked folder */
        return lbw_fail(
            err, LBW_ERR_FORMAT,
            "external data in '%s', whose path crosses a symbolic link or a missing folder",
            location);
    if (fd < 0)
        return lbw_fail_errno(err, "cannot open the external data '%s'", location);
    enum lbw_status status = map_fd(file, fd, err);
    close(fd);
    if (status != LBW_OK)
        return status;
    file->next = model->external_files;
    model->external_files = file;
    *out = file;
    return LBW_OK;
}

enum lbw_status lbw_external_view(const unsigned char **out, size_t *size,
                                  struct lbw_model *model, const Onnx__TensorProto *tensor,
                                  size_t expected, struct lbw_error *err)
{
    struct place place = {0};
    struct lbw_external_file *file = NULL;
    LBW_TRY(parse_place(&place, tensor, err));
    LBW_TRY(find_file(&file, model, place.location, err));
    uint64_t behind = place.offset <= file->size ? file->size - place.offset : 0;
    uint64_t wanted = place.has_length       ? place.length
                      : expected != SIZE_MAX ? expected
                                             : behind;
    if (place.offset > file->size || wanted > behind)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "%llu bytes at %llu of the external data '%s', which has %zu",
                        (unsigned long long)wanted, (unsigned long long)place.offset,
                        place.location, file->size);
    *out = file->data ? file->data + place.offset : (const unsigned char *)"";
    *size = (size_t)wanted;
    lbw_mapped_touch(model, *out, *size);
    return LBW_OK;
}

struct inlining {
    struct lbw_model *model;
    struct lbw_error *err;
    enum lbw_status status;
};

enum lbw_status lbw_external_inline_tensor(struct lbw_model *model, Onnx__TensorProto *tensor,
                                           struct lbw_error *err)
{
    const unsigned char *data = NULL;
    size_t size = 0;
    if (lbw_data_type_bits(tensor->data_type)) {
        struct lbw_tensor view = {0};
        LBW_TRY(lbw_tensor_view(&view, model, tensor, err));
        data = view.data;
        size = view.size;
    } else { /* a type unknown to us: taken as it is */
        enum lbw_status status = lbw_external_view(&data, &size, model, tensor, SIZE_MAX, err);
        if (status != LBW_OK)
            return lbw_within(err, status, "tensor '%s'", tensor->name ? tensor->name : "");
    }
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
    tensor->has_data_location = false;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    tensor->n_external_data = 0;
    tensor->external_data = NULL;
    return LBW_OK;
}

static bool inline_message(ProtobufCMessage *message, void *user)
{
    struct inlining *inlining = user;
    Onnx__TensorProto *tensor = lbw_walk_tensor(message);
    if (tensor && lbw_tensor_is_external(tensor))
        inlining->status = lbw_external_inline_tensor(inlining->model, tensor, inlining->err);
    return inlining->status == LBW_OK;
}

enum lbw_status lbw_external_inline(struct lbw_model *model, struct lbw_error *err)
{
    struct inlining inlining = {model, err, LBW_OK};
    lbw_walk(&model->proto->base, inline_message, &inlining);
    return inlining.status;
}

static bool add_size(ProtobufCMessage *message, void *user)
{
    const Onnx__TensorProto *tensor = lbw_walk_tensor(message);
    if (!tensor || !lbw_tensor_is_external(tensor))
        return true;
    uint64_t bits = lbw_data_type_bits(tensor->data_type);
    for (size_t i = 0; i < tensor->n_dims; i++)
        bits = tensor->dims[i] > 0 ? bits * (uint64_t)tensor->dims[i] : 0;
    *(uint64_t *)user += (bits + 7) / 8;
    return true;
}

uint64_t lbw_external_size(const struct lbw_model *model)
{
    uint64_t size = 0;
    lbw_walk(&model->proto->base, add_size, &size);
    return size;
}

void lbw_external_release(struct lbw_model *model)
{
    for (struct lbw_external_file *f = model->external_files; f; f = f->next)
        if (f->data)
            munmap((void *)(uintptr_t)f->data, f->size);
    model->external_files = NULL;
}
