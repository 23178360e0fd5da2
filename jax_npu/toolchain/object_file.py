"""Reads from an ELF object how much of a core's memories its kernels need."""

import struct
from collections.abc import Collection, Iterator
from pathlib import Path

ELF32_LITTLE_ENDIAN = b"\x7fELF\x01\x01"
HEADER = struct.Struct("<16s2H5I6H")
SECTION = struct.Struct("<10I")
DATA = b".data", b".rodata", b".bss"  # that the linker script puts there
PROGRAM = b".text"


def data_bytes(path: Path) -> int:
    """Bytes of the constants and variables, each section with what aligns it.

    Raises:
      ValueError: if the file is no ELF object for 32 bits, little-endian.
    """
    return sum(
        size + max(alignment, 1) - 1
        for name, size, alignment in _read_sections(path)
        if size and name.startswith(DATA)
    )


def program_bytes(path: Path, not_called: Collection[str] = ()) -> int:
    """Bytes of the instructions, but for some functions, which the linker leaves out.

    Each function must have a section of its own, as -ffunction-sections gives it.

    Raises:
      ValueError: if the file is no ELF object for 32 bits, little-endian.
    """
    left_out = {b"%s.%s" % (PROGRAM, name.encode()) for name in not_called}
    return sum(
        size
        for name, size, _ in _read_sections(path)
        if name.startswith(PROGRAM) and name not in left_out
    )


def _read_sections(path: Path) -> list[tuple[bytes, int, int]]:
    content = path.read_bytes()
    if not content.startswith(ELF32_LITTLE_ENDIAN):
        raise ValueError(
            f"{path.name} must be a 32-bit ELF object, as Peano compiles for cores, "
            f"and begins with {content[:6]!r}"
        )
    try:
        return list(_sections(content))
    except (struct.error, IndexError) as error:
        raise ValueError(f"{path.name} is a damaged ELF object: {error}") from None


def _sections(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and alignment of each."""
    header = HEADER.unpack_from(content)
    offset, (section_bytes, count, names_index) = header[6], header[-3:]
    headers = [
        SECTION.unpack_from(content, offset + section_bytes * i) for i in range(count)
    ]
    names = headers[names_index][4] if headers else 0  # where their table lies
    for name, *_, size, _, _, alignment, _ in headers:
        start = names + name
        yield content[start : content.find(b"\0", start)], size, alignment
