"""Doors to outside systems, one module each."""
