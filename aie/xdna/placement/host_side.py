"""The host's work around a run of the NPU: packing, flushing, unpacking.

The bytes are those that `jax_npu.counters()` counts. Rates are a core's, times
the cores that work, and at most the machine's memory.
"""

from dataclasses import dataclass

from xdna.machines import Cpu

# In a step of GPT-2 124M beside a paced NPU, on two idle cores of an Intel Xeon with
# AMX, `jax_npu.counters()` has for a core at work: 6.9 to 8.3 GB read plus written a
# second where f32 is rounded and put into tiles,
PACK_BYTES_PER_SECOND = 7e9
# and 10.2 GB/s where results are copied out of images that no cache holds.
UNPACK_BYTES_PER_SECOND = 10e9
# All of that comes in short loops, which two cores did in the time of 1.3 to 1.6.
SHARE_OF_CORES = 0.75
# A thread flushes an image that was stored past the caches (CLFLUSHOPT): 27 to 29 GB/s
# there, for 0.25 to 32 MB.
FLUSH_BYTES_PER_SECOND = 28e9
# A thread evicts the lines of a result, which nobody has changed: 64 GB/s were
# published for 64 MiB beside an npu4 (xdna-driver #1541), 89 GB/s for 1 MiB (#270).
EVICT_BYTES_PER_SECOND = 64e9
# One of 32 runs is checked (`$JAX_NPU_CHECK`), which reads each element of A, B and C:
# 60 ms of a thread in that step. Large results are checked by all threads.
CHECK_SECONDS = 2.2e-9 / 32  # an element of any run


@dataclass(frozen=True)
class HostSide:
    """Rates in bytes a second.

    Args:
      pack: bytes read plus written, by all threads.
      flush, evict: of an image that was just packed, and of a result.
      unpack: bytes read plus written.
      check: seconds an element.
    """

    pack: float
    flush: float
    evict: float
    unpack: float
    check: float = CHECK_SECONDS

    @classmethod
    def of(cls, cpu: Cpu, cores: float | None = None) -> "HostSide":
        """The rates of a CPU, of which a program uses so many cores (default: all)."""
        memory = cpu.memory_bytes_per_second
        cores = max(1.0, SHARE_OF_CORES * (cores or cpu.cores))
        return cls(
            pack=min(cores * PACK_BYTES_PER_SECOND, memory),
            flush=cores * FLUSH_BYTES_PER_SECOND,
            evict=cores * EVICT_BYTES_PER_SECOND,
            unpack=min(cores * UNPACK_BYTES_PER_SECOND, memory),
            check=CHECK_SECONDS / cores,
        )
