"""Tokenizers: GPT-2's, the one of a folder, bytes, and the characters of a text."""

from gpt2_flax.tokenizers.choice import load_tokenizer
from gpt2_flax.tokenizers.protocol import END_OF_TEXT, Tokenizer

__all__ = ["END_OF_TEXT", "Tokenizer", "load_tokenizer"]
