"""A tiny Hugging Face folder, of which other modules make variants.

config_variants.py varies its config.json, tensor_variants.py its tensors, and
container_variants.py the files that they are in.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LAYERS, HEADS, WIDTH, VOCABULARY, POSITIONS = 2, 2, 8, 31, 16
CONFIG = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_embd": WIDTH,
    "vocab_size": VOCABULARY,
    "n_positions": POSITIONS,
}
P = "transformer."
WTE, HEAD = P + "wte.weight", "lm_head.weight"
ABSENT = object()  # the value of a key that is left out


class Variant(NamedTuple):
    """One change to the folder: to its config, or the function that writes its files.

    `refused` is a pattern of our message where transformers computes something from
    the folder and we refuse it on purpose; transformers is asked about all others.
    """

    change: Any
    refused: str | None = None


def random_arrays(layers=LAYERS, width=WIDTH, vocabulary=VOCABULARY):
    """Every tensor of a GPT2LMHeadModel, none at a value that could go unnoticed."""
    rng = np.random.default_rng(0)
    c = width
    shapes = {"wte.weight": (vocabulary, c), "wpe.weight": (POSITIONS, c)}
    norms = [f"h.{i}.ln_{j}" for i in range(layers) for j in (1, 2)] + ["ln_f"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (c,), f"{norm}.bias": (c,)}
    for i in range(layers):
        for name, inner, outer in [
            ("attn.c_attn", c, 3 * c),
            ("attn.c_proj", c, c),
            ("mlp.c_fc", c, 4 * c),
            ("mlp.c_proj", 4 * c, c),
        ]:
            shapes |= {f"h.{i}.{name}.weight": (inner, outer)}
            shapes |= {f"h.{i}.{name}.bias": (outer,)}
    return {
        P + name: rng.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_folder(folder, config: Any, write_files: Callable[..., None]) -> None:
    folder.mkdir()
    fields = {**CONFIG, **config} if isinstance(config, dict) else config
    if isinstance(fields, dict):
        kept = {key: value for key, value in fields.items() if value is not ABSENT}
        fields = json.dumps(kept)
    (folder / "config.json").write_text(fields)
    write_files(folder)
