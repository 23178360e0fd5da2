"""Our GEMM on the array: one design for every GEMM, a plan and streams for each shape.

Others import from its modules. They must stay cheap to import where JAX programs are
lowered, so none of these imports xDSL:

* `array`: the static configuration, `GemmArray`,
* `tiling` and `runs`: `make_plan`, and the `Plan` and `Run` that it makes,
* `stream`: the instruction words of a run,
* `artifact`: the folder of a built design.

`design` builds the MLIR, and does import xDSL.
"""
