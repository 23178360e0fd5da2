"""The time of a product on the NPU, part by part, and what it moves."""

import functools
import math
from dataclasses import dataclass

from xdna.gemm.array import INPUT_BYTES, GemmArray
from xdna.gemm.forecast import forecast
from xdna.gemm.images import stored_multiples, stored_size
from xdna.gemm.tiling import Plan, make_plan
from xdna.placement.host_side import HostSide
from xdna.placement.product import Product
from xdna.timing import Timing


@dataclass(frozen=True)
class NpuCost:
    """Seconds of the parts of one product, in their order.

    Attributes:
      pack, flush: of A and of B: rounding into an image, and writing it back to memory.
        An image that another product has made costs nothing.
      submit: the host's part of a launch. It only delays a run that finds the array
        idle.
      launch: the controller's part of launches.
      array: the runs, in closed form.
      flush_c, check, unpack: taking the result.
      padding: multiplications done over those asked for.
      ddr_bytes: between the array and DDR.
      pack_bytes, unpack_bytes: that the cores read plus write.
    """

    pack: tuple[float, float]
    flush: tuple[float, float]
    submit: float
    launch: float
    array: float
    flush_c: float
    unpack: float
    padding: float
    ddr_bytes: int
    pack_bytes: tuple[int, int] = (0, 0)
    unpack_bytes: int = 0
    check: float = 0.0

    @property
    def seconds(self) -> float:
        """One part after the other, with nothing packed before."""
        return (
            sum(self.pack)
            + sum(self.flush)
            + self.submit
            + self.launch
            + self.array
            + self.flush_c
            + self.check
            + self.unpack
        )


@dataclass(frozen=True)
class NpuModel:
    """An array in a machine, with the host's work around it."""

    array: GemmArray
    times: Timing
    arithmetic: str
    host: HostSide

    def cost(self, product: Product) -> NpuCost | None:
        """The cost of a product; None where the array cannot compute it."""
        return _cost(self, product)


@functools.lru_cache(maxsize=4096)
def _cost(model: NpuModel, product: Product) -> NpuCost | None:
    try:
        plan = make_plan(
            model.array,
            product.batch,
            product.m,
            product.passes * product.k,
            product.n,
            product.a_order,
            product.b_order,
        )
    except ValueError:  # a k that is too long, or too many runs
        return None
    expected = forecast(plan, model.times, model.arithmetic)
    host, images = model.host, image_bytes(plan)
    sources = (
        product.passes * product.a_source_bytes,
        product.passes * product.b_source_bytes,
    )
    packed = (sources[0] + images[0], sources[1] + images[1])
    result_bytes = product.batch * product.m * product.n * (4 + product.out_bytes)
    submit = model.times.launch_seconds
    in_images = sum(images) / INPUT_BYTES + c_image_bytes(plan) / plan.array.out_bytes
    return NpuCost(
        pack=(packed[0] / host.pack, packed[1] / host.pack),
        flush=(images[0] / host.flush, images[1] / host.flush),
        submit=submit,
        launch=expected.launches - submit,
        array=expected.work,
        flush_c=c_image_bytes(plan) / host.evict,
        unpack=result_bytes / host.unpack,
        padding=plan.padding,
        ddr_bytes=plan.all_ddr_bytes,
        pack_bytes=packed,
        unpack_bytes=result_bytes,
        check=host.check * in_images,
    )


def image_bytes(plan: Plan) -> tuple[int, int]:
    """Bytes of the images of the caller's A and B, padded as they are stored."""
    array, gemm = plan.array, plan.gemm
    _, rows, columns = plan.blocks
    multiples = stored_multiples(array)
    m = stored_size(multiples[0], gemm.m, rows, array.block_m)
    n = stored_size(multiples[1], gemm.n, columns, array.block_n)
    each = gemm.batch * plan.padded_k * INPUT_BYTES
    return (each * n, each * m) if plan.swapped else (each * m, each * n)


def c_image_bytes(plan: Plan) -> int:
    """Bytes of the results as the array writes them: whole blocks."""
    array = plan.array
    return math.prod(plan.blocks) * array.block_m * array.block_n * array.out_bytes
