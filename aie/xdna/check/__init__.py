"""The target check: the limits of the hardware that a design breaks, before it runs.

Others import `check_design` and `fullest_core` from `target`. What `xdna.load` reads of
a checked design, it takes from `placed_design`, `dma_chains`, `memory` and `routes`.
"""
