/* SPDX-License-Identifier: MIT */
/* ONNX Runtime for a program that was built but not installed. */
#ifndef LBW_SRC_CLI_RUNTIME_H
#define LBW_SRC_CLI_RUNTIME_H

/*
 * Run from its build folder, the program uses the ONNX Runtime that samples/setup.sh installed
 * there, by setting LBW_ORT unless it is set. Folders that others can write to are not trusted.
 * The library itself never searches the program's folder.
 */
void lbw_runtime_of_build(void);

#endif
