"""All pieces of all sources, in order."""

from collections.abc import Iterable, Iterator

from gpt2_flax.data.reading.pieces import Piece
from gpt2_flax.data.reading.python_docs import python_docs
from gpt2_flax.data.reading.records import jsonl_pieces, parquet_pieces
from gpt2_flax.data.reading.text import pieces_of, text_pieces
from gpt2_flax.data.reading.token_files import bin_pieces, npy_pieces
from gpt2_flax.data.sources import PYTHON_DOCS, Source
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import Tokenizer
from gpt2_flax.tokenizers.protocol import Cuts

TOKEN_KINDS = ("bin", "npy")


def read_pieces(sources: Iterable[Source], tokenizer: Tokenizer) -> Iterator[Piece]:
    """The pieces of the sources; each source ends a document.

    Raises:
      InputError: a source cannot be read as what it is.
    """
    for source in sources:
        held: Piece | None = None
        for piece in source_pieces(source, tokenizer):
            if held is not None:
                yield held
            held = piece
        if held is not None:
            yield held._replace(ends=True)


def source_pieces(source: Source, tokenizer: Tokenizer) -> Iterator[Piece]:
    if source.kind == "bin":
        return bin_pieces(source, tokenizer.num_tokens)
    if source.kind == "npy":
        return npy_pieces(source, tokenizer.num_tokens)
    return texts_of(source, tokenizer.cuts)


def texts_of(source: Source, cuts: Cuts) -> Iterator[Piece]:
    """The pieces of a source that is text.

    Raises:
      InputError: it holds tokens.
    """
    if source.kind == PYTHON_DOCS:
        return pieces_of([python_docs()], cuts)
    if source.kind == "jsonl":
        return jsonl_pieces(source)
    if source.kind == "parquet":
        return parquet_pieces(source)
    if source.kind in TOKEN_KINDS:
        raise InputError(
            f"{source.name} holds tokens, not text; give the tokenizer that they are "
            "of with --tokenizer."
        )
    return text_pieces(source, cuts)
