# SPDX-License-Identifier: MIT
lbw --help
# Columns are counted in characters, and what is set in stays so.
lbw help profiles
lbw help search | grep -A 1 -e --grids -e '--mean'
