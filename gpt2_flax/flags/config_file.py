"""A file of flags, in TOML: `--config FILE`, or one of `presets/` by its name.

The command line's flags win.

Keys are the flags' names, with hyphens or underscores; tables may group them at will.
"""

import difflib
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.field import flag_name

PRESETS = Path(__file__).parent.parent / "presets"
FIELDS = {f.name: f for f in fields(TrainConfig)}


def read_config_file(path: Path) -> dict[str, Any]:
    """The flags in the file, or in the preset of that name, as argparse converts them.

    Raises:
      InputError: it is no TOML, or has an unknown flag or a value of another type.
    """
    path = preset_or_file(path)
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise InputError(f"--config needs a TOML file; {path}: {e}.") from None
    return {
        name: converted(path, name, value) for name, value in flat(path, table).items()
    }


def preset_or_file(path: Path) -> Path:
    if path.exists() or path.parent != Path():
        return path
    preset = PRESETS / f"{path.name}.toml"
    return preset if preset.exists() else path


def flat(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """All keys of the table and of the tables in it, with underscores."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        new = flat(path, value) if isinstance(value, dict) else {name: value}
        if twice := found.keys() & new.keys():
            raise InputError(f"{path}: {min(twice)} is given twice; drop one.")
        found |= new
    return found


def converted(path: Path, name: str, value: Any) -> Any:
    if name not in FIELDS:
        near = difflib.get_close_matches(name, FIELDS, 1)
        hint = f"did you mean {near[0]}?" if near else "see gpt2-flax train --help."
        raise InputError(f"{path}: there is no flag {flag_name(name)}; {hint}")
    kind, default = FIELDS[name].metadata["kind"], FIELDS[name].default
    many = default is not MISSING and isinstance(default, tuple)
    values = value if isinstance(value, list) and many else [value]
    for one in values:
        # TOML's 1 is a rate, too; its true is no 1, though Python's is.
        fits = (int, float) if kind is float else kind
        if not isinstance(one, fits) or isinstance(one, bool) is not (kind is bool):
            raise InputError(
                f"{path}: {name} must be {describe(kind)}, got {one!r}; change it."
            )
    made = tuple(kind(one) for one in values)
    return made if many else made[0]


def describe(kind: type) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(kind, "a string")


def as_toml(config: TrainConfig) -> str:
    """The configuration as such a file; flags without a value are left out."""
    lines = []
    for name in FIELDS:
        value = getattr(config, name)
        if value is not None:
            lines.append(f"{name.replace('_', '-')} = {toml_value(value)}\n")
    return "".join(lines)


def toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)
