"""What Coalmine talks about, as pure values: no I/O, no clock, no randomness."""
