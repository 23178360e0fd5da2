"""Text files in pieces that a tokenizer takes one by one.

A byte order mark is dropped, and a line's end CR LF is LF, as when Python opens text.
"""

import codecs
from collections.abc import Iterable, Iterator

from gpt2_flax.data.reading.binary import blocks, open_binary
from gpt2_flax.data.reading.pieces import PIECE_CHARS, Piece
from gpt2_flax.data.sources import Source
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers.protocol import END_OF_TEXT, Cuts

USUAL_SPACES = " \n\r\t"
# How files begin that people take for texts: what they are, and what helps.
NO_TEXTS = {
    b"%PDF-": "a PDF; save its text, for example with pdftotext",
    b"PK\x03\x04": "a ZIP archive, as .docx, .odt and .epub are; save its text as .txt",
    b"{\\rtf": "in RTF; save it as plain text",
    b"\x1f\x8b": "compressed by gzip; add .gz to its name",
    b"\x89PNG": "a picture; leave it out",
    b"\xff\xd8\xff": "a picture; leave it out",
}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_pieces(source: Source, cuts: Cuts) -> Iterator[Piece]:
    """The document of a text file; none if it holds only whitespace.

    Raises:
      InputError: it is not UTF-8, or no text.
    """
    with open_binary(source) as file:
        yield from pieces_of(decoded(source.name, blocks(file)), cuts)


def decoded(name: str, blocks: Iterable[bytes]) -> Iterator[str]:
    """The text of a file's blocks."""
    start = 0  # offset in the file of what is not decoded yet
    rest, cr = b"", ""
    for block in with_end(blocks):
        data = rest + (block or b"")
        if start == 0:
            require_text(name, data)
        if start == 0 and data.startswith(codecs.BOM_UTF8):
            data, start = data[3:], 3
        elif start == 0 and data.startswith(UTF16):
            raise InputError(
                f"{name} is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8."
            )
        if (zero := data.find(0)) >= 0:
            raise InputError(
                f"{name} is no text: it has a NUL byte at offset {start + zero}; leave "
                "it out, or remove the bytes with tr -d '\\000'."
            )
        try:
            text, used = codecs.utf_8_decode(data, "strict", block is None)
        except UnicodeDecodeError as e:
            raise InputError(
                f"{name} is not UTF-8: byte {data[e.start]:#04x} at offset "
                f"{start + e.start}; convert it, for example with iconv -t UTF-8."
            ) from None
        rest, start = data[used:], start + used
        text = cr + text
        cr = "\r" if text.endswith("\r") and block is not None else ""
        yield (text[:-1] if cr else text).replace("\r\n", "\n")


def require_text(name: str, data: bytes) -> None:
    """Raises InputError if the file begins as one of NO_TEXTS."""
    for begin, what in NO_TEXTS.items():
        if data.startswith(begin):
            raise InputError(f"{name} is {what}.")


def with_end(blocks: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from blocks
    yield None


def pieces_of(texts: Iterable[str], cuts: Cuts) -> Iterator[Piece]:
    """One document, which comes in parts, as pieces that end where `cuts` allows."""
    waiting: list[str] = []  # in all shorter than a piece, or without a place to cut
    length = 0
    is_blank = True
    for text in texts:
        waiting.append(text)
        length += len(text)
        is_blank = is_blank and (not text or text.isspace())
        if is_blank or length < PIECE_CHARS:
            continue
        text = "".join(waiting)
        start = 0
        while len(text) - start > PIECE_CHARS:
            cut = last_cut(text, start, start + PIECE_CHARS, cuts)
            cut = cut or last_cut(text, start, len(text), cuts)
            if not cut:
                break
            yield Piece(text[start:cut])
            start = cut
        waiting, length = [text[start:]], len(text) - start
    if not is_blank:
        yield Piece("".join(waiting), ends=True)


def last_cut(text: str, start: int, end: int, cuts: Cuts) -> int:
    """The last place after `start` and before `end` to cut at, 0 if there is none."""
    cut = text.rfind(END_OF_TEXT, start + 1, end)
    if cuts != "nowhere":
        cut = max(cut, last_space(text, start, end))
    if cuts == "anywhere" and cut <= start:
        # Not inside END_OF_TEXT, of which a part may follow later.
        cut = text.rfind("<", max(start + 1, end - len(END_OF_TEXT)), end)
        cut = cut if cut > start else end - 1
    return max(cut, 0) if cut > start else 0


def last_space(text: str, start: int, end: int) -> int:
    """The last place in text[start + 1 : end] where whitespace follows something else.

    Only the usual kinds of whitespace are looked for; -1 if there is none.
    """
    while (at := max(text.rfind(c, start + 1, end) for c in " \n")) >= 0:
        end = start + 1 + len(text[start + 1 : at].rstrip(USUAL_SPACES))
        if not text[end - 1].isspace():
            return end
    return -1
