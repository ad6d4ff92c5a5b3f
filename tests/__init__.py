"""What the project promises, as tests; see docs/development.md for how they are cut."""
