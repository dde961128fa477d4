"""Sweeps: plans, the work on their stacks, and listings; for the terminal and for notebooks."""
