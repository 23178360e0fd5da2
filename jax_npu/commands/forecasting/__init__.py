"""`jax-npu forecast`."""
