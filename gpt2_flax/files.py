"""Files of JSON: read from other programs, written for them and for ours."""

import json
import os
from pathlib import Path
from typing import Any

from gpt2_flax.errors import InputError
from jax_npu.files import write_atomically


def read_object(path: Path) -> dict[str, Any]:
    require_file(path)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path} is not JSON: {e}.") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path} should be a JSON object, and is not.")
    return fields


def write_json(
    path: Path, content: Any, indent: int = 2, ascii_only: bool = True
) -> None:
    text = json.dumps(content, ensure_ascii=ascii_only, indent=indent)
    write_atomically(path, lambda partial: partial.write_text(text, "utf-8"))


def require_file(path: Path) -> None:
    if not path.is_file():
        what = "is not a file" if os.path.lexists(path) else "is not there"
        raise InputError(f"{path} {what}; download it again.")
