"""Code, manifests and documents agree."""
