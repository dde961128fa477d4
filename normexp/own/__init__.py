"""A user's own network: any `torch.nn.Module`, trained in any loop."""
