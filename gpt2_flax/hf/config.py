"""`config.json` of a Hugging Face GPT-2 folder, read and written.

Keys that change what is computed are refused unless this model computes it.
"""

import math
from pathlib import Path
from typing import Any

from gpt2_flax.errors import InputError
from gpt2_flax.files import read_object
from gpt2_flax.layers.activations import ACTIVATION_FUNCTIONS
from gpt2_flax.model import GPT2Config

# Values that this model computes; the first is the default of an absent key.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "scale_attn_weights": (True, False),
    "scale_attn_by_inverse_layer_idx": (False, True),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True, False),
}
# Keys of all transformers models that could make GPT-2 compute something else.
GENERAL: dict[str, tuple[Any, ...]] = {
    "is_causal": (True,),
    "is_encoder_decoder": (False, None),
    "layer_types": (None,),
    "quantization_config": (None,),
    "per_layer_config": (None, {}),
    "pruned_heads": (None, {}),
    "transformers_weights": (None, "model.safetensors"),
    "reorder_and_upcast_attn": (False, True),  # the same function, summed in f32
}
ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
# An absent key means the default of transformers' GPT2Config.
SIZES = {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "vocab_size": 50257,
    "n_positions": 1024,
}
LARGEST_SIZE = 2**31 - 1
DROPOUT = 0.1  # each rate where its key is absent
# Classes whose weights are a language model's, complete or without a tied head.
ARCHITECTURES = {
    f"{framework}GPT2{kind}"
    for framework in ("", "TF", "Flax")
    for kind in ("LMHeadModel", "Model")
}


def parse_config(folder: Path) -> tuple[GPT2Config, bool]:
    """The model, and whether its head may be the embedding (tie_word_embeddings).

    Raises:
      InputError: the file is damaged, or describes what this model does not compute.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(
            "--weights needs a Hugging Face GPT-2 directory with a config.json, "
            f"and {path} is not there."
        )
    fields = without_aliases(path, read_object(path))
    sizes = {key: read_size(path, key, fields) for key in SIZES}
    if sizes["n_embd"] % sizes["n_head"]:
        raise InputError(
            f"{path} has n_embd = {sizes['n_embd']} and n_head = {sizes['n_head']}; "
            "heads share the channels equally, so it must be a multiple."
        )
    check_supported(path, fields, {**SUPPORTED, **GENERAL})
    check_architectures(path, fields.get("architectures"))
    is_given = fields.get("n_inner") is not None
    config = GPT2Config(
        num_layers=sizes["n_layer"],
        num_heads=sizes["n_head"],
        embed_dim=sizes["n_embd"],
        vocab_size=sizes["vocab_size"],
        num_positions=sizes["n_positions"],
        norm_eps=read_epsilon(path, fields),
        inner_dim=read_size(path, "n_inner", fields) if is_given else None,
        activation_function=read_activation(path, fields),
        scale_attention=fields.get("scale_attn_weights", True),
        scale_by_layer=fields.get("scale_attn_by_inverse_layer_idx", False),
        embed_dropout=read_rate(path, "embd_pdrop", fields),
        attention_dropout=read_rate(path, "attn_pdrop", fields),
        residual_dropout=read_rate(path, "resid_pdrop", fields),
    )
    return config, fields.get("tie_word_embeddings", True)


def format_config(config: GPT2Config) -> dict[str, Any]:
    """The object of config.json that `parse_config` reads as `config`."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        **{key: allowed[0] for key, allowed in SUPPORTED.items()},
        "tie_word_embeddings": config.tied_head,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_embd": config.embed_dim,
        "vocab_size": config.vocab_size,
        "n_positions": config.num_positions,
        "layer_norm_epsilon": config.norm_eps,
        "n_inner": config.inner_dim,
        "activation_function": config.activation_function,
        "scale_attn_weights": config.scale_attention,
        "scale_attn_by_inverse_layer_idx": config.scale_by_layer,
        "embd_pdrop": config.embed_dropout,
        "attn_pdrop": config.attention_dropout,
        "resid_pdrop": config.residual_dropout,
    }


def without_aliases(path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with transformers' general names of sizes replaced by GPT-2's."""
    for alias, key in ALIASES.items():
        if alias in fields and fields.get(key, fields[alias]) != fields[alias]:
            raise InputError(
                f"{path} has {key} = {fields[key]!r} and {alias} = {fields[alias]!r}, "
                "two names of one size; delete the wrong one."
            )
    return {ALIASES.get(key, key): value for key, value in fields.items()}


def read_size(path: Path, key: str, fields: dict[str, Any]) -> int:
    value = fields.get(key, SIZES.get(key))
    if type(value) is not int or not 1 <= value <= LARGEST_SIZE:
        raise InputError(
            f"{path} has {key} = {value!r}; it must be a whole number from 1 to "
            f"{LARGEST_SIZE}."
        )
    return value


def read_epsilon(path: Path, fields: dict[str, Any]) -> float:
    value = fields.get("layer_norm_epsilon", GPT2Config.norm_eps)
    if type(value) is not float or not 0 <= value < math.inf:
        raise InputError(
            f"{path} has layer_norm_epsilon = {value!r}; it must be a number with a "
            "point or exponent, at least 0.0 and finite."
        )
    return value


def read_activation(path: Path, fields: dict[str, Any]) -> str:
    value = fields.get("activation_function", GPT2Config.activation_function)
    if not isinstance(value, str) or value not in ACTIVATION_FUNCTIONS:
        raise InputError(
            f"{path} has activation_function = {value!r}; this GPT-2 supports "
            f"{', '.join(ACTIVATION_FUNCTIONS)} only."
        )
    return value


def read_rate(path: Path, key: str, fields: dict[str, Any]) -> float:
    """A rate of dropout. It changes no logits, but how a model is trained."""
    value = fields.get(key, DROPOUT)
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise InputError(f"{path} has {key} = {value!r}; it must be from 0.0 to 1.0.")
    return float(value)


def check_supported(
    path: Path, fields: dict[str, Any], supported: dict[str, tuple[Any, ...]]
) -> None:
    for key, allowed in supported.items():
        value = fields.get(key, allowed[0])
        # The type must be equal as well: 1 == True, but transformers refuses 1.
        if not any(type(value) is type(a) and value == a for a in allowed):
            raise InputError(
                f"{path} has {key} = {value!r}; this GPT-2 supports "
                f"{' or '.join(map(repr, allowed))} only."
            )


def check_architectures(path: Path, names: Any) -> None:
    if names is None:
        return
    if not isinstance(names, list) or not ARCHITECTURES.issuperset(map(str, names)):
        raise InputError(
            f"{path} has architectures = {names!r}; this program trains language "
            "models, so it must be ['GPT2LMHeadModel'] or ['GPT2Model']."
        )
