"""The check of program memory: what a core runs has room in its 16 KB.

The size of a core's own program is estimated from its operations, since only a compiler
knows it. Those of linked objects are added as far as the caller knows them. The
compiler may need more, so a pass is not a promise.
"""

from collections.abc import Iterator

from xdsl.dialects import func, scf
from xdsl.ir import Operation

from xdna.check.placed_design import PlacedDesign, Violation
from xdna.devices import CORE, INSTRUCTION_BYTES
from xdna.dialect.aie import CoreOp

# A branch takes effect after five more instructions, mostly no-ops of 16 bits, the
# shortest instruction (AM020).
BRANCH_BYTES = INSTRUCTION_BYTES + 5 * 2


def check_programs(design: PlacedDesign) -> Iterator[Violation]:
    for tile, core in design.on_tiles(CoreOp):
        objects = core.objects
        sizes = (design.program_bytes.get(name, 0) for name in objects)
        needed = core_bytes(core) + sum(sizes)
        limit = design.kind(tile).program_bytes
        if design.kind(tile) is CORE and needed > limit:
            linked = " and ".join(objects) or "no object"
            what = f"an estimate for its operations and {linked}"
            yield Violation(tile, "program memory", needed, limit, what)


def core_bytes(core: CoreOp) -> int:
    """The estimated size of a core's own program, without what it links."""
    # all operations in the core, without the aie.core itself
    return sum(_operation_bytes(op) for op in core.walk() if op is not core)


def _operation_bytes(op: Operation) -> int:
    """One instruction of the longest kind, and more for what branches."""
    match op:
        case func.CallOp():
            return len(op.arguments) * INSTRUCTION_BYTES + BRANCH_BYTES
        case scf.IfOp():
            return BRANCH_BYTES * sum(1 for region in op.regions if region.blocks)
        case scf.ForOp():  # the counter's start and step, and a branch
            return 2 * INSTRUCTION_BYTES + BRANCH_BYTES
        case _:
            return INSTRUCTION_BYTES
