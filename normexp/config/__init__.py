"""What a run is: the typed schema, the role of every field, and the identity made of them."""
