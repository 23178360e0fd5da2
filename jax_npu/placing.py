"""`placement`: where a user wants products to run."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack

from jax_npu.lowering.offload_choice import Choice, current_choice
from jax_npu.lowering.placement.forced import as_text
from jax_npu.lowering.settings import forced_sides

Key = str | tuple[int, int, int] | tuple[int, int, int, int]
ALL_ON_THE_NPU: Mapping[Key, str] = {"": "npu"}  # where the NPU itself is the subject


def placement(sides: Mapping[Key, str]) -> AbstractContextManager[None]:
    """Context manager: products traced inside run on the side that is asked for.

        with jax_npu.placement({(256, 768, 768): "host", "loss": "npu"}):
            train_step(state)

    It is for backends with an NPU, `npu` and `sim`, and is stronger than
    `$JAX_NPU_PLACE`, which decides about all other products. `host` is the kernel of
    backend `host`. `jax_npu.explain` shows where each product runs.

    Args:
      sides: `"npu"` or `"host"` for sizes, (m, k, n) of any batch or (batch, m, k, n),
        and for name scopes, such as `"loss"` or `"layer_0/attention"`; the scope `""`
        fits all. The first that fits a product decides. An inner `placement` replaces
        an outer one.

    Raises:
      ValueError: at once, for other keys or sides.
    """
    return _placing(as_text(sides))


@contextlib.contextmanager
def _placing(text: str) -> Iterator[None]:
    with forced_sides(text), ExitStack() as stack:
        choice = current_choice()
        if choice is not None:  # products of lax are offloaded here
            choice = Choice.now(choice.backend, choice.precision)
            stack.enter_context(choice.mark())
        yield
