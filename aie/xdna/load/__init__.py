"""A design as the virtual NPU loads it."""
