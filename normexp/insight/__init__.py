"""Stored trainings: errors of their running statistics, and the best momenta."""
