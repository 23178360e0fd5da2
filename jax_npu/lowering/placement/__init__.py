"""Where each product of a program runs: decided when it is lowered, and then fixed."""
