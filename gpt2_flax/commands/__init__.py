"""What each command of `gpt2-flax` does, but for the benchmark's."""
