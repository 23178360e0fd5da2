"""Our GEMM on the array: its design, its plans for every shape, its streams."""
