"""How control flows through a core's program: loops as branches, and moves at jumps."""

from collections.abc import Iterator

from xdsl.ir import Region
from xdsl.pattern_rewriter import GreedyRewritePatternApplier, PatternRewriteWalker
from xdsl.transforms.convert_scf_to_cf import ForLowering, IfLowering

from xdna.load.core_slots import TEMPORARY


def lower_scf(body: Region) -> None:
    """The pass convert-scf-to-cf without its elimination of dead code."""
    patterns = GreedyRewritePatternApplier(
        [IfLowering(), ForLowering()], dce_enabled=False
    )
    PatternRewriteWalker(patterns).rewrite_region(body)


def moves_at_once(moves: dict[int, int]) -> Iterator[tuple[int, int]]:
    """(target, source)s, ordered so that each source is read before it is written."""
    left = {target: source for target, source in moves.items() if target != source}
    while left:
        free = next((target for target in left if target not in left.values()), None)
        if free is not None:
            yield free, left.pop(free)
            continue
        # Only cycles are left: save one source, which breaks its cycle.
        target, source = next(iter(left.items()))
        yield TEMPORARY, source
        left[target] = TEMPORARY
