"""Large arrays in huge pages, which the kernel clears 2 MB at a time, not 4 kB.

XLA:CPU takes its temporary memory anew in every step: of GPT-2 124M with 4 x 256 tokens
400,000 pages of 4 kB, whose faults are a quarter of the step's time.
"""

import os
import platform
import sys
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
HUGE = "glibc.malloc.hugetlb"
FIRST_GLIBC = (2, 35)  # that knows it, see "Memory Allocation Tunables" of its manual
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Begins the program anew: glibc reads its tunables before the first line.

    What the user set for huge pages is left alone.
    """
    tunables = os.environ.get(TUNABLES, "")
    if HUGE in tunables or not are_for_the_asking():
        return
    os.environ[TUNABLES] = ":".join(filter(None, [tunables, f"{HUGE}=1"]))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def are_for_the_asking() -> bool:
    """Whether the kernel gives huge pages to who asks, and glibc can ask."""
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split("."))) < FIRST_GLIBC:
        return False
    try:
        return "[madvise]" in MODE.read_text()
    except OSError:
        return False
