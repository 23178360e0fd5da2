"""What a product becomes in XLA's program: the custom call and all that it carries."""
