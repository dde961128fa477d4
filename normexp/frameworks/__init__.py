"""Batch norm of each framework: its words, its defaults, its update rule."""
