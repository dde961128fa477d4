"""Other ways to do the same work, one a file, each started by `tests/bench.py` in a process of its own."""
