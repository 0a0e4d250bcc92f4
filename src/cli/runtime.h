/* SPDX-License-Identifier: MIT */
/* ONNX Runtime for the program that was built, but not installed. */
#ifndef LBW_SRC_CLI_RUNTIME_H
#define LBW_SRC_CLI_RUNTIME_H

/*
 * Run from its build folder, the program takes the ONNX Runtime that samples/setup.sh installs
 * there, unless LBW_ORT names another: it sets LBW_ORT. Folders that others can write to are
 * not trusted, and the library itself looks in no folder of the program.
 */
void lbw_runtime_of_build(void);

#endif
