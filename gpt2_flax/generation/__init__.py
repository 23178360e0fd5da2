"""Continuing texts: the model over a cache, the choice of tokens, and their text."""
