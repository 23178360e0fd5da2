"""Settings of a Hugging Face folder that an export of its model gives back."""

import shutil
from functools import partial
from pathlib import Path

from jax_npu.files import write_atomically

CONFIG, GENERATION = "config.json", "generation_config.json"
SETTINGS = (CONFIG, GENERATION)


def keep_settings(source: Path, to: Path) -> None:
    """Copies SETTINGS of the folder `source` to `to`, those that there are."""
    to.mkdir(parents=True, exist_ok=True)
    for name in SETTINGS:
        if (path := source / name).is_file():
            write_atomically(to / name, partial(shutil.copyfile, path))
