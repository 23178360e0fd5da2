"""Vectors of a core's program as single numbers.

Others import `unroll_vectors` from `unroll`.
"""
