"""Variants of a tiny Hugging Face folder: what is in its config.json and its files.

A variant's `refused` is what our message must match where transformers computes
something from the folder and we refuse it on purpose; the grid asks transformers about
all others.
"""

import itertools
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

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
ABSENT = object()


class Variant(NamedTuple):
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


def configs() -> dict[str, Variant]:
    variants = {"plain": Variant({})}

    def add(key: str, *values: Any, refused: str | None = None) -> None:
        for value in values:
            name = "absent" if value is ABSENT else json.dumps(value)
            variants[f"{key}={name}"] = Variant({key: value}, refused)

    for key in ("n_layer", "n_head", "n_embd", "vocab_size", "n_positions"):
        add(key, 0, -1, "2", 2.0, None, True, ABSENT)
    for key in ("n_head", "n_embd", "vocab_size", "n_positions"):
        add(key, 10**20)
    add("n_layer", 1, 3, 11)
    add("n_head", 1, 4, 3, 8)
    add("n_embd", 16, 4)
    add("vocab_size", VOCABULARY - 1, VOCABULARY + 1)
    add("n_positions", POSITIONS - 1, POSITIONS + 1)
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
    add("n_inner", None, 4 * WIDTH)
    add("n_inner", 16, 0, -1, "32", refused="n_inner")
    add("activation_function", "gelu_new", "gelu_pytorch_tanh", ABSENT)
    others = ("gelu", "relu", "silu", "gelu_fast", "tanh", "linear")
    add("activation_function", *others, refused="activation_function = ")
    add("activation_function", "unheard of", None, 3)
    add("scale_attn_weights", True, None, 1, "true", ABSENT)
    add("scale_attn_weights", False, refused="scale_attn_weights = False")
    add("scale_attn_by_inverse_layer_idx", False, None, 0)
    by_layer = "scale_attn_by_inverse_layer_idx = True"
    add("scale_attn_by_inverse_layer_idx", True, refused=by_layer)
    add("reorder_and_upcast_attn", True, False, None, "no")
    add("add_cross_attention", False, None)
    add("add_cross_attention", True)
    add("is_decoder", True, False)
    add("is_encoder_decoder", False, None)
    add("is_encoder_decoder", True, refused="is_encoder_decoder = True")
    add("layer_norm_epsilon", 1e-5, 1e-3, 0.5, 0.0, 0, 1, "1e-5", None, True)
    add("layer_norm_epsilon", math.nan, -1.0)
    add("layer_norm_epsilon", -1e-5, math.inf, refused="layer_norm_epsilon = ")
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
    for key, values in {
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
        "resid_pdrop": (0.0, 0.9),
        "attn_pdrop": (0.9, 1),
        "embd_pdrop": (0.9,),
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
    }.items():
        add(key, *values)
    text = json.dumps(CONFIG)
    twice = text.replace('"n_head": 2', '"n_head": 1, "n_head": 2')
    variants["n_head twice, the last right"] = Variant(twice)
    twice = text.replace('"n_head": 2', '"n_head": 2, "n_head": 4')
    variants["n_head twice, the last another"] = Variant(twice)
    for broken in ("", "{", "[]", "null", "3", '"gpt2"', "{}", text[:-9]):
        variants[f"config.json is {broken[:4]!r}"] = Variant(broken)
    return variants


def files() -> dict[str, Variant]:
    variants = {}

    def add(name: str, change: Any, refused: str | None = None, **more: Any) -> None:
        def write(folder) -> None:
            arrays = random_arrays(**more)
            change(arrays)
            save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})

        variants[name] = Variant(write, refused)

    def put(name: str, array: Any) -> Callable[..., None]:
        return lambda arrays: arrays.update({name: np.asarray(array)})

    add("plain", lambda arrays: None)
    add("without prefix", without_prefix)
    add("prefix on layers only", lambda a: a.update({WTE[len(P) :]: a.pop(WTE)}))
    add_heads(add, put)
    add_others(add, put)
    not_finite = itertools.cycle((math.nan, math.inf, -math.inf))
    for name in random_arrays():
        if ".1." in name or name.count(".") < 3:
            add(f"{name} missing", lambda a, n=name: a.pop(n))
            value = next(not_finite)
            change = lambda a, n=name, v=value: a[n].put(3, v)  # noqa: E731
            # PyTorch's attention leaves out a NaN that reaches it.
            add(f"{name} has {value}", change, "has NaN or infinite values")
    add_shapes_and_types(add)
    variants |= containers()
    for more in ({"layers": 1}, {"layers": 3}, {"layers": 11}, {"width": 16}):
        add(f"made with {more}", lambda arrays: None, **more)
    add("64 tokens", lambda arrays: None, vocabulary=64)
    return variants


def without_prefix(arrays: dict[str, Any]) -> None:
    for name in list(arrays):
        arrays[name.removeprefix(P)] = arrays.pop(name)


def add_heads(add: Any, put: Any) -> None:
    other = np.random.default_rng(1).normal(size=(VOCABULARY, WIDTH))
    other = other.astype(np.float32)

    def nearly_equal(arrays: dict[str, Any]) -> None:
        arrays[HEAD] = arrays[WTE].copy()
        arrays[HEAD][5, 5] *= -1

    add("head equal", lambda a: a.update({HEAD: a[WTE].copy()}))
    add("head equal in half", lambda a: a.update({HEAD: a[WTE].astype(np.float16)}))
    add("head other", put(HEAD, other))
    add("head other in one value", nearly_equal)
    add("head other, no prefix", lambda a: (put(HEAD, other)(a), without_prefix(a)))
    add("head with prefix", put(P + HEAD, other))
    add("head twice", lambda a: (put(HEAD, other)(a), put(P + HEAD, other)(a)), "both")
    add("head instead of wte", lambda a: a.update({HEAD: a.pop(WTE)}))
    add("head of more tokens", put(HEAD, np.vstack([other, other])))
    add("head of NaN", put(HEAD, np.full_like(other, np.nan)))
    add("head in int8", put(HEAD, other.astype(np.int8)), "int8|I8")
    add("head transposed", put(HEAD, np.ascontiguousarray(other.T)))
    add("head with bias", put("lm_head.bias", np.zeros(VOCABULARY, np.float32)))


def add_others(add: Any, put: Any) -> None:
    mask = np.tril(np.ones((1, 1, POSITIONS, POSITIONS)))
    for kind in (np.uint8, np.bool_, np.float32):
        add(f"mask in {kind.__name__}", put(P + "h.0.attn.bias", mask.astype(kind)))
    add("mask of fewer positions", put(P + "h.1.attn.bias", mask[:, :, :4, :4].copy()))
    add("masked_bias", put(P + "h.0.attn.masked_bias", np.float32(-1e4)))
    add("mask of a third layer", put(P + "h.2.attn.bias", mask), "h.2.attn.bias")
    add("mask of two dimensions", put(P + "h.0.attn.bias", mask[0, 0]), "h.0.attn.bias")
    for name in [
        "h.2.ln_1.weight",
        "h.10.ln_1.weight",
        "h.1.ln_3.weight",
        "h.0.attn.c_attn.lora_A.default.weight",
        "h.0.attn.c_attn.weight_scale",
        "h.0.attn.c_attn.SCB",
        "h.0.crossattention.c_attn.weight",
        "h.0.ln_cross_attn.weight",
        "adapters.0.weight",
        "wte.bias",
        "ln_f.running_mean",
        "transformer.wte.weight",
    ]:
        add(f"other tensor {name}", put(P + name, np.ones(4, np.float32)))
    for name in [
        "score.weight",
        "classifier.bias",
        "multiple_choice_head.summary.bias",
    ]:
        add(f"other tensor {name}", put(name, np.ones(4, np.float32)))
    add(
        "wte twice", put("wte.weight", np.ones((VOCABULARY, WIDTH), np.float32)), "both"
    )
    add("a layer's bias twice", put("h.0.ln_1.bias", np.ones(8, np.float32)), "both")
    for prefix in ("module.", "_orig_mod.", "model.", "transformer."):
        change = lambda a, p=prefix: [a.update({p + n: a.pop(n)}) for n in list(a)]  # noqa: E731
        add(f"all behind {prefix}", change, "has no weight")
    gamma = lambda a: a.update({P + "ln_f.gamma": a.pop(P + "ln_f.weight")})  # noqa: E731
    add("ln_f.gamma", gamma)
    add("no tensor at all", lambda arrays: arrays.clear())


def add_shapes_and_types(add: Any) -> None:
    def replace(name: str, change: Any) -> Callable[..., None]:
        return lambda a: a.update({name: np.ascontiguousarray(change(a[name]))})

    def every(kind: Any) -> Callable[..., None]:
        return lambda a: a.update({n: x.astype(kind) for n, x in a.items()})

    for name in ("h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight", "wte.weight"):
        add(f"{name} transposed", replace(P + name, np.transpose))
        add(f"{name} flat", replace(P + name, np.ravel))
        add(f"{name} with a dimension more", replace(P + name, lambda x: x[None]))
    add("ln_f.weight empty", replace(P + "ln_f.weight", lambda x: x[:0]))
    add("ln_f.weight is one number", replace(P + "ln_f.weight", lambda x: x[0]))
    add(
        "wpe with a row more",
        replace(P + "wpe.weight", lambda x: np.vstack([x, x[:1]])),
    )
    for kind in (np.float16, np.float64, ml_dtypes.bfloat16):
        add(f"all {np.dtype(kind)}", every(kind))
        change = replace(P + "wpe.weight", lambda x, k=kind: x.astype(k))
        add(f"wpe in {np.dtype(kind)}", change)
    kinds = (np.int8, np.uint8, np.int32, np.int64, np.bool_, ml_dtypes.float8_e4m3fn)
    for kind in kinds:
        change = replace(P + "wpe.weight", lambda x, k=kind: x.astype(k))
        add(f"wpe in {np.dtype(kind)}", change, "wpe.weight has type")
    add(
        "a float64 too large",
        replace(P + "ln_f.bias", lambda x: x.astype(float) * 1e99),
    )
    add("all int8", every(np.int8), "has type")


def containers() -> dict[str, Variant]:
    """Folders with the right tensors in other files, in several, or in none."""
    import torch

    arrays = random_arrays()
    names = sorted(arrays)
    halves = [{n: arrays[n] for n in part} for part in (names[::2], names[1::2])]
    others = {name: -array for name, array in arrays.items()}

    def tensors(part: dict[str, Any]) -> dict[str, Any]:
        return {name: torch.from_numpy(array.copy()) for name, array in part.items()}

    def safe(folder: Any, part: Any = arrays, name: str = "model.safetensors") -> None:
        save_file(part, folder / name, metadata={"format": "pt"})

    def pickled(folder: Any, part: Any = arrays, **options: Any) -> None:
        torch.save(tensors(part), folder / "pytorch_model.bin", **options)

    def sharded(folder: Any, parts: Any = halves, index: Any = None) -> None:
        shards = [f"model-{i}-of-{len(parts)}.safetensors" for i in range(len(parts))]
        for part, shard in zip(parts, shards):
            safe(folder, part, shard)
        names = {name: shard for part, shard in zip(parts, shards) for name in part}
        text = json.dumps({"metadata": {}, "weight_map": {**names, **(index or {})}})
        (folder / "model.safetensors.index.json").write_text(text)

    def sharded_pickles(folder: Any) -> None:
        for part, shard in zip(halves, ("a.bin", "b.bin")):
            torch.save(tensors(part), folder / shard)
        names = {n: f for part, f in zip(halves, ("a.bin", "b.bin")) for n in part}
        text = json.dumps({"metadata": {}, "weight_map": names})
        (folder / "pytorch_model.bin.index.json").write_text(text)

    def head_shares_memory(folder: Any) -> None:
        state = tensors(arrays)
        state[HEAD] = state[WTE]
        torch.save(state, folder / "pytorch_model.bin")

    def shard_missing(folder: Any) -> None:
        sharded(folder)
        (folder / "model-1-of-2.safetensors").unlink()

    def damaged(folder: Any, keep: int) -> None:
        safe(folder)
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:keep])

    def named(name: str, content: bytes = b"") -> Callable[..., None]:
        return lambda folder: (folder / name).write_bytes(content)

    def both(*writers: Callable[..., None]) -> Callable[..., None]:
        return lambda folder: [write(folder) for write in writers]

    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    extra = {"h.7.ln_1.bias": np.ones(WIDTH, np.float32)}
    half_of_other = dict.fromkeys(halves[0], "model-1-of-2.safetensors")
    plain = {
        "pytorch_model.bin": pickled,
        "pytorch_model.bin of old": lambda f: pickled(
            f, _use_new_zipfile_serialization=False
        ),
        "pytorch_model.bin, head and wte one": head_shares_memory,
        "pytorch_model.bin, other head": lambda f: pickled(
            f, {**arrays, HEAD: arrays[WTE][::-1].copy()}
        ),
        "pytorch_model.bin in pieces": sharded_pickles,
        "pytorch_model.bin of a list": lambda f: torch.save(
            [1, 2], f / "pytorch_model.bin"
        ),
        "pytorch_model.bin of a checkpoint": lambda f: torch.save(
            {"model": tensors(arrays), "step": 3}, f / "pytorch_model.bin"
        ),
        "pytorch_model.bin torn": named("pytorch_model.bin", b"PK\x03\x04torn"),
        "both, the same": both(safe, pickled),
        "both, other": both(safe, lambda f: pickled(f, others)),
        "safetensors and shards": both(lambda f: sharded(f, [others]), safe),
        "shards": sharded,
        "shards and other pickle": both(sharded, lambda f: pickled(f, others)),
        "a shard missing": shard_missing,
        "a shard with a tensor more": lambda f: sharded(
            f, [halves[0], {**halves[1], **extra}]
        ),
        "index of no object": named("model.safetensors.index.json", b"[]"),
        "index without weight_map": named("model.safetensors.index.json", b"{}"),
        "nothing": lambda folder: None,
        "TensorFlow's": named("tf_model.h5"),
        "Flax's": named("flax_model.msgpack"),
        "LFS pointer": named("model.safetensors", pointer),
        "LFS pointer, pickled": named("pytorch_model.bin", pointer),
        "empty file": named("model.safetensors"),
        "cut in the header": lambda f: damaged(f, 100),
        "cut in the tensors": lambda f: damaged(f, -8),
    }
    refused = {
        "a tensor in two shards": (
            lambda f: sharded(f, [arrays, {WTE: others[WTE]}]),
            "wte.weight, which .* says is in",
        ),
        "index that tells other shards": (
            lambda f: sharded(f, halves, half_of_other),
            "which .* says is in model-1-of-2",
        ),
        "index that names more": (
            lambda f: sharded(f, halves, {"more": "model-0-of-2.safetensors"}),
            "says that more is in",
        ),
        "shard in another folder": (
            lambda f: sharded(f, halves, {WTE: "../model-0-of-2.safetensors"}),
            "should give a file name",
        ),
        "a folder for model.safetensors": (
            both(lambda f: (f / "model.safetensors").mkdir(), pickled),
            "model.safetensors is not a file",
        ),
        "a link to nothing": (
            both(lambda f: (f / "model.safetensors").symlink_to("gone"), pickled),
            "model.safetensors is not a file",
        ),
        "an adapter": (both(safe, named("adapter_config.json", b"{}")), "an adapter"),
    }
    return {
        **{name: Variant(write) for name, write in plain.items()},
        **{name: Variant(*variant) for name, variant in refused.items()},
    }
