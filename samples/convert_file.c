/* SPDX-License-Identifier: MIT */
/* liblbw from file to file: open, plan, calibrate, convert, save. */
#include <stdio.h>

#include <lbw/lbw.h>

/* Everything that is opened, so that one place can close it. */
struct job {
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_activations *activations;
    struct lbw_report *report;
};

static enum lbw_status convert(struct job *job, const char *input, const char *output,
                               struct lbw_error *err)
{
    struct lbw_plan_params plan = {.grid = lbw_grid_by_name("4")};
    struct lbw_calibrate_params calibrate = {.source = "generated:8"};
    struct lbw_convert_params params = {.encode.encoding = LBW_ENCODING_PACKED};
    enum lbw_status status = lbw_model_open(&job->model, input, err);
    if (status == LBW_OK)
        status = lbw_model_prepare(job->model, &(struct lbw_prepare_params){0}, err);
    if (status == LBW_OK)
        status = lbw_plan_new(&job->plan, job->model, &plan, err);
    if (status == LBW_OK)
        status = lbw_calibrate_open(&job->activations, job->model, &calibrate, NULL, err);
    if (status == LBW_ERR_RUNTIME) {
        printf("no calibration: %s\n", err->message); /* NULL activations: projection alone */
        status = LBW_OK;
    }
    params.activations = job->activations;
    if (status == LBW_OK)
        status = lbw_convert(&job->report, job->model, job->plan, &params, err);
    if (status == LBW_OK)
        status = lbw_model_save(job->model, output, err);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: convert_file INPUT.onnx OUTPUT.onnx\n", stderr);
        return 2;
    }
    struct job job = {0};
    struct lbw_error err = {0};
    enum lbw_status status = convert(&job, argv[1], argv[2], &err);
    if (status == LBW_OK)
        printf("%zu of %zu weights, %.2f bits each, %llu to %llu bytes\n",
               job.report->num_converted, job.report->num_rows, job.report->bits_per_weight,
               (unsigned long long)job.report->bytes_before,
               (unsigned long long)job.report->bytes_after);
    else
        fprintf(stderr, "convert_file: %s\n", err.message);
    lbw_report_free(&job.report);
    lbw_calibrate_close(&job.activations);
    lbw_plan_free(&job.plan);
    lbw_model_close(&job.model);
    return status == LBW_OK ? 0 : 1;
}
