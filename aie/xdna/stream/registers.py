"""The registers of a tile that an instruction stream may write, by their address."""

from typing import NamedTuple

from xdna.devices import BD_STRIDE_BYTES, LOCK_STRIDE_BYTES, WORD_BYTES, TileKind


class Register(NamedTuple):
    """A word of a tile."""

    what: str  # "bd", "queue", "control", "lock" or "data"
    number: int  # BD, channel, lock, or byte offset in a core's data memory
    word: int = 0  # a BD has words 0-7
    direction: str = ""  # only a queue or control has one

    def __str__(self) -> str:
        match self.what:
            case "bd":
                return f"BD {self.number} word {self.word}"
            case "data":
                return f"data {self.number:#x}"
            case "lock":
                return f"lock {self.number}"
        return f"{self.direction} {self.number} {self.what}"


def register_at(kind: TileKind, offset: int) -> Register | None:
    """The register at a byte offset of a tile; None if streams must not write there."""
    if offset % WORD_BYTES:
        return None
    if kind.name == "core" and offset < kind.memory_bytes:
        return Register("data", offset)
    lock, within_lock = divmod(offset - kind.lock_address, LOCK_STRIDE_BYTES)
    if 0 <= lock < kind.num_locks and within_lock == 0:
        return Register("lock", lock)
    dma = kind.dma
    bd, within_bd = divmod(offset - dma.bd_address, BD_STRIDE_BYTES)
    if 0 <= bd < dma.num_bds and within_bd < dma.bd_words * WORD_BYTES:
        return Register("bd", bd, within_bd // WORD_BYTES)
    for direction in ("S2MM", "MM2S"):
        for channel in range(dma.num_channels(direction)):
            if offset == dma.control_address(direction, channel):
                return Register("control", channel, direction=direction)
            if offset == dma.queue_address(direction, channel):
                return Register("queue", channel, direction=direction)
    return None
