"""Products over several devices: how they are split, and the program of each device."""
