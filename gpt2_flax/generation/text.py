"""The text of tokens that come one by one, up to where it is to stop."""

from collections.abc import Sequence

from gpt2_flax.tokenizers import Tokenizer

UNDECODABLE = "\ufffd"  # what bytes become that are not UTF-8, or not yet


class TextStream:
    """Gives out text as soon as no later token can change it or stop it.

    It ends before the tokenizer's end of text, and before the first of `stops`.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self.tokens: list[int] = []
        self.text = ""  # given out so far
        self.is_finished = False
        self._tokenizer = tokenizer
        self._stops = stops

    def add(self, token: int) -> str:
        """Takes the next token; returns the text that has become certain."""
        if self.is_finished:
            return ""
        if token == self._tokenizer.end_of_text:
            return self.end()
        self.tokens.append(token)
        text = self._tokenizer.decode(self.tokens)
        if found := [at for stop in self._stops if (at := text.find(stop)) >= 0]:
            self.is_finished = True
            return self._give(text[: min(found)])
        text = text.rstrip(UNDECODABLE)  # may be the beginning of a character
        return self._give(text[: len(text) - self._num_held_back(text)])

    def end(self) -> str:
        """Ends the text; returns what was held back."""
        if self.is_finished:
            return ""
        self.is_finished = True
        return self._give(self._tokenizer.decode(self.tokens))

    def _give(self, text: str) -> str:
        new = text[len(self.text) :]
        self.text = max(self.text, text, key=len)
        return new

    def _num_held_back(self, text: str) -> int:
        """The characters at the end with which one of the stops may begin."""
        lengths = range(max(map(len, self._stops), default=1) - 1, 0, -1)
        for length in lengths:
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return min(length, len(text))
        return 0
