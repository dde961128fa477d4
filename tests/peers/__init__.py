"""Other ways to do the same work, one a file; `tests/bench.py` starts each in its own process."""
