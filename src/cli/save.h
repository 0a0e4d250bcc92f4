/* SPDX-License-Identifier: MIT */
/* Writing results: not after Ctrl-C, and text in one go. */
#ifndef LBW_CLI_SAVE_H
#define LBW_CLI_SAVE_H

#include <lbw/model.h>

/* lbw_model_save(), or LBW_ERR_INTERRUPTED when a signal came before it. */
enum lbw_status lbw_save_model(struct lbw_model *model, const char *path,
                               struct lbw_error *err);

/* Writes text to a file whole or not at all; "-" is standard output. LBW_ERR_IO names it. */
enum lbw_status lbw_save_text(const char *path, const char *text, struct lbw_error *err);

#endif
