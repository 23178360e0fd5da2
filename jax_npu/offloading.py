"""Offloading: the products of a program whose author knew nothing of the NPU."""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

from jax.lax import PrecisionLike

from jax_npu.backend_choice import resolve_backend
from jax_npu.lowering import dot_general
from jax_npu.lowering.offload_choice import Choice, Process, scopes

Function = TypeVar("Function", bound=Callable[..., Any])
Precision = PrecisionLike | Mapping[str, PrecisionLike]


class Offload(AbstractContextManager[None]):
    """Offloads what is traced inside; as a decorator, what its function traces."""

    def __init__(self, backend: str | None, precision: Precision) -> None:
        if backend is not None:
            resolve_backend(backend)
        self._backend = backend
        self._scopes = scopes(precision)
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        dot_general.install()
        mark = Choice.now(resolve_backend(self._backend), self._scopes).mark()
        mark.__enter__()
        self._entered.append(mark)

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)

    def __call__(self, function: Function) -> Function:
        @functools.wraps(function)
        def offloaded(*args: Any, **kwargs: Any) -> Any:
            with Offload(self._backend, dict(self._scopes)):
                return function(*args, **kwargs)

        return offloaded  # type: ignore[return-value]


@overload
def offload(
    function: Function, *, backend: str | None = None, precision: Precision = None
) -> Function: ...
@overload
def offload(
    function: None = None, *, backend: str | None = None, precision: Precision = None
) -> Offload: ...
def offload(
    function: Any = None, *, backend: str | None = None, precision: Precision = None
) -> Any:
    """Sends every product of an unmodified program to a backend.

    `offload(f)` is `f` with its products offloaded, before or after `jit`, `grad` and
    `vmap`; `with offload():` does the same for what is traced inside, and
    `@offload(precision=...)` for a function. What is traced is stock jax: the products
    are replaced when jax lowers the program, for the CPU alone.

    Products that are not float32 or bfloat16, convolutions, and precisions that are no
    sum of bf16 products stay with lax. `jax_npu.explain` lists all of them.

    Args:
      function: any function that jax can trace, jitted or not.
      backend: as in `jax_npu.backend`, which decides where it is None.
      precision: for products that have none but jax's default: as lax takes it, or a
        mapping from name scopes (`"loss"`, `"layer_0/attention"`) to such, of which the
        first that fits decides; the scope `""` fits all. By default one product in
        bf16, which scientific programs do not bear: `"highest"` is as exact as f32.

    Raises:
      TypeError: for a `function` that cannot be called, such as a backend's name.
      ValueError: for a backend that cannot run here, or a name that is no precision.
    """
    if function is not None and not callable(function):
        raise TypeError(
            f"offload needs a function as its first argument, got {function!r}; "
            "a backend is named by keyword: offload(backend=...)."
        )
    manager = Offload(backend, precision)
    return manager if function is None else manager(function)


def offload_process() -> None:
    """Offloads every product of this process, on the backend that is chosen then.

    A backend that cannot run here is an error of the first product.
    """
    dot_general.install()
    Process.choice = lambda: Choice.now(resolve_backend())
