"""The files that show a run: its trace, its page, and the array's state at its end."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import ModuleOp

from jax_npu.commands.input_output import write_array
from jax_npu.files import require_folder_of, write_file
from xdna.check.placed_design import name_of
from xdna.dialect.aie import BufferOp
from xdna.simulator import Report, VirtualNpu
from xdna.simulator.page import page, run_of_page, run_record

# Element types of MLIR that NumPy has; others are dumped as bytes.
DTYPES: Mapping[str, Any] = {
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass
class RunFiles:
    """Which files to write, and what they say about the run beside its report."""

    trace: Path | None
    page: Path | None
    dump: Path | None
    against: dict[str, Any] | None  # the record of an earlier page
    title: str
    configuration: str
    module: ModuleOp
    argument_names: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, arguments: argparse.Namespace, **described: Any) -> "RunFiles":
        """The files that the flags of `simulate` name.

        Raises:
          ValueError: for an `--against` without a `--report`, or that is no page.
          FileNotFoundError: if a folder does not exist.
        """
        if arguments.against and not arguments.report:
            raise ValueError("--against needs --report, the page that shows both runs")
        require_folder_of(arguments.trace, arguments.report, arguments.dump)
        against = run_of_page(arguments.against) if arguments.against else None
        return cls(
            arguments.trace, arguments.report, arguments.dump, against, **described
        )

    @property
    def need_trace(self) -> bool:
        return self.trace is not None or self.page is not None

    def write(
        self,
        npu: VirtualNpu,
        report: Report,
        buffers: Sequence[np.ndarray],
        trap: str = "",
    ) -> None:
        """Writes all of them; `trap` is why the run did not reach its end."""
        text = npu.trace() if self.need_trace else ""
        if self.trace is not None:
            write_file(self.trace, text.encode())
        if self.page is not None:
            notes = {**self.notes, **({"ended early": trap} if trap else {})}
            record = run_record(
                self.title,
                report,
                text,
                self.configuration,
                self.argument_names,
                notes,
            )
            runs = [self.against, record] if self.against else [record]
            write_file(self.page, page(runs).encode())
        if self.dump is not None:
            self._dump(npu, buffers, self.dump)

    def _dump(
        self, npu: VirtualNpu, buffers: Sequence[np.ndarray], folder: Path
    ) -> None:
        """`state.json`, and a file for each buffer of the tiles and of the stream."""
        folder.mkdir(exist_ok=True)
        state = npu.state()
        write_file(folder / "state.json", json.dumps(state, indent=1).encode())
        for index, array in enumerate(buffers):
            write_array(folder / f"argument_{index}.npy", array)
        types = {
            name_of(op): op.buffer.type
            for op in self.module.walk()
            if isinstance(op, BufferOp)
        }
        for buffer in state["buffers"]:
            begin, tile = buffer["address"], (buffer["column"], buffer["row"])
            data = npu.memory(*tile)[begin : begin + buffer["bytes"]]
            kind = types.get(buffer["name"])
            if kind is not None and str(kind.element_type) in DTYPES:
                dtype = np.dtype(DTYPES[str(kind.element_type)])
                data = data.view(dtype).reshape(kind.get_shape())
            name = f"{buffer['name']}.{tile[0]}.{tile[1]}.npy".replace("/", "_")
            write_array(folder / name, data)
