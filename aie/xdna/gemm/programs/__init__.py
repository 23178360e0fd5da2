"""The endless programs of the GEMM array: of cores, of memtiles, and of DMA."""
