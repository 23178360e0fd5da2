"""What a user with a chip runs once, and sends."""
