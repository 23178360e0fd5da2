"""How well a model predicts texts, and how often it chooses the right ending."""
