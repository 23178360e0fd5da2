"""The commands of `jax-npu`, a file each."""
