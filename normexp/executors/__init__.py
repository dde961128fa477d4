"""Executors know callables and nothing of networks."""
