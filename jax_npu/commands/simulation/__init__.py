"""`jax-npu simulate`: a design or a GEMM on the virtual NPU, and its report."""
