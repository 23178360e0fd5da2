"""The trial of `jax-npu report`: a user with a chip runs it once and sends the file."""
