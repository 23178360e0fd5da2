"""The check of runtime sequences: shim transfers, parameters and tokens."""

from collections.abc import Iterator
from math import prod

from xdsl.dialects.builtin import MemRefType

from xdna.check.bd import dimension_breaches, length_breaches
from xdna.check.instructions import check_instruction
from xdna.check.placed_design import PlacedDesign, Tile, Violation, element_bytes
from xdna.devices import (
    MAX_BUFFER_ARGUMENTS,
    MAX_ITERATIONS,
    SHIM,
    WORD_BYTES,
)
from xdna.dialect.aie import BufferOp, RuntimeSequenceOp, ShimDmaAllocationOp
from xdna.dialect.aiex import NpuDmaMemcpyNdOp, NpuDmaWaitOp, NpuRtpWriteOp
from xdna.dialect.op import DYNAMIC, element_count

Allocations = dict[str, tuple[Tile, ShimDmaAllocationOp]]


def check_sequences(design: PlacedDesign) -> Iterator[Violation]:
    allocations: Allocations = {}
    for tile, allocation in design.on_tiles(ShimDmaAllocationOp):
        allocations[allocation.sym_name.data] = tile, allocation
        yield from _check_allocation(design, tile, allocation)
    for sequence in design.ops(RuntimeSequenceOp):
        num_arguments = len(sequence.body.block.args)
        if num_arguments > MAX_BUFFER_ARGUMENTS:
            what = f"of @{sequence.sym_name.data}"
            yield Violation(
                None, "buffer arguments", num_arguments, MAX_BUFFER_ARGUMENTS, what
            )
        tokens: set[str] = set()  # allocations whose transfers send one, so far
        for op in sequence.body.block.ops:
            if isinstance(op, NpuDmaMemcpyNdOp):
                yield from _check_memcpy(design, op, allocations)
                if op.issue_token is not None and op.issue_token.value.data:
                    tokens.add(op.metadata.root_reference.data)
            elif isinstance(op, NpuDmaWaitOp):
                yield from _check_wait(op, allocations, tokens)
            elif isinstance(op, NpuRtpWriteOp):
                yield from _check_parameter(design, op)
            else:
                yield from check_instruction(design, op)


def _check_allocation(
    design: PlacedDesign, tile: Tile, allocation: ShimDmaAllocationOp
) -> Iterator[Violation]:
    kind = design.kind(tile)
    name = f"@{allocation.sym_name.data}"
    if kind is not SHIM:
        yield Violation(tile, "shim DMA", "a shim tile", kind.name, name)
        return
    channel = allocation.channel_index.value.data
    limit = kind.dma.num_channels(allocation.direction) - 1
    if channel > limit:
        resource = f"channel {allocation.direction} {channel}"
        yield Violation(tile, resource, channel, limit, name)


def _check_memcpy(
    design: PlacedDesign, op: NpuDmaMemcpyNdOp, allocations: Allocations
) -> Iterator[Violation]:
    name = op.metadata.root_reference.data
    if name not in allocations:
        what = "metadata of a transfer"
        yield Violation(None, f"symbol @{name}", "a shim_dma_allocation", "none", what)
        return
    tile, allocation = allocations[name]
    id = op.id.value.data
    where = f"of BD {id} of @{name}"
    usable = SHIM.dma.bd_ids(allocation.channel_index.value.data)
    if id not in usable:
        ids = f"{usable[0]}-{usable[-1]}"
        yield Violation(tile, f"BD id of @{name}", id, ids, "BDs of a shim")
    for depth in range(3):
        for end in ("before", "after"):
            attr = op.properties.get(f"d{depth}_zero_{end}")
            if attr is not None and attr.value.data:  # type: ignore[attr-defined]
                what = "a shim cannot pad"
                yield Violation(tile, f"padding {where}", f"D{depth}", 0, what)
    burst = 0 if op.burst_length is None else op.burst_length.value.data
    if burst and burst not in design.device.burst_lengths:
        lengths = ", ".join(map(str, design.device.burst_lengths))
        what = "bytes of a burst, or 0 for the longest"
        yield Violation(tile, f"burst length {where}", burst, lengths, what)
    offsets = op.static_offsets.get_values()
    sizes, strides = op.static_sizes.get_values(), op.static_strides.get_values()
    if DYNAMIC in (*offsets, *sizes, *strides):
        return  # only known at run time
    width = element_bytes(op.memref.type)
    if width > WORD_BYTES:
        what = "bytes of an element, which a BD moves as one word"
        yield Violation(tile, f"element {where}", width, WORD_BYTES, what)
        return
    if width == 0 or min(*offsets, *sizes, *strides) < 0:
        what = "offsets, sizes and strides of whole bytes"
        yield Violation(tile, f"transfer {where}", "not negative", "other", what)
        return
    for needed, limit, resource, what in _breaches(
        op, tuple(offsets), tuple(zip(sizes, strides)), width
    ):
        yield Violation(tile, f"{resource} {where}", needed, limit, what)


def _breaches(
    op: NpuDmaMemcpyNdOp,
    offsets: tuple[int, ...],
    dims: tuple[tuple[int, int], ...],
    width: int,
) -> Iterator[tuple[int, int, str, str]]:
    # The outermost dimension is the task's repeats; a stride makes them iterations. The
    # buffer of a run decides where it ends, which may be larger than its memref.
    (repeats, iteration_stride), *inner = dims
    num_inner = prod(size for size, _ in inner)
    start = _linear(op, offsets)
    if start * width % WORD_BYTES:
        yield start * width, WORD_BYTES, "granule", "bytes of the offset"
    if num_inner * width % WORD_BYTES:
        yield num_inner * width, WORD_BYTES, "granule", "bytes of the length"
    yield from length_breaches(SHIM.dma, num_inner * width)
    if not _is_contiguous(inner):
        # The stride of a dimension of size 1 is never used: take one that always fits.
        *outer, (size, stride) = inner
        dims_in_use = [d if d[0] > 1 else (1, WORD_BYTES) for d in outer]
        dims_in_use.append((size, stride if size > 1 else 1))
        yield from dimension_breaches(SHIM.dma, dims_in_use, width)
    # A queued task repeats more often, but mlir-aie takes no more than a BD iterates.
    if repeats > MAX_ITERATIONS:
        yield repeats, MAX_ITERATIONS, "iterations", "of the outermost dimension"
    if iteration_stride and repeats > 1:
        step = iteration_stride * width
        if step % WORD_BYTES:
            yield step, WORD_BYTES, "granule", "bytes of the outermost stride"
        if step // WORD_BYTES > 2**SHIM.dma.step_bits:
            limit = 2**SHIM.dma.step_bits
            yield step // WORD_BYTES, limit, "stride of the iteration", "words"


def _is_contiguous(dims: list[tuple[int, int]]) -> bool:
    """True if the pattern is one contiguous length, which needs no wraps."""
    expected = 1
    for size, stride in reversed(dims):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _linear(op: NpuDmaMemcpyNdOp, offsets: tuple[int, ...]) -> int:
    """The offset in elements; the last `offsets` belong to the memref's dimensions."""
    assert isinstance(op.memref.type, MemRefType)
    total, stride = 0, 1
    shape = [1] * len(offsets) + list(op.memref.type.get_shape())
    for offset, size in zip(reversed(offsets), reversed(shape)):
        total += offset * stride
        stride *= size
    return total


def _check_wait(
    op: NpuDmaWaitOp, allocations: Allocations, tokens: set[str]
) -> Iterator[Violation]:
    name = op.symbol.root_reference.data
    if name not in allocations:
        what = "symbol of a wait"
        yield Violation(None, f"symbol @{name}", "a shim_dma_allocation", "none", what)
    elif name not in tokens and allocations[name][1].direction != "S2MM":
        what = "a wait that no transfer before it ends"
        yield Violation(allocations[name][0], f"token of @{name}", 1, 0, what)


def _check_parameter(design: PlacedDesign, op: NpuRtpWriteOp) -> Iterator[Violation]:
    name = op.buffer.root_reference.data
    for tile, buffer in design.on_tiles(BufferOp):
        if buffer.sym_name is not None and buffer.sym_name.data == name:
            type = buffer.buffer.type
            limit = element_count(type) * element_bytes(type) // WORD_BYTES - 1
            index = op.index.value.data
            if index > limit:
                what = "index of a run-time parameter, in words"
                yield Violation(tile, f"buffer {name}", index, limit, what)
            return
    what = "a run-time parameter"
    yield Violation(None, f"symbol @{name}", "an aie.buffer", "none", what)
