"""Instruction streams: operations and buffer descriptors as words, and back."""
