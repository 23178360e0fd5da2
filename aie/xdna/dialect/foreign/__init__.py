"""What only other people's designs are written in: read, never written.

Others import the operations of `aie` from `ops`, and the dialect `index` from there.
"""
