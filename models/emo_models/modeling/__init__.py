"""PyTorch networks and batched inference."""
