/* SPDX-License-Identifier: MIT */
/* From the encoding options to parameters. */
#include "cli/encode_options.h"

#include <stddef.h>

#include "cli/talk.h"

const char *lbw_encoding_choice(int i)
{
    return lbw_encoding_name((enum lbw_encoding)i);
}

const char *lbw_target_choice(int i)
{
    return lbw_target_name((enum lbw_target)i);
}

bool lbw_encode_is_usable(const struct lbw_encode_values *values, bool has_8bit_activations,
                          const char *command)
{
    const struct lbw_encoding_info *info =
        lbw_encoding_info((enum lbw_encoding)values->encoding);
    if (values->inline_nodes && !info->takes_inline)
        lbw_usage_error(command, "--inline cannot be combined with --encoding %s", info->name);
    else if (values->target != LBW_TARGET_ORT && !info->takes_target && !has_8bit_activations)
        lbw_usage_error(command, "--target cannot be combined with --encoding %s", info->name);
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
