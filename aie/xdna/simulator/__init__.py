"""The virtual NPU for Python: designs, streams and buffers, without JAX."""
