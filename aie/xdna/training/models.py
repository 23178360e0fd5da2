"""GPT-2's published sizes."""

from dataclasses import dataclass

QUERIES = 256  # that attend at a time, as in gpt2_flax/layers/attention.py


@dataclass(frozen=True)
class Gpt2:
    """A GPT-2, whose embedding is the matrix of its head if `tied_head`."""

    num_layers: int
    num_heads: int
    width: int
    vocabulary: int = 50257
    num_positions: int = 1024
    tied_head: bool = True

    @property
    def num_parameters(self) -> int:
        width = self.width
        # In a layer: qkv, its projection, both of the MLP; their biases; two norms.
        layer = 12 * width**2 + 9 * width + 4 * width
        embeddings = (self.vocabulary + self.num_positions) * width
        head = 0 if self.tied_head else self.vocabulary * width
        return self.num_layers * layer + embeddings + head + 2 * width


MODELS = {
    "distilgpt2": Gpt2(6, 12, 768),
    "gpt2": Gpt2(12, 12, 768),
    "gpt2-medium": Gpt2(24, 16, 1024),
    "gpt2-large": Gpt2(36, 20, 1280),
    "gpt2-xl": Gpt2(48, 25, 1600),
}


def model_named(name: str) -> Gpt2:
    """
    Raises:
      ValueError: if there is no such model.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}")
    return MODELS[name]
