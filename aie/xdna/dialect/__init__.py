"""The dialects `aie` and `aiex`, and MLIR text in and out."""
