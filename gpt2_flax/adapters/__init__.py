"""Training a part of a model: low-rank adapters, and weights frozen by name."""
