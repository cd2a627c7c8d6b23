"""Golden arrays recorded from the public programs, and the program that checks this package against them."""
