/* SPDX-License-Identifier: MIT */
/* The loops on floats in plain C. */
#include <string.h>

#include "kernels/isa.h"

#define ISA
#define NAME(x) plain_##x
#define WIDTH   4
#include "kernels/isa_float.h"
#undef NAME
#undef ISA

const struct lbw_float_loops *const lbw_plain_floats = &plain_floats;
