/* SPDX-License-Identifier: MIT */
/* Opens, plans, converts, tests; opens the model again because converting works in place. */
#include "search/trial.h"

#include <lbw/budget.h>
#include <lbw/check.h>

#include <math.h>

#include "base/check.h"
#include "pass/edge.h"

#define QUICK_SCORE 0.2f /* weak boxes react first, and there are more of them */

enum lbw_status lbw_search_check(const char *path, const struct lbw_search_params *params,
                                 struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_check_given("params", params, err));
    LBW_TRY(lbw_check_given("test", params->test, err));
    LBW_TRY(lbw_check_given("profile", params->test->profile, err));
    LBW_TRY(lbw_check_given("dataset", params->test->dataset, err));
    LBW_TRY(lbw_check_range("target_bits", params->target_bits, 0, 64, err));
    LBW_TRY(lbw_check_range("keep", params->keep, 0, 1, err));
    if (params->keep > 0 &&
        (params->target_size || params->target_bits > 0 || params->num_grids ||
         (params->plan && params->plan->method == LBW_METHOD_THRESHOLD)))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "keep cannot be combined with a target size, with grids or "
                        "with the threshold method");
    LBW_TRY(lbw_check_range("max_seconds", params->max_seconds, 0, INFINITY, err));
    LBW_TRY(lbw_check_list("grids", params->grids, params->num_grids, err));
    bool has_bytes = params->plan && params->plan->activations == LBW_ACTIVATIONS_INT8;
    for (size_t i = 0; i < params->num_grids; i++) {
        LBW_TRY(lbw_check_given("grid", params->grids[i], err));
        if (has_bytes && !lbw_grid_fits_int8(params->grids[i]))
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "int8 cannot hold grid %s: use 2, 3, 4 or a grid of two terms "
                            "such as 4x2 with 8-bit activations",
                            params->grids[i]->name);
    }
    return LBW_OK;
}

enum lbw_status lbw_trial_hold_back(struct lbw_calibrate_params *calibrate,
                                    const struct lbw_bench *bench, struct lbw_error *err)
{
    const struct lbw_check_params params = {.calibrate = calibrate,
                                            .profile = bench->params->test->profile};
    struct lbw_check *check = NULL;
    struct lbw_error own = {0};
    if (calibrate->hold_back)
        return LBW_OK;
    enum lbw_status status = lbw_check_open(&check, bench->reference, &params, &own);
    calibrate->hold_back = lbw_check_hold_back(check);
    lbw_check_close(&check);
    if (status == LBW_OK || status == LBW_ERR_RUNTIME) /* a conversion checks nothing then */
        return LBW_OK;
    return lbw_fail(err, status, "%s", own.message);
}

enum lbw_status lbw_trial_open(struct lbw_trial *out, const struct lbw_bench *bench,
                               enum lbw_effort effort, const struct lbw_grid *const *grids,
                               double mu, struct lbw_error *err)
{
    struct lbw_plan_params params = *bench->params->plan;
    params.mu = (float)mu;
    LBW_TRY(lbw_model_open(&out->model, bench->path, err));
    const struct lbw_prepare_params *prepare = bench->params->prepare, by_default = {0};
    prepare = prepare ? prepare : &by_default;
    if (bench->params->encode.opset) { /* before planning, as a plan is for one opset */
        if (prepare->requantize)
            LBW_TRY(lbw_expand(out->model, NULL, err));
        LBW_TRY(lbw_model_lift(out->model, bench->params->encode.opset, err));
    }
    LBW_TRY(lbw_model_prepare(out->model, prepare, err));
    LBW_TRY(lbw_plan_new(&out->plan, out->model, &params, err));
    if (bench->params->plan_file)
        LBW_TRY(lbw_plan_apply(out->plan, bench->params->plan_file, err));
    if (effort != LBW_EFFORT_FULL)
        lbw_edges_drop(out->plan);
    for (size_t i = 0; grids && i < bench->num; i++)
        LBW_TRY(lbw_plan_set_grid(out->plan, bench->items[i], grids[i], err));
    return LBW_OK;
}

/* Native operators are for 8-bit activations; packed weights take as many bytes. */
static struct lbw_encode_params fitting(const struct lbw_encode_params *encode,
                                        const struct lbw_plan *plan)
{
    struct lbw_encode_params out = *encode;
    if (out.encoding == LBW_ENCODING_NATIVE && !lbw_plan_num_edges(plan))
        out.encoding = LBW_ENCODING_PACKED;
    return out;
}

enum lbw_status lbw_trial_convert(struct lbw_trial *trial, const struct lbw_bench *bench,
                                  enum lbw_effort effort,
                                  const struct lbw_encode_params *encode, struct lbw_error *err)
{
    const struct lbw_search_params *params = bench->params;
    struct lbw_activations *activations = NULL;
    const struct lbw_budget_params weigh = {.calibrate = params->calibrate,
                                            .profile = params->test->profile};
    enum lbw_status status = LBW_OK;
    if (params->calibrate && effort != LBW_EFFORT_PROJECT) {
        struct lbw_calibrate_params calibrate = *params->calibrate;
        calibrate.independent = effort == LBW_EFFORT_INDEPENDENT;
        LBW_OR_OUT(lbw_calibrate_open(&activations, trial->model, &calibrate, NULL, err));
        LBW_OR_OUT(lbw_plan_weigh_edges(trial->plan, &weigh, err));
    }
    const struct lbw_convert_params convert = {
        .encode = fitting(encode, trial->plan),
        .activations = activations,
        .damping = params->damping,
        .progress = bench->progress,
        .user = bench->user,
    };
    LBW_OR_OUT(lbw_convert(&trial->report, trial->model, trial->plan, &convert, err));
out:
    lbw_calibrate_close(&activations);
    return status;
}

void lbw_trial_close(struct lbw_trial *trial)
{
    lbw_report_free(&trial->report);
    lbw_plan_free(&trial->plan);
    lbw_model_close(&trial->model);
}

uint64_t lbw_trial_weight_bytes(const struct lbw_trial *trial, const struct lbw_bench *bench)
{
    uint64_t size = 0;
    for (size_t i = 0; i < bench->num; i++) {
        const struct lbw_report_row *row = lbw_report_row(trial->report, bench->items[i]);
        size += row->converted ? row->bytes_after : row->item->bytes;
    }
    return size;
}

enum lbw_status lbw_trial_judge(struct lbw_verdict *out, struct lbw_model *const *models,
                                size_t num_models, const struct lbw_bench *bench,
                                enum lbw_judge judge, struct lbw_error *err)
{
    struct lbw_eval_params params = *bench->params->test;
    struct lbw_evaluation *evaluation = NULL;
    params.reference = bench->reference;
    params.progress = bench->progress;
    params.progress_user = bench->user;
    if (judge == LBW_JUDGE_QUICK) {
        if (bench->params->quick)
            params.dataset = bench->params->quick;
        if (!(params.reference_score > 0 && params.reference_score < QUICK_SCORE))
            params.reference_score = QUICK_SCORE;
    }
    LBW_TRY(lbw_eval(&evaluation, models, num_models, &params, err));
    bool is_first = !bench->items, is_blind = false;
    for (size_t i = 0; i < num_models; i++) {
        const struct lbw_eval_model *model = lbw_evaluation_model(evaluation, i);
        bool is_labelled = judge == LBW_JUDGE_TEST && model->ap.num_truths;
        size_t wanted = model->num_wanted;
        out[i].ap = is_labelled ? model->ap : model->agreement;
        out[i].kept = wanted ? (double)(wanted - model->num_lost) / (double)wanted : 1;
        is_blind = is_blind || (is_first && out[i].ap.ap < 0);
    }
    for (size_t i = 0; is_first && bench->params->note && i < evaluation->num_notes; i++)
        bench->params->note(bench->params->log_user, evaluation->notes[i]);
    lbw_evaluation_free(&evaluation);
    return is_blind ? lbw_fail(err, LBW_ERR_ARGUMENT,
                               "the float model detects nothing in these images")
                    : LBW_OK;
}
