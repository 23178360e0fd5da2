"""What the hardware cannot do, found in a design before it runs."""
