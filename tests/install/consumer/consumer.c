/* SPDX-License-Identifier: MIT */
/* A program of somebody else's: it is compiled as C and as C++. */
#include <stdio.h>
#include <string.h>

#include <lbw/lbw.h>

int main(void)
{
    struct lbw_model *model = NULL;
    struct lbw_error err;
    size_t num;
    memset(&err, 0, sizeof err);
    if (lbw_model_open(&model, "missing.onnx", &err) != LBW_ERR_IO)
        return 1;
    for (num = 0; lbw_grid_at(num); num++)
        ;
    printf("lbw %s, %d grids, %s\n", lbw_version(), (int)num, err.message);
    return 0;
}
