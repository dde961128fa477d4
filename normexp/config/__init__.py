"""The typed schema of a run, the role of every field, and the identity made of them."""
