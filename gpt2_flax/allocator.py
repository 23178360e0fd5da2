"""glibc's allocator as training needs it: huge pages, and memory that is kept.

XLA:CPU allocates its temporary memory in every step and frees it at the end. A step of
GPT-2 124M with 4 x 256 tokens thus touches 400,000 new pages of 4 kB, and page faults
are a quarter of its time.
"""

import os
import platform
import sys

VARIABLE = "GLIBC_TUNABLES"
# See "Memory Allocation Tunables" in glibc's manual.
TUNABLES = {
    "glibc.malloc.hugetlb": 1,  # asks the kernel for transparent huge pages
    # One arena, the only one that can grow without mmap; no block has its own mapping,
    # and free memory at the end of the heap is not returned up to 2^40 bytes.
    "glibc.malloc.arena_max": 1,
    "glibc.malloc.mmap_max": 0,
    "glibc.malloc.trim_threshold": 1 << 40,
}
FIRST_GLIBC = (2, 35)  # the first that knows all of TUNABLES


def restart_with_tuned_allocator() -> None:
    """Starts the program over with TUNABLES set: glibc reads them before main().

    It does nothing if the environment has any tunable of glibc.malloc already, be it
    the user's or this function's from before the restart.
    """
    given = os.environ.get(VARIABLE, "")
    if "glibc.malloc" in given or not knows_tunables():
        return
    ours = [f"{name}={value}" for name, value in TUNABLES.items()]
    os.environ[VARIABLE] = ":".join(filter(None, [given, *ours]))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def knows_tunables() -> bool:
    library, version = platform.libc_ver()
    return library == "glibc" and tuple(map(int, version.split("."))) >= FIRST_GLIBC
