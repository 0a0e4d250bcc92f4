lbw --help
