/* SPDX-License-Identifier: MIT */
/* A look at a model's bytes before they are unpacked: what unpacking must not be trusted with.
 */
#ifndef LBW_SRC_ONNX_SCAN_H
#define LBW_SRC_ONNX_SCAN_H

#include <stddef.h>

#include "base/error.h"

/* Messages inside messages; a body in a body is three levels. */
#define LBW_MAX_NESTING 200

/*
 * Passes only bytes that are well-formed wire data of a ModelProto: nothing runs past its end
 * (a file cut short is called truncated), no message is nested deeper than LBW_MAX_NESTING
 * (protobuf-c recurses without a limit), and no string holds a zero byte (a C string would lose
 * what is behind it). Other kinds of files are called by their names. LBW_ERR_FORMAT, or
 * LBW_ERR_UNSUPPORTED for what is larger than one protobuf message may be.
 */
enum lbw_status lbw_scan_model(const void *data, size_t size, struct lbw_error *err);

#endif
