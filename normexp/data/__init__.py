"""Data sets: drawn or read for one seed, features first."""
