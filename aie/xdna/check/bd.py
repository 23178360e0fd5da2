"""The check of a buffer descriptor (BD): granule, dimensions, length, padding, bounds.

A granule is the smallest unit that a DMA moves, a word of 4 bytes.
"""

from collections.abc import Iterator, Sequence
from math import prod

from xdna.check.dma_chains import Chain
from xdna.check.placed_design import (
    PlacedDesign,
    Tile,
    Violation,
    buffer_of,
    element_bytes,
    name_of,
)
from xdna.check.tile_reach import dma_reach
from xdna.devices import SHIM, WORD_BYTES, Dma
from xdna.dialect.aie import BufferOp, DmaBdOp
from xdna.dialect.op import element_count

Dims = Sequence[tuple[int, int]]  # (size, stride) in elements, outermost first


def check_bd(design: PlacedDesign, chain: Chain, bd: DmaBdOp) -> Iterator[Violation]:
    buffer = buffer_of(bd.buffer)
    tile, dma = chain.tile, design.kind(chain.tile).dma
    width = element_bytes(bd.buffer.type)
    id = "?" if bd.bd_id is None else bd.bd_id.value.data
    where = f"of BD {id} of {chain}"
    if buffer is None:
        yield Violation(tile, f"buffer {where}", "an aie.buffer", "other", "operand")
        return
    if width == 0:
        what = "elements are not whole bytes"
        yield Violation(tile, f"buffer {where}", str(bd.buffer.type), "bytes", what)
        return
    burst = 0 if bd.burst_length is None else bd.burst_length.value.data
    if burst and design.kind(tile) is not SHIM:
        what = "only shims, which move data over DDR's bus, have bursts"
        yield Violation(tile, f"burst length {where}", burst, 0, what)
    reach = dma_reach(design, tile, chain.channel)
    owner = design.tile(buffer.tile)
    if owner is not None and owner not in reach:
        what = f"buffer {name_of(buffer)} is out of the DMA's reach"
        yield Violation(tile, f"memory reach {where}", str(owner), str(reach), what)
    yield from _check_extent(tile, dma, chain.direction, where, bd, buffer, width)


def _check_extent(
    tile: Tile,
    dma: Dma,
    direction: str,
    where: str,
    bd: DmaBdOp,
    buffer: BufferOp,
    width: int,
) -> Iterator[Violation]:
    """Checks length, address, dimensions and pads; elements have `width` bytes."""
    offset, length = bd.offset.value.data, bd.length
    dims, pads = dimensions_in_use(bd, dma)
    address = 0 if buffer.address is None else buffer.address.value.data
    for name, num_bytes in (
        ("length", length * width),
        ("address", address + offset * width),
    ):
        if num_bytes % WORD_BYTES:
            what = f"{name} must be a multiple of {WORD_BYTES} bytes"
            yield Violation(tile, f"granule {where}", num_bytes, WORD_BYTES, what)
    for needed, limit, resource, what in [
        *length_breaches(dma, length * width),
        *dimension_breaches(dma, dims, width),
        *_padding_breaches(dma, direction, dims, pads, width),
        *_extent_breaches(dims, pads, length),
        *bounds_breaches(dims, offset, length, element_count(bd.buffer.type)),
    ]:
        yield Violation(tile, f"{resource} {where}", needed, limit, what)


def dimensions_in_use(bd: DmaBdOp, dma: Dma) -> tuple[Dims, Dims]:
    """(size, stride)s and (before, after)s of the dimensions that a transfer walks.

    One of size 1 is never stepped in, whatever its stride. The length ends the walk:
    where it is shorter than the product of the sizes, the outermost dimensions are cut.
    Where it is longer, the last dimension that the hardware has goes on, since no wrap
    ends it.
    """
    dims = () if bd.dimensions is None else bd.dimensions.data
    pads = () if bd.pad_dimensions is None else bd.pad_dimensions.data
    if any(map(any, pads)):
        if len(pads) != len(dims):
            return dims, pads  # for the check of padding to refuse
        kept = [i for i, (size, _) in enumerate(dims) if size > 1 or any(pads[i])]
        return tuple(dims[i] for i in kept), tuple(pads[i] for i in kept)
    walked = list(_ended(dims, bd.length, goes_on=len(dims) == dma.num_dims))
    if walked and walked[-1][1] != 1 and element_bytes(bd.buffer.type) > WORD_BYTES:
        walked.append((1, 1))  # the words of an element
    return tuple(walked), ()


def _ended(dims: Dims, length: int, goes_on: bool) -> Iterator[tuple[int, int]]:
    """The dimensions with the sizes that a walk of `length` elements takes."""
    for i, (size, stride) in enumerate(dims):
        inner = prod(size for size, _ in dims[i + 1 :])
        if 0 < length < inner:  # the walk ends within the first step
            continue
        steps, rest = divmod(length, inner) if inner else (0, 0)
        is_too_long = steps > size and not (goes_on and i == 0)
        if steps == 0 or rest or is_too_long:
            yield from dims[i:]  # for the check of the extent to refuse
            return
        if steps > 1:
            yield steps, stride
        length = inner


Breach = tuple[int, int, str, str]  # needed, limit, resource, what


def length_breaches(dma: Dma, num_bytes: int) -> Iterator[Breach]:
    limit = 2**dma.length_bits - 1
    if num_bytes // WORD_BYTES > limit:
        yield num_bytes // WORD_BYTES, limit, "length", "words"
    if num_bytes == 0:
        yield 0, 1, "length", "an empty transfer"


def dimension_breaches(dma: Dma, dims: Dims, width: int) -> Iterator[Breach]:
    """Breaches of wraps, strides and granule; elements have `width` bytes."""
    if len(dims) > dma.num_dims:
        yield len(dims), dma.num_dims, "dimensions", "besides the iteration"
        return
    for depth, (size, stride) in enumerate(reversed(dims)):
        innermost = depth == 0
        dim = f"D{depth}"
        # Bytes of a contiguous innermost dimension, which counts words. In all others
        # elements must be whole words.
        run = size * width if innermost and stride == 1 else None
        if size == 0:
            yield 0, 1, f"size of {dim}", "an empty dimension"
        if stride == 0:
            yield 0, 1, f"stride of {dim}", "0 exists only as an outermost repeat"
        if run is not None and run % WORD_BYTES:
            yield run, WORD_BYTES, f"granule of {dim}", "bytes of the innermost run"
        if run is None and stride * width % WORD_BYTES:
            yield stride * width, WORD_BYTES, f"granule of {dim}", "bytes of a stride"
        if innermost and run is None and width != WORD_BYTES:
            what = "the innermost stride, of elements that are not whole words"
            yield stride, 1, f"stride of {dim}", what
        # The outermost dimension's size has no field: the length ends it.
        wrap = size if run is None else run // WORD_BYTES
        limit = 2**dma.wrap_bits - 1
        if depth < dma.num_dims - 1 and wrap > limit:
            yield wrap, limit, f"size of {dim}", "of the wrap, in words if contiguous"
        step = stride * width // WORD_BYTES
        if step > 2**dma.step_bits:
            yield step, 2**dma.step_bits, f"stride of {dim}", "words"


def bounds_breaches(
    dims: Dims, offset: int, length: int, num_elements: int
) -> Iterator[Breach]:
    last = offset + length - 1  # in elements
    if dims:
        last = offset + sum((size - 1) * stride for size, stride in dims)
    if last >= num_elements:
        yield last + 1, num_elements, "elements", "the last one is outside the buffer"


def _padding_breaches(
    dma: Dma, direction: str, dims: Dims, pads: Dims, width: int
) -> Iterator[Breach]:
    if not pads:
        return
    if not dma.pad_bits or direction != "MM2S":
        yield len(pads), 0, "padding", "only a memtile's MM2S channels pad"
        return
    if len(pads) != len(dims):
        yield len(pads), len(dims), "padding", "one pair for each dimension"
        return
    for depth, pad in enumerate(reversed(pads)):
        bits = dma.pad_bits[depth] if depth < len(dma.pad_bits) else 0
        for zeros in pad:
            if depth == 0 and zeros * width % WORD_BYTES:
                yield zeros * width, WORD_BYTES, "padding of D0", "bytes, whole words"
            words = zeros * width // WORD_BYTES if depth == 0 else zeros
            if words > 2**bits - 1:
                yield words, 2**bits - 1, f"padding of D{depth}", "before or after"


def _extent_breaches(dims: Dims, pads: Dims, length: int) -> Iterator[Breach]:
    if not dims:
        return
    # The length counts what is sent: elements and zeros.
    zeros = [sum(pad) for pad in pads] if len(pads) == len(dims) else [0] * len(dims)
    product = prod(size + pad for (size, _), pad in zip(dims, zeros))
    if product != length:
        yield product, length, "length", "product of the sizes"
