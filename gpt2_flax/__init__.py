"""GPT-2 in Flax NNX, trained with its matmuls on whichever backend jax_npu offers."""
