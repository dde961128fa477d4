"""Normalisation layers, written for one network; leading axes are free."""
