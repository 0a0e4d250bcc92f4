/* SPDX-License-Identifier: MIT */
/* Dense arrays: release. */
#include "run/feed.h"

#include <stdlib.h>

void lbw_array_release(struct lbw_array *array)
{
    free(array->data);
    *array = (struct lbw_array){0};
}
