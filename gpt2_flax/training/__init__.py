"""The parts of a training run: its start, the loop, the step, what it shows."""
