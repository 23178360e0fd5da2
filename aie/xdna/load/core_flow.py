"""How control flows through a core's program: loops as branches, and moves at jumps."""

from collections.abc import Iterator

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import DYNAMIC_INDEX, IndexType, IntegerAttr, MemRefType
from xdsl.dialects.cf import BranchOp, ConditionalBranchOp
from xdsl.dialects.memref import LoadOp, StoreOp
from xdsl.dialects.scf import ConditionOp, ForOp, WhileOp, YieldOp
from xdsl.ir import Block, Operation, Region
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)
from xdsl.rewriter import BlockInsertPoint, InsertPoint
from xdsl.transforms.convert_scf_to_cf import ForLowering, IfLowering, SwitchLowering

from xdna.dialect.foreign.memrefs import CopyOp
from xdna.load.core_slots import TEMPORARY


def lower_scf(body: Region) -> None:
    """The pass convert-scf-to-cf without its elimination of dead code."""
    patterns = GreedyRewritePatternApplier(
        [
            CopyLowering(),
            ForLowering(),
            IfLowering(),
            SwitchLowering(),
            WhileLowering(),
        ],
        dce_enabled=False,
    )
    PatternRewriteWalker(patterns).rewrite_region(body)


class CopyLowering(RewritePattern):
    """`memref.copy` as loops over its dimensions."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CopyOp, rewriter: PatternRewriter) -> None:
        source, target = op.source, op.destination
        if not isinstance(source.type, MemRefType):
            return
        sizes = source.type.get_shape()
        if DYNAMIC_INDEX in sizes:
            return  # refused as an operation that is not supported
        numbers = {n: ConstantOp(IntegerAttr(n, IndexType())) for n in (0, 1, *sizes)}
        blocks = [Block(arg_types=[IndexType()]) for _ in sizes]
        indices = [block.args[0] for block in blocks]
        load = LoadOp.get(source, indices)
        inner: list[Operation] = [load, StoreOp.get(load, target, indices)]
        for size, block in zip(reversed(sizes), reversed(blocks)):
            block.add_ops([*inner, YieldOp()])
            bounds = numbers[0], numbers[size], numbers[1]
            inner = [ForOp(*bounds, [], Region(block))]
        rewriter.replace(op, [*numbers.values(), *inner], [])


class WhileLowering(RewritePattern):
    """`scf.while`, which xDSL 0.74 does not lower, as conditional branches."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: WhileOp, rewriter: PatternRewriter) -> None:
        start = op.parent_block()
        assert start is not None
        rest = start.split_before(op)
        region = rest.parent_region()
        before, after = op.before_region.first_block, op.after_region.first_block
        ends = op.before_region.last_block, op.after_region.last_block
        condition, again = (None if end is None else end.last_op for end in ends)
        assert region is not None
        assert before is not None
        assert after is not None
        assert isinstance(condition, ConditionOp)
        assert again is not None
        end = Block(arg_types=op.result_types)
        region.insert_block_before(end, rest)
        rewriter.insert(BranchOp(rest), InsertPoint.at_end(end))
        rewriter.inline_region(op.before_region, BlockInsertPoint.before(end))
        rewriter.inline_region(op.after_region, BlockInsertPoint.before(end))
        rewriter.insert(BranchOp(before, *op.arguments), InsertPoint.at_end(start))
        passed = condition.args
        branch = ConditionalBranchOp(condition.condition, after, passed, end, passed)
        rewriter.replace(condition, branch)
        rewriter.replace(again, BranchOp(before, *again.operands))
        rewriter.replace(op, [], end.args)


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
