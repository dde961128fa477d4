"""One network: models, norms, passes, optimizers; leading axes are free."""
