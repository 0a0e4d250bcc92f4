/* SPDX-License-Identifier: MIT */
/* What went wrong in a call that should have gone well; include it after cmocka.h. */
#ifndef LBW_TESTS_CHECK_H
#define LBW_TESTS_CHECK_H

#include "fixture.h"

static inline void check(enum lbw_status status, const struct lbw_error *err)
{
    if (status != LBW_OK)
        fail_msg("%s", err->message);
}

/* Opens and frees the bytes. */
static inline struct lbw_model *open_text(struct text *bytes)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    keep_fixture(bytes->data, bytes->size);
    check(lbw_model_open_memory(&model, bytes->data, bytes->size, &err), &err);
    free(bytes->data);
    *bytes = (struct text){0};
    return model;
}

#endif
