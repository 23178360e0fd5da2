"""Records to documents: a text, a prompt with its completion, or a conversation.

The loss counts on completions, and on what the assistant says; on all of a text.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from gpt2_flax.data.reading.binary import open_binary, optional
from gpt2_flax.data.reading.pieces import Piece
from gpt2_flax.data.sources import Source
from gpt2_flax.errors import InputError

FIELDS = ("messages", "prompt", "completion", "text")
NEEDED = "a field text, the fields prompt and completion, or a field messages"
ANSWERS = "assistant"  # the role whose messages are learnt
ROWS = 1024  # of a parquet file at a time


class Span(NamedTuple):
    text: str
    counts: bool


def jsonl_pieces(source: Source) -> Iterator[Piece]:
    """The documents of a file with a JSON object in each line.

    Raises:
      InputError: a line is none, or has no text.
    """
    with open_binary(source) as file:
        for number, line in enumerate(file, 1):
            where = f"{source.name}, line {number}"
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode())
            except UnicodeDecodeError as e:
                raise InputError(f"{where} is not UTF-8: {e.reason}.") from None
            except (ValueError, RecursionError) as e:
                raise InputError(f"{where} is not JSON: {e}.") from None
            yield from document(record, where)


def parquet_pieces(source: Source) -> Iterator[Piece]:
    """The documents of a parquet file, a row each."""
    optional("pyarrow", source.name)
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(source.path)
        columns = [name for name in file.schema_arrow.names if name in FIELDS]
        if not columns:
            found = ", ".join(file.schema_arrow.names) or "no column"
            raise InputError(f"{source.name} needs {NEEDED}, and has {found}.")
        row = 0
        for batch in file.iter_batches(ROWS, columns=columns):
            for record in batch.to_pylist():
                row += 1
                yield from document(record, f"{source.name}, row {row}")
    except (pyarrow.ArrowException, OSError) as e:
        reason = str(e).splitlines()[0].rstrip(".")
        raise InputError(f"{source.name} is damaged: {reason}.") from None


def document(record: Any, where: str) -> Iterator[Piece]:
    """The pieces of a record; none if it has no text, or nothing to learn."""
    spans = [span for span in spans_of(record, where) if span.text]
    if not any(span.counts for span in spans):
        return
    for span in spans:
        require_characters(span.text, where)
        yield Piece(span.text, span.counts, ends=span is spans[-1])


def spans_of(record: Any, where: str) -> list[Span]:
    if not isinstance(record, dict):
        raise InputError(f"{where} should be an object with {NEEDED}.")
    if record.get("messages") is not None:
        return conversation(record["messages"], where)
    if "completion" in record:
        prompt = string(record.get("prompt"), "prompt", where)
        completion = string(record["completion"], "completion", where)
        return [Span(prompt, False), Span(completion, True)]
    if "text" in record:
        return [Span(string(record["text"], "text", where), True)]
    found = ", ".join(map(str, record)) or "nothing"
    raise InputError(f"{where} needs {NEEDED}, and has {found}.")


def conversation(messages: Any, where: str) -> list[Span]:
    """Lines "role: content"; what the assistant says counts, with the line's end."""
    if not isinstance(messages, list):
        raise InputError(f"{where}: messages should be a list.")
    spans = []
    for message in messages:
        if not isinstance(message, dict):
            raise InputError(f"{where}: a message needs the fields role and content.")
        role = string(message.get("role"), "role", where)
        content = string(message.get("content"), "content", where)
        spans += [Span(f"{role}:", False), Span(f" {content}\n", role == ANSWERS)]
    if not any(span.counts for span in spans):
        raise InputError(f"{where}: no message has the role {ANSWERS}, to learn from.")
    return spans


def string(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        kind = "nothing" if value is None else type(value).__name__
        raise InputError(f"{where}: {field} should be a text, and is {kind}.")
    return value


def require_characters(text: str, where: str) -> None:
    """Raises InputError for half a surrogate pair, which JSON can spell."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as e:
            bad = text[e.start]
            raise InputError(
                f"{where} has {bad!r}, half of a character; correct or drop it."
            ) from None
