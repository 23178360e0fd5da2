"""The configuration of a GPT-2, and the published sizes."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.typing import DTypeLike

from gpt2_flax.errors import InputError
from gpt2_flax.layers.activations import ACTIVATION_FUNCTIONS

ACTIVATIONS: dict[str, DTypeLike] = {"f32": jnp.float32, "bf16": jnp.bfloat16}


@dataclass(frozen=True)
class GPT2Config:
    num_layers: int
    num_heads: int
    embed_dim: int  # must be a multiple of num_heads
    vocab_size: int = 50257  # 256 bytes + 50,000 merges + <|endoftext|>
    num_positions: int = 1024  # one learned position each; the longest sequence
    norm_eps: float = 1e-5  # LayerNorm's epsilon, as in the released checkpoints
    activations: str = "f32"  # or bf16: type of what products write for one another
    tied_head: bool = True  # True: the embedding is the matrix of the logits as well
    inner_dim: int | None = None  # channels inside an MLP; None: 4 embed_dim
    activation_function: str = "gelu_new"  # of the MLP, by transformers' name
    scale_attention: bool = True  # scores are divided by sqrt(D)
    scale_by_layer: bool = False  # scores of layer i = 0, 1, ... also by i + 1
    # Rates of dropout; a function of the model drops only where it is given a key.
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    residual_dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_heads, self.embed_dim) < 1:
            raise InputError(
                "a model needs at least one layer, one head and one channel, got "
                f"{self.num_layers}, {self.num_heads} and {self.embed_dim}."
            )
        if self.embed_dim % self.num_heads:
            raise InputError(
                "heads share the channels equally: --embed-dim "
                f"{self.embed_dim} is not a multiple of --num-heads {self.num_heads}."
            )
        if self.activations not in ACTIVATIONS:
            raise InputError(
                f"--activations must be one of {', '.join(ACTIVATIONS)}, got "
                f"{self.activations}."
            )
        if self.mlp_dim < 1:
            raise InputError(f"an MLP needs at least one channel, got {self.mlp_dim}.")
        if self.activation_function not in ACTIVATION_FUNCTIONS:
            raise InputError(
                "activation_function must be one of "
                f"{', '.join(ACTIVATION_FUNCTIONS)}, got {self.activation_function!r}."
            )
        if not all(0 <= rate <= 1 for rate in self.dropout_rates):
            raise InputError(
                "rates of dropout must be from 0 to 1, got "
                f"{', '.join(map(str, self.dropout_rates))}."
            )

    @property
    def dtype(self) -> DTypeLike:
        """Type of activations; the residual stream, softmax and logits are always f32.

        In bf16, the residual sum of 2 x num_layers terms would lose the small ones, and
        a logit above 8 has steps of 1/16.
        """
        return ACTIVATIONS[self.activations]

    @property
    def mlp_dim(self) -> int:
        """Channels inside an MLP."""
        return 4 * self.embed_dim if self.inner_dim is None else self.inner_dim

    @property
    def dropout_rates(self) -> tuple[float, float, float]:
        return self.embed_dropout, self.attention_dropout, self.residual_dropout

    def score_divisor(self, layer: int) -> float:
        """What attention's scores are divided by in a layer: sqrt(D), (i + 1), both."""
        head_dim = self.embed_dim // self.num_heads
        divisor: float = head_dim**0.5 if self.scale_attention else 1.0
        return divisor * (layer + 1) if self.scale_by_layer else divisor


MODELS = {
    "mini": GPT2Config(num_layers=4, num_heads=4, embed_dim=64, num_positions=256),
    "distilgpt2": GPT2Config(num_layers=6, num_heads=12, embed_dim=768),
    "gpt2": GPT2Config(num_layers=12, num_heads=12, embed_dim=768),
    "gpt2-medium": GPT2Config(num_layers=24, num_heads=16, embed_dim=1024),
    "gpt2-large": GPT2Config(num_layers=36, num_heads=20, embed_dim=1280),
    "gpt2-xl": GPT2Config(num_layers=48, num_heads=25, embed_dim=1600),
}
