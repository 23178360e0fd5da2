"""A Hugging Face folder: weights, configuration, tokenizer, generation, model card.

What the weights that training began with said beside the model's shape goes back as it
was: token ids, generation settings, keys of config.json that we do not know.
"""

import shutil
from pathlib import Path
from typing import Any

from gpt2_flax.exporting.card import model_card
from gpt2_flax.files import read_object, write_json
from gpt2_flax.hf.config import ALIASES, format_config
from gpt2_flax.hf.settings import CONFIG, GENERATION
from gpt2_flax.loading import GPT2
from gpt2_flax.weights import save_weights
from jax_npu.files import write_atomically


def save_folder(
    model: GPT2, to: Path, settings: Path | None, record: dict[str, Any] | None
) -> None:
    """Writes `to` so that AutoModelForCausalLM and AutoTokenizer open it.

    Args:
      settings: the folder with the settings of the weights that training began with.
      record: the config.json of the run, for the model card.
    """
    to.mkdir(parents=True, exist_ok=True)
    model.tokenizer.save(to)
    save_weights(to, model.config, model.params)
    write_json(to / CONFIG, config_fields(model, settings), ascii_only=False)
    generation = settings / GENERATION if settings else None
    if generation and generation.is_file():
        shutil.copyfile(generation, to / GENERATION)
    else:
        end = model.tokenizer.end_of_text
        fields = {"bos_token_id": end, "eos_token_id": end, "_from_model_config": True}
        write_json(to / GENERATION, fields, ascii_only=False)
    card = model_card(model, record)
    write_atomically(to / "README.md", lambda path: path.write_text(card, "utf-8"))


def config_fields(model: GPT2, settings: Path | None) -> dict[str, Any]:
    """config.json: what the model computes, over what its source said."""
    end = model.tokenizer.end_of_text
    fields: dict[str, Any] = {"bos_token_id": end, "eos_token_id": end}
    if settings and (settings / CONFIG).is_file():
        source = read_object(settings / CONFIG)
        fields = {key: value for key, value in source.items() if key not in ALIASES}
    ours = format_config(model.config)
    for key in ("dtype", "torch_dtype"):  # what from_pretrained would round to
        if key in fields:
            ours[key] = "float32"
    return fields | ours
