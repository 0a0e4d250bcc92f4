/* SPDX-License-Identifier: MIT */
/* One model in ONNX Runtime: arrays in, arrays out. */
#include "run/session.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/calls.h"
#include "onnx/model.h"
#include "onnx/tensor.h"
#include "onnx/walk.h"
#include "run/native.h"
#include "run/ort_api.h"

/* The runtime numbers element types as ONNX does up to FLOAT4E2M1. */
#define MAX_DIMS        8
#define MAX_SHARED_TYPE ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT4E2M1

struct lbw_session {
    const struct lbw_runtime *runtime;
    struct ort_session *session;
    size_t num_inputs;
    size_t num_outputs;
    char **names; /* inputs, then outputs; owned by the runtime's allocator */
    bool numbers_only;
    char *model; /* the name of a whole model, in front of errors; NULL for a part */
};

static enum lbw_status set_options(const struct lbw_runtime *runtime,
                                   struct ort_session_options *options,
                                   const struct lbw_session_params *params,
                                   struct lbw_error *err)
{
    const char *what = "session options";
    LBW_TRY(lbw_runtime_check(
        runtime, runtime->set_session_log_severity(options, ORT_LOG_FATAL), what, err));
    LBW_TRY(lbw_runtime_check(
        runtime, runtime->set_intra_op_threads(options, (int)params->num_threads), what, err));
    LBW_TRY(lbw_runtime_check(runtime, runtime->set_inter_op_threads(options, 1), what, err));
    LBW_TRY(lbw_runtime_check(
        runtime, runtime->set_optimization_level(options, params->optimize), what, err));
    if (runtime->set_deterministic)
        LBW_TRY(
            lbw_runtime_check(runtime, runtime->set_deterministic(options, true), what, err));
    /*
     * Waiting threads must not take processors from our own threads, nor keep spinning after a
     * run when another session is next.
     */
    LBW_TRY(lbw_runtime_check(runtime,
                              runtime->add_config_entry(options,
                                                        params->spin
                                                            ? "session.force_spinning_stop"
                                                            : "session.intra_op.allow_spinning",
                                                        params->spin ? "1" : "0"),
                              what, err));
    if (params->native)
        LBW_TRY(lbw_native_register(runtime, options, err));
    if (params->decode_once)
        LBW_TRY(lbw_runtime_check(
            runtime, runtime->add_config_entry(options, "session.disable_quant_qdq", "1"), what,
            err));
    if (params->profile)
        LBW_TRY(lbw_runtime_check(runtime, runtime->enable_profiling(options, params->profile),
                                  what, err));
    if (params->short_lived) {
        LBW_TRY(lbw_runtime_check(runtime, runtime->disable_mem_pattern(options), what, err));
        LBW_TRY(lbw_runtime_check(runtime, runtime->disable_cpu_mem_arena(options), what, err));
    }
    return LBW_OK;
}

static bool is_no_quantizer(ProtobufCMessage *message, void *user)
{
    (void)user;
    if (message->descriptor != &onnx__node_proto__descriptor)
        return true;
    const char *op_type = ((Onnx__NodeProto *)(void *)message)->op_type;
    return !op_type || strcmp(op_type, "QuantizeLinear") != 0;
}

bool lbw_session_has_native(void)
{
    struct lbw_runtime *runtime = NULL;
    return lbw_runtime_load(&runtime, NULL, NULL) == LBW_OK && lbw_native_is_usable(runtime);
}

bool lbw_session_decodes(const struct lbw_model *model)
{
    return lbw_walk(&model->proto->base, is_no_quantizer, NULL);
}

static enum lbw_status read_names(struct lbw_session *self, struct lbw_error *err)
{
    const struct lbw_runtime *runtime = self->runtime;
    size_t num_inputs = 0, num_outputs = 0;
    LBW_TRY(lbw_runtime_check(runtime, runtime->session_num_inputs(self->session, &num_inputs),
                              "inputs", err));
    LBW_TRY(lbw_runtime_check(
        runtime, runtime->session_num_outputs(self->session, &num_outputs), "outputs", err));
    self->names = calloc(num_inputs + num_outputs + 1, sizeof *self->names);
    if (!self->names)
        return lbw_fail_memory(err);
    self->num_inputs = num_inputs;
    self->num_outputs = num_outputs;
    for (size_t i = 0; i < num_inputs; i++)
        LBW_TRY(lbw_runtime_check(
            runtime,
            runtime->session_input_name(self->session, i, runtime->allocator, &self->names[i]),
            "inputs", err));
    for (size_t i = 0; i < num_outputs; i++)
        LBW_TRY(
            lbw_runtime_check(runtime,
                              runtime->session_output_name(self->session, i, runtime->allocator,
                                                           &self->names[num_inputs + i]),
                              "outputs", err));
    return LBW_OK;
}

enum lbw_status lbw_session_open(struct lbw_session **out, const void *model, size_t size,
                                 const struct lbw_session_params *params, struct lbw_error *err)
{
    struct lbw_runtime *runtime;
    struct ort_session_options *options = NULL;
    struct lbw_session *self = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_runtime_load(&runtime, NULL, err));
    self = calloc(1, sizeof *self);
    if (!self)
        LBW_OR_OUT(lbw_fail_memory(err));
    self->runtime = runtime;
    self->numbers_only = params->numbers_only;
    LBW_OR_OUT(lbw_runtime_check(runtime, runtime->create_session_options(&options),
                                 "session options", err));
    LBW_OR_OUT(set_options(runtime, options, params, err));
    LBW_OR_OUT(lbw_runtime_check(
        runtime,
        runtime->create_session_from_array(runtime->env, model, size, options, &self->session),
        "loading the model", err));
    LBW_OR_OUT(read_names(self, err));
    *out = self;
    self = NULL;
out:
    if (options)
        runtime->release_session_options(options);
    lbw_session_close(&self);
    return status;
}

/* A runtime expands every call as it loads the model, however many there are. */
static enum lbw_status check_calls(struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_index index;
    LBW_TRY(lbw_index_init(&index, model, err));
    enum lbw_status status = lbw_calls_check(&index, NULL, err);
    lbw_index_release(&index);
    return status;
}

enum lbw_status lbw_session_open_part(struct lbw_session **out, struct lbw_model *model,
                                      const struct lbw_part *part,
                                      const struct lbw_session_params *params,
                                      struct lbw_error *err)
{
    void *data = NULL;
    size_t size = 0;
    if (model->proto->n_functions && !part->no_functions)
        LBW_TRY(check_calls(model, err));
    LBW_TRY(lbw_extract(&data, &size, model, part, err));
    enum lbw_status status = lbw_session_open(out, data, size, params, err);
    free(data);
    return status;
}

enum lbw_status lbw_session_open_model(struct lbw_session **out, struct lbw_model *model,
                                       const struct lbw_session_params *params,
                                       struct lbw_error *err)
{
    static const struct lbw_part whole;
    struct lbw_session_params found = *params;
    found.decode_once = lbw_session_decodes(model);
    struct lbw_session *session = NULL;
    LBW_TRY(lbw_within(err, lbw_session_open_part(&session, model, &whole, &found, err), "%s",
                       model->name));
    session->model = strdup(model->name);
    if (!session->model) {
        lbw_session_close(&session);
        return lbw_fail_memory(err);
    }
    *out = session;
    return LBW_OK;
}

void lbw_session_close(struct lbw_session **session)
{
    struct lbw_session *self = *session;
    if (!self)
        return;
    const struct lbw_runtime *runtime = self->runtime;
    for (size_t i = 0; i < self->num_inputs + self->num_outputs; i++)
        if (self->names[i])
            lbw_runtime_check(runtime,
                              runtime->allocator_free(runtime->allocator, self->names[i]),
                              "closing", NULL);
    if (self->session)
        runtime->release_session(self->session);
    free(self->names);
    free(self->model);
    free(self);
    *session = NULL;
}

size_t lbw_session_num_inputs(const struct lbw_session *session)
{
    return session->num_inputs;
}

size_t lbw_session_num_outputs(const struct lbw_session *session)
{
    return session->num_outputs;
}

const char *lbw_session_input_name(const struct lbw_session *session, size_t i)
{
    return session->names[i];
}

const char *lbw_session_output_name(const struct lbw_session *session, size_t i)
{
    return session->names[session->num_inputs + i];
}

size_t lbw_session_find_input(const struct lbw_session *session, const char *name)
{
    size_t i = 0;
    while (i < session->num_inputs && strcmp(session->names[i], name) != 0)
        i++;
    return i;
}

size_t lbw_session_find_output(const struct lbw_session *session, const char *name)
{
    size_t i = 0;
    while (i < session->num_outputs && strcmp(lbw_session_output_name(session, i), name) != 0)
        i++;
    return i;
}

/* Zero for types that struct lbw_array cannot hold. */
static int32_t read_type(const struct lbw_runtime *runtime, const struct ort_shape_info *info)
{
    int type = 0;
    size_t num_dims = 0;
    if (lbw_runtime_check(runtime, runtime->element_type(info, &type), "type", NULL) !=
            LBW_OK ||
        lbw_runtime_check(runtime, runtime->num_dims(info, &num_dims), "type", NULL) != LBW_OK)
        return 0;
    bool fits = type > 0 && type <= MAX_SHARED_TYPE && lbw_data_type_bits(type) != 0 &&
                num_dims <= MAX_DIMS;
    return fits ? type : 0;
}

int32_t lbw_session_output_type(const struct lbw_session *session, size_t i)
{
    const struct lbw_runtime *runtime = session->runtime;
    struct ort_type_info *type = NULL;
    const struct ort_shape_info *info = NULL; /* borrowed from `type` */
    int32_t result = 0;
    if (lbw_runtime_check(runtime, runtime->session_output_type(session->session, i, &type),
                          "type", NULL) != LBW_OK)
        return 0;
    if (lbw_runtime_check(runtime, runtime->type_as_shape(type, &info), "type", NULL) ==
            LBW_OK &&
        info)
        result = read_type(runtime, info);
    runtime->release_type_info(type);
    return result;
}

/* Type, dims and size of a runtime's tensor; does not touch data. */
static enum lbw_status read_shape(struct lbw_array *out, const struct lbw_runtime *runtime,
                                  const struct ort_shape_info *info, const char *name,
                                  struct lbw_error *err)
{
    size_t count = 0;
    out->data_type = read_type(runtime, info);
    if (out->data_type == 0)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "output '%s' holds strings or more than %d dims", name, MAX_DIMS);
    LBW_TRY(lbw_runtime_check(runtime, runtime->num_dims(info, &out->num_dims), name, err));
    LBW_TRY(
        lbw_runtime_check(runtime, runtime->dims(info, out->dims, out->num_dims), name, err));
    LBW_TRY(lbw_runtime_check(runtime, runtime->num_elements(info, &count), name, err));
    out->size = (count * lbw_data_type_bits(out->data_type) + 7) / 8;
    return LBW_OK;
}

static enum lbw_status copy_output(struct lbw_array *out, const struct lbw_runtime *runtime,
                                   struct ort_value *value, const char *name,
                                   struct lbw_error *err)
{
    struct lbw_array array = {0};
    struct ort_shape_info *info;
    int is_tensor = 0;
    void *data = NULL;
    LBW_TRY(lbw_runtime_check(runtime, runtime->is_tensor(value, &is_tensor), name, err));
    if (!is_tensor)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "output '%s' is not a tensor", name);
    LBW_TRY(lbw_runtime_check(runtime, runtime->tensor_shape(value, &info), name, err));
    enum lbw_status status = read_shape(&array, runtime, info, name, err);
    runtime->release_shape_info(info);
    LBW_TRY(status);
    LBW_TRY(lbw_runtime_check(runtime, runtime->tensor_data(value, &data), name, err));
    array.data = malloc(array.size ? array.size : 1);
    if (!array.data)
        return lbw_fail_memory(err);
    if (array.size)
        memcpy(array.data, data, array.size);
    *out = array;
    return LBW_OK;
}

static enum lbw_status wrap_inputs(struct ort_value **values, const struct lbw_session *self,
                                   const struct lbw_array *inputs, struct lbw_error *err)
{
    static char nothing; /* the runtime wants an address even for zero bytes */
    for (size_t i = 0; i < self->num_inputs; i++) {
        const struct lbw_array *input = &inputs[i];
        LBW_TRY(lbw_runtime_check(
            self->runtime,
            self->runtime->create_tensor_with_data(
                self->runtime->memory_info, input->data ? input->data : &nothing, input->size,
                input->dims, input->num_dims, input->data_type, &values[i]),
            self->names[i], err));
    }
    return LBW_OK;
}

static enum lbw_status run(struct lbw_session *self, struct ort_value **values,
                           const struct lbw_array *inputs, struct lbw_array *outputs,
                           struct lbw_error *err)
{
    const struct lbw_runtime *runtime = self->runtime;
    const char *const *names = (const char *const *)self->names;
    struct ort_value **results = values + self->num_inputs;
    LBW_TRY(wrap_inputs(values, self, inputs, err));
    LBW_TRY(lbw_runtime_check(
        runtime,
        runtime->run(self->session, NULL, names, (const struct ort_value *const *)values,
                     self->num_inputs, names + self->num_inputs, self->num_outputs, results),
        "run", err));
    for (size_t i = 0; i < self->num_outputs; i++) {
        enum lbw_status status =
            copy_output(&outputs[i], runtime, results[i], names[self->num_inputs + i], err);
        if (status != LBW_ERR_UNSUPPORTED || !self->numbers_only)
            LBW_TRY(status);
    }
    return LBW_OK;
}

enum lbw_status lbw_session_run(struct lbw_session *session, const struct lbw_array *inputs,
                                struct lbw_array *outputs, struct lbw_error *err)
{
    size_t num_values = session->num_inputs + session->num_outputs;
    struct ort_value **values = calloc(num_values + 1, sizeof(struct ort_value *));
    struct lbw_array *results = calloc(session->num_outputs + 1, sizeof *results);
    enum lbw_status status =
        values && results ? run(session, values, inputs, results, err) : lbw_fail_memory(err);
    if (status == LBW_OK && session->num_outputs)
        memcpy(outputs, results, session->num_outputs * sizeof *results);
    if (status != LBW_OK)
        lbw_arrays_release(results, session->num_outputs);
    for (size_t i = 0; values && i < num_values; i++)
        if (values[i])
            session->runtime->release_value(values[i]);
    free(results);
    free(values);
    return session->model ? lbw_within(err, status, "%s", session->model) : status;
}
