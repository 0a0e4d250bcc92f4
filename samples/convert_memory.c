/* SPDX-License-Identifier: MIT */
/* liblbw from memory to memory, with a progress callback and the report of each weight. */
#include <stdio.h>
#include <stdlib.h>

#include <lbw/lbw.h>

static int show_progress(void *user, const char *what, size_t done, size_t total)
{
    (void)user;
    printf("%zu of %zu: %s\n", done, total, what ? what : "");
    return 0; /* any other value stops the conversion */
}

static void show_report(const struct lbw_report *report)
{
    for (size_t i = 0; i < report->num_rows; i++) {
        const struct lbw_report_row *row = lbw_report_row(report, i);
        if (row->converted)
            printf("%s: %s bits, %.1f dB\n", row->item->node, row->item->grid->name, row->snr);
        else
            printf("%s: kept in float, %s\n", row->item->node, row->how);
    }
}

/* *out is freed with lbw_free(). */
static enum lbw_status convert(void **out, size_t *out_size, const void *data, size_t size,
                               struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_report *report = NULL;
    struct lbw_plan_params plan_params = {.grid = lbw_grid_by_name("6")};
    struct lbw_convert_params params = {.encode.encoding = LBW_ENCODING_DQ,
                                        .progress = show_progress};
    enum lbw_status status = lbw_model_open_memory(&model, data, size, err);
    if (status == LBW_OK)
        status = lbw_model_prepare(model, &(struct lbw_prepare_params){0}, err);
    if (status == LBW_OK)
        status = lbw_plan_new(&plan, model, &plan_params, err);
    if (status == LBW_OK)
        status = lbw_convert(&report, model, plan, &params, err);
    if (status == LBW_OK)
        show_report(report);
    if (status == LBW_OK)
        status = lbw_model_save_memory(model, out, out_size, err);
    lbw_report_free(&report);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return status;
}

static void *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *data = malloc((size_t)1 << 24);
    *size = data ? fread(data, 1, (size_t)1 << 24, file) : 0;
    fclose(file);
    return data;
}

int main(int argc, char **argv)
{
    size_t size = 0, converted_size = 0;
    void *data = argc == 2 ? read_file(argv[1], &size) : NULL;
    if (!data) {
        fputs("usage: convert_memory INPUT.onnx (at most 16 MiB)\n", stderr);
        return 2;
    }
    struct lbw_error err = {0};
    void *converted = NULL;
    enum lbw_status status = convert(&converted, &converted_size, data, size, &err);
    if (status == LBW_OK)
        printf("%zu bytes became %zu\n", size, converted_size);
    else
        fprintf(stderr, "convert_memory: %s\n", err.message);
    lbw_free(converted);
    free(data);
    return status == LBW_OK ? 0 : 1;
}
