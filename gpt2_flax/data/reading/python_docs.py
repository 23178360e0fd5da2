"""CPython's documentation of its own topics: a text that needs no download."""

import pydoc_data.topics
import textwrap


def python_docs() -> str:
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name] for name in sorted(topics))
    # GPT-2's tokenizer makes a token of each space of an indentation.
    paragraphs = map(textwrap.dedent, text.split("\n\n"))
    # Topics repeat one another ("while" is in "compound" too). Each paragraph is kept
    # once, so that the model was not trained on most of the validation text.
    return "\n\n".join(dict.fromkeys(paragraphs))
