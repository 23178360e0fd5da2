"""A placed design as the text that the virtual NPU loads.

Others import `configuration` from the module of that name.
"""
