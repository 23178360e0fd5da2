"""Instruction streams: operations and buffer descriptors (BDs) as words, and back.

Others import from its modules, in which nothing knows of designs or GEMMs:

* `instructions` and `decoding`: operations to words and back,
* `shim_bd` and `pushed_transfers`: transfers to words and back,
* `check`: whether a stream is safe to run,
* `disassembly`: a listing,
* `registers`: the names of the addresses that a stream may write.
"""
