/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever the bytes, opening, indexing, viewing, lifting, saving end well. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "onnx/build.h"
#include "onnx/index.h"
#include "onnx/tensor.h"
#include "onnx/walk.h"

#define MAX_COUNT 100000

/* Views every tensor and reads the values of those of a modest size. */
static bool view(ProtobufCMessage *message, void *user)
{
    const Onnx__TensorProto *proto = lbw_walk_tensor(message);
    struct lbw_tensor tensor;
    if (!proto || lbw_tensor_view(&tensor, user, proto, NULL) != LBW_OK ||
        tensor.count > MAX_COUNT)
        return true;
    void *values = malloc(tensor.count * 8 + 1);
    if (values) {
        lbw_tensor_read_float(&tensor, values, NULL);
        lbw_tensor_read_int64(&tensor, values, NULL);
    }
    free(values);
    return true;
}

static void index_and_name(struct lbw_model *model)
{
    struct lbw_index index;
    struct lbw_names *names;
    if (lbw_index_init(&index, model, NULL) == LBW_OK) {
        for (struct lbw_scope *scope = index.scopes; scope; scope = scope->next) {
            size_t num;
            Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
            for (size_t i = 0; i < num; i++) {
                struct lbw_value *value = lbw_index_find(scope, lbw_node_input(nodes[i], 1));
                if (value)
                    lbw_index_constant(&index, value, i % 2);
            }
        }
        lbw_index_release(&index);
    }
    if (lbw_names_new(&names, model, NULL) == LBW_OK) {
        lbw_names_make(names, model, "w");
        lbw_names_free(names);
    }
}

/* What was read and written once comes back the same. */
static void save_and_compare(struct lbw_model *model)
{
    void *data, *data_again;
    size_t size, size_again;
    struct lbw_model *again = NULL;
    if (lbw_model_save_memory(model, &data, &size, NULL) != LBW_OK)
        return; /* external data */
    if (lbw_model_open_memory(&again, data, size, NULL) != LBW_OK ||
        lbw_model_save_memory(again, &data_again, &size_again, NULL) != LBW_OK)
        abort();
    if (size != size_again || memcmp(data, data_again, size) != 0)
        abort();
    lbw_free(data);
    lbw_free(data_again);
    lbw_model_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_model *model = NULL;
    struct lbw_model_info info;
    if (lbw_model_open_memory(&model, data, size, NULL) != LBW_OK)
        return 0;
    if (lbw_model_describe(&info, model, NULL) != LBW_OK)
        info.num_inputs = 0;
    lbw_walk(&model->proto->base, view, model);
    index_and_name(model);
    save_and_compare(model);
    if (lbw_model_lift(model, 25, NULL) == LBW_OK)
        save_and_compare(model);
    lbw_model_close(&model);
    return 0;
}
