/* SPDX-License-Identifier: MIT */
/* Fuzz target: wherever a tensor says its values are, none are read outside its folder. */
#include <string.h>
#include <sys/stat.h>

#include "../fixture.h"
#include "fuzz.h"
#include "onnx/extdata.h"
#include "onnx/tensor.h"

#define MAX_ENTRIES 16
#define MAX_COUNT   100000

/* Every byte of every file inside; outside there are others. */
#define INSIDE 'I'

static char folder[] = "/tmp/lbw-fuzz-XXXXXX";
static char inner[64];

static void put_file(const char *name, int byte, size_t size)
{
    char path[96], data[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    memset(data, byte, sizeof data);
    write_file(path, data, size);
}

static void put_link(const char *name, const char *to)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (symlink(to, path) != 0)
        abort();
}

static void clean(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    if (system(command) != 0)
        abort();
}

static void prepare(void)
{
    char path[96];
    if (!mkdtemp(folder))
        abort();
    atexit(clean);
    snprintf(inner, sizeof inner, "%s/in/", folder);
    snprintf(path, sizeof path, "%s/in/sub", folder);
    if (mkdir(inner, 0777) != 0 || mkdir(path, 0777) != 0)
        abort();
    put_file("out", 'O', 256);
    put_file("in/w", INSIDE, 256);
    put_file("in/empty", INSIDE, 0);
    put_file("in/sub/w", INSIDE, 100);
    put_link("in/link", "../out");
    put_link("in/up", "..");
    put_link("in/sub/link", "/etc/passwd");
    snprintf(path, sizeof path, "%s/in/fifo", folder);
    if (mkfifo(path, 0600) != 0)
        abort();
}

/* The first byte is the type, the second the number of values; then lines, key and value. */
static void refer(Onnx__TensorProto *tensor, struct lbw_model *model, const uint8_t *data,
                  size_t size)
{
    char *text = lbw_arena_calloc(&model->arena, size + 1, 1);
    Onnx__StringStringEntryProto **list =
        lbw_arena_calloc(&model->arena, MAX_ENTRIES, sizeof *list);
    if (!text || !list)
        abort();
    memcpy(text, data, size);
    tensor->data_type = text[0];
    tensor->dims[0] = (int8_t)text[1];
    tensor->has_raw_data = false;
    tensor->raw_data.len = 0;
    tensor->has_data_location = true;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->external_data = list;
    tensor->n_external_data = 0;
    char *rest = text + 2, *line;
    for (size_t i = 0; i < 2 * MAX_ENTRIES && (line = strsep(&rest, "\n")); i++) {
        if (i % 2) {
            list[i / 2]->value = line;
            continue;
        }
        list[i / 2] = lbw_arena_calloc(&model->arena, 1, sizeof **list);
        if (!list[i / 2])
            abort();
        onnx__string_string_entry_proto__init(list[i / 2]);
        list[i / 2]->key = line;
        tensor->n_external_data = i / 2 + 1;
    }
}

static void check_bytes(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != INSIDE)
            abort();
}

static void view(struct lbw_model *model, const Onnx__TensorProto *proto)
{
    const unsigned char *data;
    size_t size;
    struct lbw_tensor tensor;
    struct lbw_error err = {0};
    if (lbw_external_view(&data, &size, model, proto, SIZE_MAX, &err) == LBW_OK)
        check_bytes(data, size);
    else if (!*err.message)
        abort();
    if (lbw_tensor_view(&tensor, model, proto, NULL) != LBW_OK || tensor.count > MAX_COUNT)
        return;
    void *values = malloc(tensor.count * 8 + 1);
    if (values) {
        lbw_tensor_read_float(&tensor, values, NULL);
        lbw_tensor_read_int64(&tensor, values, NULL);
    }
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_model *model = NULL;
    void *saved = NULL;
    size_t saved_size;
    if (!*inner)
        prepare();
    if (size < 2)
        return 0;
    struct text bytes = small_model();
    if (lbw_model_open_memory(&model, bytes.data, bytes.size, NULL) != LBW_OK)
        abort();
    free(bytes.data);
    model->folder = inner;
    Onnx__TensorProto *tensor = model->proto->graph->initializer[0];
    refer(tensor, model, data, size);
    view(model, tensor);
    if (lbw_model_save_memory(model, &saved, &saved_size, NULL) == LBW_OK) {
        check_bytes(tensor->raw_data.data, tensor->raw_data.len);
        lbw_free(saved);
    }
    lbw_model_close(&model);
    return 0;
}
