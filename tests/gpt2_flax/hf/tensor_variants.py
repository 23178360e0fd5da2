"""Variants of a folder's tensors: missing, unknown, of other shapes and types."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from .container_variants import containers
from .folder_variants import (
    HEAD,
    POSITIONS,
    VOCABULARY,
    WIDTH,
    WTE,
    P,
    Variant,
    random_arrays,
)


def files() -> dict[str, Variant]:
    """All variants of the folder's files, by name."""
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
