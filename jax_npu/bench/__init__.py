"""Tools to measure side by side, and the benchmarks of single products."""
