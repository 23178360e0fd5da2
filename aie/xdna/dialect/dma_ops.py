"""The `aie` operations of DMA programs. Sizes are in elements, as in mlir-aie."""

from xdsl.dialects.builtin import (
    IndexType,
    IntegerAttr,
    i1,
    i32,
)
from xdsl.ir import Block, Region
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    successor_def,
    traits_def,
)
from xdsl.traits import (
    IsTerminator,
)

from xdna.dialect.attrs import (
    DIRECTIONS,
    DirectionKeyword,
    keyword_of,
    number_of,
)
from xdna.dialect.op import (
    I32,
    Value,
    check_not_negative,
    i32_or_none,
)


@irdl_op_definition
class EndOp(IRDLOperation):
    name = "aie.end"
    traits = traits_def(IsTerminator())
    assembly_format = "attr-dict"


class _TileProgram(IRDLOperation):
    """The DMA programs of a tile: a region of chains of blocks."""

    tile = operand_def(IndexType())
    body = region_def()
    result = result_def(IndexType())
    assembly_format = "`(` $tile `)` $body attr-dict"

    def __init__(self, tile: Value, region: Region):
        super().__init__(operands=[tile], regions=[region], result_types=[IndexType()])


@irdl_op_definition
class MemOp(_TileProgram):
    name = "aie.mem"


@irdl_op_definition
class MemTileDmaOp(_TileProgram):
    name = "aie.memtile_dma"


@irdl_op_definition
class ShimDmaOp(_TileProgram):
    name = "aie.shim_dma"


@irdl_op_definition
class DmaStartOp(IRDLOperation):
    """Starts a channel at block `dest`; the tile's program continues at `chain`."""

    name = "aie.dma_start"
    channel_dir = prop_def(I32)
    channel_index = prop_def(I32)
    repeat_count = prop_def(I32, default_value=IntegerAttr(0, i32))
    pad_value = opt_prop_def(I32)  # of the channel, since mlir-aie 1.4
    dest = successor_def()
    chain = successor_def()
    valid = result_def(i1)
    traits = traits_def(IsTerminator())
    irdl_options = (ParsePropInAttrDict(),)
    custom_directives = (DirectionKeyword,)
    assembly_format = (
        "`(` custom<DirectionKeyword>($channel_dir) `,` $channel_index `,` $dest"
        " `,` $chain (`,` `repeat_count` `=` $repeat_count^)? `)` attr-dict"
    )

    def __init__(
        self,
        direction: str,
        channel: int,
        dest: Block,
        chain: Block,
        repeat_count: int = 0,
    ):
        super().__init__(
            properties={
                "channel_dir": number_of(DIRECTIONS, direction),
                "channel_index": i32_or_none(channel),
                "repeat_count": i32_or_none(repeat_count),
            },
            successors=[dest, chain],
            result_types=[i1],
        )

    @property
    def direction(self) -> str:
        return keyword_of(DIRECTIONS, self.channel_dir.value.data)

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.channel_dir.value.data)
        check_not_negative(self, "channel_index", "repeat_count")


@irdl_op_definition
class NextBdOp(IRDLOperation):
    name = "aie.next_bd"
    dest = successor_def()
    traits = traits_def(IsTerminator())
    assembly_format = "$dest attr-dict"

    def __init__(self, dest: Block):
        super().__init__(successors=[dest])
