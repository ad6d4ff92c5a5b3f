"""What is decided: pure functions and values. No clock, no loop, no I/O, no Faust."""
