"""What a machine lacks to run a backend, and the command that fixes it."""
