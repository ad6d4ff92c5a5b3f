"""A seeded world of cards, terminals, frauds and late labels."""
