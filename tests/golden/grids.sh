# SPDX-License-Identifier: MIT
lbw grids
