# SPDX-License-Identifier: MIT
# Standard output that takes nothing is a failure, not a success without output.
lbw grids >/dev/full
