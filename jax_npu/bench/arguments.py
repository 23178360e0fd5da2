"""Checks of the benchmarks' arguments."""

import argparse
import os

import jax_npu
from jax_npu.runtime.environment import SIM_PACED
from jax_npu.runtime.target import PACED, shown_name

STOCK = "xla"  # what a backend is measured against


def require_at_least_1(arguments: argparse.Namespace, *names: str) -> None:
    """Requires that each of these flags has a number of 1 or more.

    Raises:
      ValueError: if one does not.
    """
    for name in names:
        if (given := getattr(arguments, name)) < 1:
            raise ValueError(f"--{name} must be at least 1, got {given}")


def pace_if_asked(*names: str | None) -> None:
    """Paces the virtual NPU of this process if one of the names is `sim-paced`."""
    if PACED in names:
        os.environ[SIM_PACED.name] = "1"


def contender_name(name: str | None) -> str:
    """The name in tables of a backend, which must run here: `auto` is resolved.

    Raises:
      ValueError: if it does not.
    """
    return shown_name(jax_npu.resolve_backend(backend_of(name)))


def backend_of(name: str | None) -> str | None:
    """The backend that has that name in tables."""
    return "sim" if name == PACED else name


def backend_against_stock(name: str | None) -> str:
    """The backend that is measured, by its name in tables.

    Raises:
      ValueError: if it is `xla`, or cannot run here.
    """
    pace_if_asked(name)
    backend = contender_name(name)
    if backend == STOCK:
        raise ValueError(f"--backend must be another than {STOCK}, which it is against")
    return backend
