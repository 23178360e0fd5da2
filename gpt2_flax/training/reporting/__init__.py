"""What a run tells of itself: energy, forecast, picture, and other programs."""
