"""The command line's backend names, with its errors."""

import jax_npu
from gpt2_flax.errors import InputError


def resolve_backend(name: str | None) -> str:
    """Without a name, $JAX_NPU_BACKEND's or what `auto` finds."""
    try:
        return jax_npu.resolve_backend(name)
    except ValueError as e:
        raise InputError(str(e)) from None
