"""The flags of `gpt2-flax train`, by subject, and the configuration made of them."""
