"""The time of a product in backend `host` on a CPU that only a profile describes."""

from dataclasses import dataclass
from typing import Protocol

from xdna.machines import Cpu
from xdna.placement.product import Product

# AVX512-BF16 multiplies so many rows and columns at once, at the least
# (xla_ffi/host/isa/avx512bf16.cc): what a product does not fill is multiplied, too.
TILE_ROWS, TILE_COLUMNS = 8, 16
# The sums of a tile begin and end in the time of so many k, a product begins and ends
# in so many seconds. Both are fitted to two Intel cores with AVX512-BF16: on them the
# formula agrees with seven products with sizes from 64 to 768 within 11%.
K_OF_A_TILE = 16
CALL_SECONDS = 8e-6


class HostModel(Protocol):
    """What knows the time of a product on a CPU."""

    def seconds(self, product: Product) -> float: ...


@dataclass(frozen=True)
class ProfileHost:
    """All cores of a profile's CPU, at its rate of large products.

    That rate includes packing. Small products lose what their tiles do not fill and a
    fixed time; no product is faster than memory delivers its operands.
    """

    cpu: Cpu

    def seconds(self, product: Product) -> float:
        rate = self.cpu.cores * self.cpu.gflops_per_core * 1e9
        full = max(
            _filled(product.m, TILE_ROWS) * _filled(product.n, TILE_COLUMNS),
            _filled(product.n, TILE_ROWS) * _filled(product.m, TILE_COLUMNS),
        )
        full *= product.k / (product.k + K_OF_A_TILE)
        work = product.flops / (rate * max(full, 1e-9))
        memory = product.num_bytes / self.cpu.memory_bytes_per_second
        return CALL_SECONDS + max(work, memory)


def _filled(size: int, tile: int) -> float:
    return size / (-(-size // tile) * tile) if size else 0.0
