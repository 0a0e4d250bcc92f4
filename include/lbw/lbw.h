/* SPDX-License-Identifier: MIT */
/* All of liblbw: LBW weights (zero, ± a power of two or the sum of two) for ONNX detectors. */
#ifndef LBW_LBW_H
#define LBW_LBW_H

#include <lbw/base.h>
#include <lbw/budget.h>
#include <lbw/bench.h>
#include <lbw/check.h>
#include <lbw/convert.h>
#include <lbw/draw.h>
#include <lbw/eval.h>
#include <lbw/grid.h>
#include <lbw/image.h>
#include <lbw/model.h>
#include <lbw/page.h>
#include <lbw/plan.h>
#include <lbw/runtime.h>
#include <lbw/samples.h>
#include <lbw/search.h>
#include <lbw/tune.h>
#include <lbw/version.h>

#endif
