"""Compiling the array's design for a chip, with mlir-aie and Peano."""
