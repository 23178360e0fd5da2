"""The model that the flags describe."""

from dataclasses import replace

from gpt2_flax import run
from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.field import flag_name
from gpt2_flax.flags.model import DEFAULT_MODEL
from gpt2_flax.hf.hub import folder_of
from gpt2_flax.model import MODELS, GPT2Config
from gpt2_flax.tokenizers.gpt2_bpe import NUM_TOKENS
from gpt2_flax.weights import check_tensors, read_config


def choose_model(config: TrainConfig, num_tokens: int = NUM_TOKENS) -> GPT2Config:
    """The model that the flags describe, or the one in the folder --weights.

    It has at least `num_tokens` tokens.

    Raises:
      InputError: there is no such model, or it does not fit the other flags.
    """
    names = ("num_layers", "num_heads", "embed_dim", "num_positions")
    given = {name: getattr(config, name) for name in names}
    overrides = {name: value for name, value in given.items() if value is not None}
    if config.weights:
        given_too = [*(["model"] if config.model else []), *overrides]
        model = model_of_weights(config.weights, given_too)
    else:
        name = config.model or DEFAULT_MODEL
        if name not in MODELS:
            raise InputError(f"--model must be one of {', '.join(MODELS)}, got {name}.")
        model = replace(MODELS[name], vocab_size=num_tokens, **overrides)
    model = replace(model, activations=config.activations)
    if (rate := config.dropout_rate) is not None:
        model = replace(
            model, embed_dropout=rate, attention_dropout=rate, residual_dropout=rate
        )
    if config.seq_len > model.num_positions:
        raise InputError(
            f"the model has {model.num_positions} positions; --seq-len must not exceed "
            f"them, got {config.seq_len}."
        )
    if model.vocab_size < num_tokens:
        raise InputError(
            f"the tokenizer needs a vocabulary of {num_tokens}, and {config.weights} "
            f"has {model.vocab_size}; give the --tokenizer that it was trained with."
        )
    return model


def model_of_weights(source: str, given_too: list[str]) -> GPT2Config:
    """The model of --weights; `given_too` are flags that contradict it."""
    if given_too:
        raise InputError(
            "--weights brings the shape of its model; drop "
            f"{', '.join(map(flag_name, given_too))}."
        )
    folder = folder_of(source)
    if record := run.find_run(folder):
        return GPT2Config(**record["model"])
    model = read_config(folder)
    check_tensors(folder, model)
    return model
