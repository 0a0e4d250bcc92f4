/* SPDX-License-Identifier: MIT */
/* Fuzz target: planning, converting and expanding, of models that may hold encoded weights. */
#include <stdlib.h>

#include "fuzz.h"
#include <lbw/convert.h>

#include "pass/plan.h"

static void convert(struct lbw_model *model, enum lbw_encoding encoding)
{
    const struct lbw_prepare_params prepare = {.requantize = true};
    const struct lbw_plan_params params = {.all = true};
    struct lbw_plan *plan = NULL;
    char *text = NULL;
    if (lbw_model_prepare(model, &prepare, NULL) != LBW_OK ||
        lbw_plan_new(&plan, model, &params, NULL) != LBW_OK)
        return;
    if (lbw_plan_print(&text, plan, encoding == LBW_ENCODING_DQ, NULL) == LBW_OK)
        lbw_free(text);
    enum lbw_status status = lbw_convert(
        NULL, model, plan, &(struct lbw_convert_params){.encode.encoding = encoding}, NULL);
    if (status == LBW_OK)
        status = lbw_expand(model, NULL, NULL);
    (void)status; /* either may refuse what the file holds */
    lbw_plan_free(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_model *model = NULL;
    void *saved = NULL;
    size_t saved_size;
    if (lbw_model_open_memory(&model, data, size, NULL) != LBW_OK)
        return 0;
    convert(model, (enum lbw_encoding)(size % 4));
    if (lbw_model_save_memory(model, &saved, &saved_size, NULL) == LBW_OK)
        lbw_free(saved);
    lbw_model_close(&model);
    return 0;
}
