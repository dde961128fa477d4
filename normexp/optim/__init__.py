"""Optimizers on flat vectors, with a learning rate for every number."""
