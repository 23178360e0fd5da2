"""`gpt2-flax sample`: continues a text with a trained run.

gpt2-flax sample --out run --prompt "The with statement" --num-tokens 100
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

import jax_npu
from gpt2_flax import run
from gpt2_flax.backend import require_results, resolve_backend
from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.model import (
    SEEDS,
    GPT2Config,
    LogitsFunction,
    Params,
    logits_function,
    shape_params,
)
from gpt2_flax.tokenizers import END_OF_TEXT, load_tokenizer
from gpt2_flax.tokenizers.gpt2_bpe import NUM_TOKENS

TEMPERATURE = 0.8  # below 1: a small model's unlikely tokens are mostly wrong
TOP_K = 40  # as in the samples of the GPT-2 paper


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    check_flags(args)
    backend = resolve_backend(args.backend)
    require_results("sampling", backend)
    with jax_npu.backend(backend):
        model, params = load_run(args.out)
        text = continue_text(
            logits_function(model, jax_npu.dot_general),
            params,
            model,
            args.prompt,
            args.num_tokens,
            args.temperature,
            args.top_k,
            args.seed,
        )
    print(args.prompt + text)
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpt2-flax sample", description="Continues a text with a trained run."
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("run"), help="run folder (default: run)")
    add("--prompt", default=END_OF_TEXT, help=f"(default: {END_OF_TEXT})")
    add("--num-tokens", type=int, default=100, help="to add (default: 100)")
    add(
        "--temperature",
        type=float,
        default=TEMPERATURE,
        help=f"0 takes the likeliest token (default: {TEMPERATURE})",
    )
    add(
        "--top-k",
        type=int,
        default=TOP_K,
        help=f"choose among the likeliest k (default: {TOP_K})",
    )
    add("--seed", type=int, default=0, help="(default: 0)")
    add("--backend", help="where matmuls run (default: $JAX_NPU_BACKEND, else auto)")
    return parser


def check_flags(args: argparse.Namespace) -> None:
    if not args.prompt:
        raise InputError(
            f"--prompt must not be empty; without it, it is {END_OF_TEXT}."
        )
    if args.num_tokens < 1:
        raise InputError(f"--num-tokens must be at least 1, got {args.num_tokens}.")
    if not 0 <= args.temperature < float("inf"):
        raise InputError(f"--temperature must be at least 0, got {args.temperature}.")
    if args.seed not in SEEDS:
        raise InputError(f"--seed must be 0 to 2^63 - 1, got {args.seed}.")
    if not 1 <= args.top_k <= NUM_TOKENS:
        raise InputError(f"--top-k must be 1 to {NUM_TOKENS}, got {args.top_k}.")


def load_run(out: Path) -> tuple[GPT2Config, Params]:
    model = GPT2Config(**run.read_run(out)["model"])
    items = run.restore_checkpoint(out, {"params": shape_params(model)})
    return model, items["params"]


def continue_text(
    logits: LogitsFunction,
    params: Params,
    model: GPT2Config,
    prompt: str,
    num_tokens: int,
    temperature: float = TEMPERATURE,
    top_k: int = TOP_K,
    seed: int = 0,
) -> str:
    """The `num_tokens` tokens that the model adds to `prompt`, as text without it."""
    tokenizer = load_tokenizer()
    start = tokenizer.encode(prompt)
    tokens = jnp.array(start + [0] * num_tokens, jnp.int32)  # (N,)
    window = min(len(tokens), model.num_positions)
    choose = partial(choose_token, temperature=temperature, top_k=top_k)
    tokens = fill(
        logits, choose, window, len(start), params, tokens, jax.random.key(seed)
    )
    return tokenizer.decode(tokens[len(start) :].tolist())


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def fill(
    logits: LogitsFunction,
    choose: partial[Array],
    window: int,
    first: int,
    params: Params,
    tokens: Array,
    key: Array,
) -> Array:
    """`tokens` (N,), where each token from `first` on is chosen after those before it.

    Each step sees a window of fixed size, so that there is one compilation. The window
    may end after the token to choose, which does not matter to a causal model.
    """

    def step(i: Array, tokens: Array) -> Array:
        start = jnp.maximum(i - window, 0)
        seen = jax.lax.dynamic_slice_in_dim(tokens, start, window)  # (window,)
        scores = logits(params, seen)[i - start - 1]  # (V,)
        return tokens.at[i].set(choose(scores, jax.random.fold_in(key, i)))

    filled: Array = jax.lax.fori_loop(first, len(tokens), step, tokens)
    return filled


def choose_token(scores: Array, key: Array, temperature: float, top_k: int) -> Array:
    """Draws from softmax(scores / temperature) of the `top_k` highest scores (V,)."""
    scores = scores[:NUM_TOKENS]  # some vocabularies are padded beyond the tokenizer's
    best, tokens = jax.lax.top_k(scores, top_k)  # both (k,), the highest first
    if temperature == 0:
        return tokens[0]
    return tokens[jax.random.categorical(key, best / temperature)]


if __name__ == "__main__":
    sys.exit(main())
