"""What the custom calls of this process did, one by one, as a timeline."""
