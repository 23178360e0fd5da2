"""What a training run is made of: the optimizer, progress, the plot of its loss."""
