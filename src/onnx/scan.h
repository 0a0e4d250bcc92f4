/* SPDX-License-Identifier: MIT */
/*
 * Checks a model's bytes before they are unpacked, for what the unpacker cannot handle safely.
 */
#ifndef LBW_SRC_ONNX_SCAN_H
#define LBW_SRC_ONNX_SCAN_H

#include <stddef.h>

#include "base/error.h"

/* Nesting of messages; a body in a body is three levels. */
#define LBW_MAX_NESTING 200

/*
 * Accepts only well-formed wire data of a ModelProto: no field runs past the end (a file cut
 * short is called truncated), no message is nested deeper than LBW_MAX_NESTING (protobuf-c
 * recurses without a limit), and no string holds a zero byte (a C string would lose the rest).
 * Known other kinds of files are named. LBW_ERR_FORMAT, or LBW_ERR_UNSUPPORTED for what is
 * larger than one protobuf message may be.
 */
enum lbw_status lbw_scan_model(const void *data, size_t size, struct lbw_error *err);

#endif
