"""The search for a compiled library in the installation."""

import ctypes
import os
from importlib.util import find_spec
from pathlib import Path

LIBRARY_DIR_VARIABLE = "JAX_NPU_LIBRARY_DIR"


def find_library(name: str, *packages: str) -> Path:
    """The path of a shared object that was compiled with one of `packages`.

    `$JAX_NPU_LIBRARY_DIR` names a folder to take every library from instead, such as a
    build with sanitizers.

    Raises:
      OSError: if it was not built.
    """
    # An editable install keeps what was compiled apart from the sources.
    other = os.environ.get(LIBRARY_DIR_VARIABLE)
    for folder in [other] if other else _folders(packages):
        if (path := Path(folder) / name).exists():
            return path
    where = f" into {other}" if other else ""
    raise OSError(f"{name} was not built{where}; install the project with pip")


def loaded_library(name: str, *packages: str) -> ctypes.CDLL | None:
    """The same library if this process has loaded it already; it is not loaded here."""
    try:
        path = find_library(name, *packages)
        return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None


def _folders(packages: tuple[str, ...]) -> list[str]:
    specs = (find_spec(package) for package in packages)
    return [f for spec in specs if spec for f in spec.submodule_search_locations or ()]
