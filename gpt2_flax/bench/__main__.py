"""`python -m gpt2_flax.bench`, which is `gpt2-flax bench`."""

import sys

from gpt2_flax.allocator import restart_with_tuned_allocator
from gpt2_flax.bench.command import main

if __name__ == "__main__":
    restart_with_tuned_allocator()
    sys.exit(main())
