"""When things run: one Faust agent a module."""
