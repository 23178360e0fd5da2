"""Variants of config.json: keys with values that we take, and that we refuse."""

import json
import math
from typing import Any

from gpt2_flax.layers.activations import ACTIVATION_FUNCTIONS

from .folder_variants import (
    ABSENT,
    CONFIG,
    HEADS,
    LAYERS,
    POSITIONS,
    VOCABULARY,
    WIDTH,
    Variant,
)

# Keys that do not change the logits of this model.
IGNORED: dict[str, tuple[Any, ...]] = {
    "sliding_window": (4, None),
    "attention_chunk_size": (4,),
    "attn_implementation": ("eager", "sdpa"),
    "_attn_implementation": ("eager",),
    "n_ctx": (16, 8, None, "x"),
    "use_cache": (False, True),
    "return_dict": (False,),
    "output_attentions": (False,),
    "output_hidden_states": (True,),
    "torch_dtype": ("float16", "bfloat16"),
    "dtype": ("float32", "float16"),
    "chunk_size_feed_forward": (2,),
    "resid_pdrop": (0.0, 0.9, -0.1, "0.1", True),
    "attn_pdrop": (0.9, 1, None),
    "embd_pdrop": (0.9, 1.5),
    "initializer_range": (0.5,),
    "summary_type": ("mean",),
    "summary_use_proj": (False,),
    "bos_token_id": (3, None),
    "eos_token_id": (3, [1, 2], None),
    "pad_token_id": (0, 5),
    "gradient_checkpointing": (True,),
    "torchscript": (True,),
    "tie_encoder_decoder": (True,),
    "num_labels": (3,),
    "id2label": ({"0": "a"},),
    "rope_theta": (1e4,),
    "use_bidirectional_attention": (True,),
    "task_specific_params": ({"text-generation": {"do_sample": True}},),
    "unheard_of": (1, None, "x"),
    "tokenizer_class": ("GPT2Tokenizer",),
    "transformers_version": ("4.0.0",),
}


def configs() -> dict[str, Variant]:
    variants = {"plain": Variant({})}

    def add(key: str, *values: Any, refused: str | None = None) -> None:
        for value in values:
            name = "absent" if value is ABSENT else json.dumps(value)
            variants[f"{key}={name}"] = Variant({key: value}, refused)

    add_sizes(add)
    variants |= aliases()
    add_layers(add)
    add_kinds_of_models(add)
    for key, values in IGNORED.items():
        add(key, *values)
    return variants | texts()


def add_sizes(add: Any) -> None:
    for key in ("n_layer", "n_head", "n_embd", "vocab_size", "n_positions"):
        add(key, 0, -1, "2", 2.0, None, True, ABSENT)
    for key in ("n_head", "n_embd", "vocab_size", "n_positions"):
        add(key, 10**20)
    add("n_layer", 1, 3, 11)
    add("n_head", 1, 4, 3, 8)
    add("n_embd", 16, 4)
    add("vocab_size", VOCABULARY - 1, VOCABULARY + 1)
    add("n_positions", POSITIONS - 1, POSITIONS + 1)


def aliases() -> dict[str, Variant]:
    """Sizes by transformers' general names, alone and beside GPT-2's."""
    variants = {}
    for alias, key, value in [
        ("hidden_size", "n_embd", WIDTH),
        ("num_hidden_layers", "n_layer", LAYERS),
        ("num_attention_heads", "n_head", HEADS),
        ("max_position_embeddings", "n_positions", POSITIONS),
    ]:
        two_names = f"two names of one size|{key} = "
        variants[f"{alias} alone"] = Variant({alias: value, key: ABSENT})
        variants[f"{alias} too"] = Variant({alias: value})
        variants[f"{alias} other"] = Variant({alias: 2 * value}, two_names)
        variants[f"{key} other than {alias}"] = Variant(
            {alias: value, key: 2 * value}, two_names
        )
        variants[f"{alias} null"] = Variant({alias: None}, two_names)
    variants["n_head by its alias"] = Variant(
        {"num_attention_heads": 4, "n_head": ABSENT}
    )
    return variants


def add_layers(add: Any) -> None:
    """Adds keys that change what a layer computes."""
    add("n_inner", None, 4 * WIDTH)
    add("n_inner", 16, 0, -1, "32", 10**20)
    add("activation_function", *ACTIVATION_FUNCTIONS, ABSENT)
    # These have weights of their own, which no file of GPT-2's has.
    add("activation_function", "prelu", "xielu", refused="activation_function = ")
    add("activation_function", "unheard of", None, 3)
    add("scale_attn_weights", True, False, None, 1, "true", ABSENT)
    add("scale_attn_by_inverse_layer_idx", False, True, None, 0)
    add("reorder_and_upcast_attn", True, False, None, "no")
    add("add_cross_attention", False, None)
    add("add_cross_attention", True)
    add("is_decoder", True, False)
    add("is_encoder_decoder", False, None)
    add("is_encoder_decoder", True, refused="is_encoder_decoder = True")
    add("layer_norm_epsilon", 1e-5, 1e-3, 0.5, 0.0, 0, 1, "1e-5", None, True)
    add("layer_norm_epsilon", math.nan, -1.0)
    add("layer_norm_epsilon", -1e-5, math.inf, refused="layer_norm_epsilon = ")


def add_kinds_of_models(add: Any) -> None:
    """Adds keys that name the model, or change it as a whole."""
    add("tie_word_embeddings", True, False, None, "false", 0, ABSENT)
    add("model_type", ABSENT)
    add("model_type", "gpt_neo", "llama", None, 3, refused="model_type = ")
    add("architectures", ABSENT, None, [], ["GPT2Model"])
    for names in (["GPT2ForSequenceClassification"], ["LlamaForCausalLM"]):
        add("architectures", names, refused="architectures = ")
    add("architectures", "GPT2LMHeadModel", refused="architectures = ")
    add("is_causal", True)
    add("is_causal", False, None, refused="is_causal = ")
    add("quantization_config", None)
    quantized = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    add("quantization_config", quantized, {}, refused="quantization_config = ")
    add("per_layer_config", {"0": {"layer_norm_epsilon": 0.5}}, refused="per_layer")
    add("per_layer_config", {}, None)
    add("pruned_heads", {}, None)
    add("pruned_heads", {"0": [0]}, refused="pruned_heads")
    layer_types = [["sliding_attention"] * LAYERS, ["full_attention"] * LAYERS]
    add("layer_types", *layer_types, refused="layer_types = ")
    add("transformers_weights", None, "model.safetensors")
    add("transformers_weights", "other.safetensors", refused="transformers_weights")


def texts() -> dict[str, Variant]:
    """Files with a key twice, and damaged ones."""
    variants = {}
    text = json.dumps(CONFIG)
    twice = text.replace('"n_head": 2', '"n_head": 1, "n_head": 2')
    variants["n_head twice, the last right"] = Variant(twice)
    twice = text.replace('"n_head": 2', '"n_head": 2, "n_head": 4')
    variants["n_head twice, the last another"] = Variant(twice)
    for broken in ("", "{", "[]", "null", "3", '"gpt2"', "{}", text[:-9]):
        variants[f"config.json is {broken[:4]!r}"] = Variant(broken)
    return variants
