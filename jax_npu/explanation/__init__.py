"""What `jax_npu.explain` finds in a program, and its table."""
