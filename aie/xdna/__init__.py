"""The NPU's program, without JAX: array design, plans, instruction streams.

Each folder has one job and imports only from those below it:

    simulator, load      the virtual NPU, and a design as it loads it
    check, gemm          what the hardware cannot do; our GEMM
    stream, dialect      instruction words; designs as MLIR
    timing, arithmetics  times; roundings
    devices, library     limits of the hardware; where compiled libraries lie
"""
