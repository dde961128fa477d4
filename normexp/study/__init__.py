"""From overrides to runs: what Hydra composes, multiplied out over the axes of a study."""
