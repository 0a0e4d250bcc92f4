lbw grids
