"""Backends on the command line: their names, and the message on wrong results."""

import jax_npu
from gpt2_flax.errors import InputError
from jax_npu.runtime import paced


def resolve_backend(name: str | None) -> str:
    """The backend of that name; without one, $JAX_NPU_BACKEND's, or what `auto` finds.

    Raises:
      InputError: there is no such backend, or it is not available here.
    """
    try:
        return jax_npu.resolve_backend(name)
    except ValueError as e:
        raise InputError(str(e)) from None


def require_results(what: str, backend: str | None = None) -> None:
    """Requires that results are no stand-ins; see `jax_npu.runtime.paced`.

    Raises:
      InputError: the virtual NPU is paced, and computes nothing.
    """
    try:
        paced.require_results(what, backend)
    except ValueError as e:
        raise InputError(f"{e}.") from None


def describe_npu_mistakes() -> str:
    """One line on the wrong results found in this process; "" if there were none."""
    events = jax_npu.npu_events()
    if not (wrong := events["mismatches"]):
        return ""
    products = f"the host computed {events['host_products']:,} products instead"
    problems = [one.problem for one in jax_npu.npu_health().values() if one.problem]
    if problems:
        return f"{wrong} results of the NPU were wrong, and {products}: {problems[0]}."
    return (
        f"{wrong} results of the NPU were wrong, and {products}. After each, every "
        "result was checked until 256 in a row were right; before it, up to 31 were "
        "not (JAX_NPU_CHECK=always checks all). For the cause, run 'jax-npu doctor'."
    )
