/* SPDX-License-Identifier: MIT */
/* lift_model IN OUT OPSET: what lift.py runs; the one line of an error goes to stderr. */
#include <stdio.h>
#include <stdlib.h>

#include <lbw/model.h>

int main(int argc, char **argv)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    if (argc != 4)
        return 2;
    enum lbw_status status = lbw_model_open(&model, argv[1], &err);
    if (status == LBW_OK)
        status = lbw_model_lift(model, atoi(argv[3]), &err);
    if (status == LBW_OK)
        status = lbw_model_save(model, argv[2], &err);
    if (status != LBW_OK)
        fprintf(stderr, "%s\n", err.message);
    lbw_model_close(&model);
    return status == LBW_OK ? 0 : 1;
}
