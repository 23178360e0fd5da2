"""`--pdi`: the designs that a stream loads by LOADPDI, by the ids of their PDIs."""

import re
from collections.abc import Sequence
from pathlib import Path

from jax_npu.commands.input_output import read_design
from xdna.load.configuration import configuration
from xdna.timing import Timing

LOADED = re.compile(r"(\d+)=(.+?)(?:@([\w$.-]+))?")
MAX_ID = 0xFFFF  # the field of LOADPDI


def loaded_designs(specs: Sequence[str], times: Timing) -> dict[int, str]:
    """The configurations of ID=FILE or ID=FILE@NAME, by ID.

    Raises:
      ValueError: in one line, if one has another form or an ID comes twice.
      OSError: if a file cannot be read.
    """
    designs: dict[int, str] = {}
    for spec in specs:
        match = LOADED.fullmatch(spec)
        if match is None or int(match[1]) > MAX_ID:
            raise ValueError(
                f"--pdi must be ID=FILE or ID=FILE@NAME with an ID up to {MAX_ID}, as "
                f"in 2=second.mlir, got {spec!r}"
            )
        pdi = int(match[1])
        if pdi in designs:
            raise ValueError(f"--pdi gives {pdi} twice; a PDI is one design")
        module = read_design(Path(match[2]), match[3])
        designs[pdi] = configuration(module, times=times)
    return designs
