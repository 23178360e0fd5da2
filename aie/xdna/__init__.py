"""The NPU's program: devices, array design, tiling and instruction streams."""
