"""GPT-2 in Flax NNX, with its matmuls on whichever backend jax_npu offers.

    model = gpt2_flax.load("openai-community/gpt2")
    print(gpt2_flax.generate(model, "The lambda expression")[0])
    print(gpt2_flax.evaluate(model, "A text.").perplexity)

Names are imported when they are first used: the command line begins here, too.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    from gpt2_flax.errors import InputError
    from gpt2_flax.evaluation.evaluate import Evaluation, Score, evaluate
    from gpt2_flax.generation.generate import generate
    from gpt2_flax.library import train
    from gpt2_flax.loading import GPT2, load

__all__ = [
    "GPT2",
    "Evaluation",
    "InputError",
    "Score",
    "evaluate",
    "generate",
    "load",
    "train",
]

_HOMES = {
    "GPT2": "loading",
    "Evaluation": "evaluation.evaluate",
    "InputError": "errors",
    "Score": "evaluation.evaluate",
    "evaluate": "evaluation.evaluate",
    "generate": "generation.generate",
    "load": "loading",
    "train": "library",
}


def __getattr__(name: str) -> _Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
