# SPDX-License-Identifier: MIT
lbw --help
