"""What a run will take: memory, time and energy, before anything is loaded."""
