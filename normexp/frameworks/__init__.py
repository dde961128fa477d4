"""How each framework normalises by batches: its words, its defaults, its update rule."""
