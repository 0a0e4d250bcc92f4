# SPDX-License-Identifier: MIT
lbw grids
# It fits into the usual terminal.
lbw grids | LC_ALL=C.UTF-8 wc -L
