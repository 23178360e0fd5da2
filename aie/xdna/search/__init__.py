"""The search for a design of the GEMM array: for a workload, on a machine.

* `workload`: the GEMMs that a program needs, and how often,
* `candidates`: the designs that fit a device,
* `evaluation`: a design's time on a workload, in closed form or on the virtual NPU,
* `frontier`: the best designs, and why the best one is.
"""
