"""`gpt2-flax plan`: memory, time and energy of a run, before anything is loaded.

gpt2-flax plan --model gpt2-large --batch-size 1 --seq-len 1024 --remat blocks
"""

import os
from dataclasses import replace

import jax_npu
from gpt2_flax.backend import resolve_backend
from gpt2_flax.errors import one_line_errors
from gpt2_flax.flags.config import TrainConfig, add_config_flags
from gpt2_flax.flags.model_choice import choose_model
from gpt2_flax.flags.parsing.help import add_help
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.flags.resume import from_json
from gpt2_flax.flags.text_choice import choose_tokenizer
from gpt2_flax.hf.hub import OWNERS
from gpt2_flax.layers.remat import REMAT
from gpt2_flax.planning.cost import costs_of_step
from gpt2_flax.planning.memory import memory_of_step
from gpt2_flax.planning.report import describe_plan
from gpt2_flax.training.trained import parts_of_flags


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    given = from_json(vars(make_parser().parse_args(argv)))
    backend = given["backend"] = resolve_backend(given.get("backend"))
    config = without_download(TrainConfig(**given))
    num_tokens = 1 if config.weights else choose_tokenizer(config).num_tokens
    model, parts = choose_model(config, num_tokens), parts_of_flags(config)
    with jax_npu.backend(backend):
        memory = memory_of_step(config, model, parts)
        others = {
            remat: memory_of_step(replace(config, remat=remat), model, parts)
            for remat in REMAT
            if remat != config.remat
        }
        costs = costs_of_step(config, model, parts)
    print(describe_plan(config, memory, others, costs, present_bytes()))
    return 0


def make_parser() -> Parser:
    parser = Parser(
        prog="gpt2-flax plan",
        description="Prints the memory, time and energy of a run with these flags of "
        "gpt2-flax train. It reads no data, and of weights only names and shapes.",
        add_help=False,
    )
    add_help(parser)
    add_config_flags(parser)
    return parser


def without_download(config: TrainConfig) -> TrainConfig:
    """The published model of the same shape for a published model's name."""
    names = {full: short for short, full in OWNERS.items()} | {n: n for n in OWNERS}
    if config.weights in names and not os.path.exists(config.weights):
        return replace(config, weights=None, model=names[config.weights])
    return config


def present_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
