"""Designs as xDSL modules: the dialects `aie` and `aiex`, and MLIR text in and out.

Others import the operations from `aie` and `aiex`, the keywords of their enumerations
from `attrs`, `element_count` from `op`, and `parse_module` and `print_module` from
`text`.
"""
