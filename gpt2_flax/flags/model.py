"""Flags of the model: its shape, its number types, the weights that it starts from."""

from dataclasses import dataclass

from gpt2_flax.flags.field import flag
from gpt2_flax.model import ACTIVATIONS, MODELS, GPT2Config

DEFAULT_MODEL = "mini"


@dataclass(frozen=True)
class ModelFlags:
    model: str | None = flag(
        None,
        f"one of {', '.join(MODELS)} (default: {DEFAULT_MODEL})",
        str,
        brief=f"size of a new model: {DEFAULT_MODEL} (default), gpt2, gpt2-xl",
    )
    num_layers: int | None = flag(None, "blocks, instead of the model's", int)
    num_heads: int | None = flag(None, "heads per block, instead of the model's", int)
    embed_dim: int | None = flag(None, "channels, instead of the model's", int)
    num_positions: int | None = flag(
        None,
        "longest text, instead of the model's; from scratch only the first --seq-len "
        "positions are trained",
        int,
    )
    activations: str = flag(
        GPT2Config.activations,
        f"one of {', '.join(ACTIVATIONS)}: type of the arrays between matmuls; bf16 "
        "takes half the memory. Parameters and gradients stay f32",
    )
    weights: str | None = flag(
        None,
        "weights to start from, which bring their own model: a folder in Hugging "
        "Face's format, a name on the Hub (openai-community/gpt2), or a run",
        str,
        brief="start from these: a folder, a Hub name, or a run",
    )

    def check(self) -> None:
        """GPT2Config and choose_model check the model."""
