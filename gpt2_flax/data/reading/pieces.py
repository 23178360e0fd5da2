"""A piece of a document, the unit that is read, tokenized and written."""

from typing import NamedTuple

from gpt2_flax.tokenizers.protocol import END_OF_TEXT, Ids

PIECE_CHARS = 1 << 20  # a text is tokenized in pieces of about this size


class Piece(NamedTuple):
    """Not empty. END_OF_TEXT in a text ends a document, too."""

    content: str | Ids
    counts: bool = True  # whether the loss of its tokens counts
    ends: bool = False  # whether a document ends with it

    @property
    def ends_document(self) -> bool:
        is_text = isinstance(self.content, str)
        return self.ends or (is_text and str(self.content).endswith(END_OF_TEXT))
