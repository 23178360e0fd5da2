"""The parser of a command: its errors, its help."""
