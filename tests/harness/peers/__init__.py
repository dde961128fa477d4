"""Other ways to do the same work, one a file; `harness/bench.py` starts each in its own process."""
