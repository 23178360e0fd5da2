"""The NPU's program, without JAX: array design, plans, instruction streams.

Each folder has one job and imports only from those below it:

    simulator              the virtual NPU for Python
    load                   a design as the virtual NPU loads it
    check, gemm            the limits that a design breaks; our GEMM
    stream, dialect        instruction words; designs as MLIR
    timing, arithmetics    times; the cores' ways to round and add
    devices, find_library  limits of the hardware; where compiled libraries lie
"""
