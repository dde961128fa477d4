"""Runs to trajectories to stacks, by the roles of the fields alone."""
