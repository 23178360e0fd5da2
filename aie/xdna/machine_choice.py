"""The machine that times are of: by name, from a user's file, or `$JAX_NPU_MACHINE`.

A user's own machine is a TOML file with the fields of `Machine`. Those that it leaves
out are those of the machine that it names as `base`:

    base = "7940hs"
    clock_hz = 1.6e9
    [cpu]
    cores = 6
"""

import functools
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from xdna.devices import device
from xdna.machines import DEFAULT_MACHINES, MACHINES, Cpu, Machine, Power

MACHINE_VARIABLE = "JAX_NPU_MACHINE"


def machine(name: str) -> Machine:
    """The machine with that name, or the one that a TOML file describes.

    Raises:
      ValueError: in one line, if there is neither, or the file is not a profile.
    """
    if name in MACHINES:
        return MACHINES[name]
    if not name.endswith(".toml"):
        raise ValueError(
            f"machine must be one of {', '.join(MACHINES)}, or a profile of your own "
            f"in a .toml file, got {name!r}"
        )
    return read_machine(Path(name))


def chosen_machine(device_name: str, name: str | None = None) -> Machine:
    """The machine that times of a device are of.

    Args:
      name: a machine or file; else `$JAX_NPU_MACHINE`, else the device's default.

    Raises:
      ValueError: if there is no such machine, or its NPU is of another generation.
    """
    generation = device(device_name).name.split("_")[0]
    origin, name = _named(name)
    if name is None:
        return MACHINES[DEFAULT_MACHINES[generation]]
    chosen = machine(name)
    if chosen.device != generation:
        of_device = [one.name for one in MACHINES.values() if one.device == generation]
        raise ValueError(
            f"{origin} {name} has an {chosen.device}, and times of an {generation} are "
            f"asked for; name a machine with one, such as {', '.join(of_device)}, or "
            f"device {chosen.device}"
        )
    return chosen


def machines_device() -> str | None:
    """The device of `$JAX_NPU_MACHINE`, or None where that is not set."""
    _, name = _named(None)
    return None if name is None else machine(name).device


def _named(name: str | None) -> tuple[str, str | None]:
    if name is not None:
        return "machine", name
    return f"{MACHINE_VARIABLE} =", os.environ.get(MACHINE_VARIABLE) or None


def read_machine(path: Path) -> Machine:
    """The profile in a TOML file.

    Raises:
      ValueError: in one line, if it cannot be read or a field is wrong.
    """
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise ValueError(f"machine {path} cannot be read: {error.strerror}") from None
    return _read_machine(path, stamp)


@functools.lru_cache(maxsize=16)
def _read_machine(path: Path, _stamp: int) -> Machine:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"machine {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOML and UTF-8
        raise ValueError(f"machine {path} is not TOML: {error}") from None
    name = values.pop("base", None)
    base = MACHINES.get(name) if isinstance(name, str) else None
    if base is None:
        raise ValueError(
            f"machine {path} must name a base, one of {', '.join(MACHINES)}, for the "
            f"fields that it leaves out; got {name!r}"
        )
    if values.get("device", base.device) != base.device:
        raise ValueError(
            f"machine {path} must have its base's device, {base.device}, got "
            f"{values['device']!r}"
        )
    try:
        given = _checked_sources(values.pop("sources", {}))
        changed = _changed(base, {"name": path.stem} | values, "")
    except ValueError as error:
        raise ValueError(f"machine {path}: {error}") from None
    assert isinstance(changed, Machine)
    sources = {**base.sources, **given}
    was, merged = _values(base), replace(base, sources=sources)
    for field, value in _values(changed).items():
        source = base.source(field)
        # A source of the base says nothing about another value.
        if source and value != was[field] and merged.source(field) == source:
            sources[field] = f"given in {path.name}"
    return replace(changed, sources=sources)


def _changed(base: Any, values: Mapping[str, Any], prefix: str) -> Any:
    """The dataclass `base` with some fields replaced; each must keep its type."""
    known = {one.name for one in fields(base)}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"no field {prefix}{name}; known are {', '.join(sorted(known))}"
            )
        old = getattr(base, name)
        if not isinstance(old, Cpu | Power):
            changes[name] = _checked(f"{prefix}{name}", old, value)
        elif isinstance(value, dict):
            changes[name] = _changed(old, value, f"{prefix}{name}.")
        else:
            raise ValueError(f"{name} must be a table, [{name}], got {value!r}")
    return replace(base, **changes)


def _checked(name: str, old: Any, value: Any) -> Any:
    if isinstance(old, str | bool):
        if type(value) is not type(old):
            raise ValueError(f"{name} must be like {_toml(old)}, got {value!r}")
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number above 0, got {value!r}")
    if isinstance(old, int) and value != int(value):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(value) if isinstance(old, int) else float(value)


def _checked_sources(sources: Any) -> dict[str, str]:
    if not isinstance(sources, dict):
        raise ValueError(f"sources must be a table, [sources], got {sources!r}")
    known = {*_values(next(iter(MACHINES.values()))), "cpu", "power"}
    for name, source in sources.items():
        if name not in known:
            raise ValueError(f"sources has {name!r}, which is no field of a machine")
        if not isinstance(source, str):
            raise ValueError(f"the source of {name} must be text, got {source!r}")
    return sources


def _values(one: Machine) -> dict[str, Any]:
    """What sources are of, by name; in a group it is one such as "cpu.cores"."""
    values = asdict(one)
    del values["name"], values["device"], values["sources"]
    for group in "cpu", "power":
        part = values.pop(group)
        values |= {f"{group}.{name}": value for name, value in part.items()}
    return values


def profile_text(one: Machine) -> str:
    """A machine as the TOML that `read_machine` takes; its own name is the file's."""
    default = DEFAULT_MACHINES[one.device]
    base = MACHINES.get(one.name, MACHINES[default])
    if base.device != one.device:  # a user's file may have any name
        base = MACHINES[default]
    lines = [f'base = "{base.name}"', f'device = "{one.device}"']
    tables: dict[str, dict[str, Any]] = {}
    for name, value in asdict(one).items():
        if isinstance(value, dict):
            tables[name] = value
        elif name not in ("name", "device"):
            lines.append(f"{name} = {_toml(value)}")
    for name, table in tables.items():
        known = {key: value for key, value in table.items() if value is not None}
        if known:
            lines += ["", f"[{name}]"]
        for key, value in known.items():
            quoted = f'"{key}"' if "." in key else key
            lines.append(f"{quoted} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are among those of TOML, which escapes one character more.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
