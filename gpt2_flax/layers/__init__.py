"""The parts of GPT-2: configuration, linear layers, attention, blocks."""
