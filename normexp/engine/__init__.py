"""Training and observation, apart: training knows nothing of momentum."""
