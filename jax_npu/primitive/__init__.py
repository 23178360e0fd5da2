"""The GEMM as one primitive of JAX: its rules, and those of tools with own tables."""
