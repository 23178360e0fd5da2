"""The lowering of a product: the custom call in XLA's program, and its attributes."""
