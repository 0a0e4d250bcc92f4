/* SPDX-License-Identifier: MIT */
/* From the options on encodings to parameters. */
#include "cli/encode_options.h"

#include <stddef.h>

#include "cli/talk.h"

const char *const lbw_encoding_names[] = {"packed", "dq", "float", NULL};
const char *const lbw_target_names[] = {"ort", "tensorrt", "openvino", "any", NULL};

bool lbw_encode_is_usable(const struct lbw_encode_values *values, const char *command)
{
    if (values->inline_nodes && values->encoding != LBW_ENCODING_PACKED)
        lbw_usage_error(command, "--inline goes with --encoding packed");
    else if (values->target != LBW_TARGET_ORT && values->encoding != LBW_ENCODING_DQ)
        lbw_usage_error(command, "--target goes with --encoding dq");
    else
        return true;
    return false;
}

struct lbw_encode_params lbw_encode_from_options(const struct lbw_encode_values *values)
{
    return (struct lbw_encode_params){
        .encoding = (enum lbw_encoding)values->encoding,
        .inline_nodes = values->inline_nodes,
        .target = (enum lbw_target)values->target,
        .opset = values->opset,
    };
}

enum lbw_status lbw_encode_lift(struct lbw_model *model, const struct lbw_encode_values *values,
                                bool requantize, struct lbw_error *err)
{
    if (!values->opset)
        return LBW_OK;
    enum lbw_status status = requantize ? lbw_expand(model, NULL, err) : LBW_OK;
    return status == LBW_OK ? lbw_model_lift(model, values->opset, err) : status;
}
