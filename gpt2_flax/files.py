"""Files that other programs wrote: that they are there, and hold JSON."""

import json
import os
from pathlib import Path
from typing import Any

from gpt2_flax.errors import InputError


def read_object(path: Path) -> dict[str, Any]:
    require_file(path)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path} is not JSON: {e}.") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path} should be a JSON object, and is not.")
    return fields


def require_file(path: Path) -> None:
    if not path.is_file():
        what = "is not a file" if os.path.lexists(path) else "is not there"
        raise InputError(f"{path} {what}; download it again.")
