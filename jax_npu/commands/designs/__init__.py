"""`jax-npu design` and `jax-npu check`: designs as MLIR, and the search for one."""
