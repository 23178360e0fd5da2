"""The releases of mlir-aie that designs are written for, and how these differ."""

SYNTAXES = ("1.3", "1.4")  # of MLIR text, by the first release that has it
