/* SPDX-License-Identifier: MIT */
/*
 * The versions of operator sets that a model imports (ONNX IR, "Operator Set Identifiers"). The
 * default domain has two names, "" and "ai.onnx".
 */
#ifndef LBW_SRC_ONNX_IMPORT_H
#define LBW_SRC_ONNX_IMPORT_H

#include "onnx/model.h"

/* True for both names of the default domain. */
bool lbw_domain_is_standard(const char *domain);

/*
 * Leaves one entry per domain, the one that ONNX Runtime uses: the last; in functions, ""
 * rather than "ai.onnx" for the default domain.
 */
void lbw_imports_merge(Onnx__ModelProto *proto);

/*
 * LBW_ERR_UNSUPPORTED if the model has nodes of the default domain but no version of it: nodes
 * that lbw adds would not load, or change the meaning of others.
 */
enum lbw_status lbw_model_check_imports(const struct lbw_model *model, struct lbw_error *err);

#endif
