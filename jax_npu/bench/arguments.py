"""Checks of the benchmarks' arguments."""

import argparse

import jax_npu

STOCK = "xla"  # what a backend is measured against


def require_at_least_1(arguments: argparse.Namespace, *names: str) -> None:
    """Requires that each of these flags has a number of 1 or more.

    Raises:
      ValueError: if one does not.
    """
    for name in names:
        if (given := getattr(arguments, name)) < 1:
            raise ValueError(f"--{name} must be at least 1, got {given}")


def backend_against_stock(name: str | None) -> str:
    """The backend that is measured.

    Raises:
      ValueError: if it is `xla`, or cannot run here.
    """
    backend = jax_npu.resolve_backend(name)
    if backend == STOCK:
        raise ValueError(f"--backend must be another than {STOCK}, which it is against")
    return backend
