"""What is remembered: one typed door to state a module."""
