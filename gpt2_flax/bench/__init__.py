"""`gpt2-flax bench`: training steps of several contenders, side by side."""
