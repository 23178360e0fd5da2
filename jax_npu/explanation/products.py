"""What `explain` returns: a program's products, and their table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jax_npu.lowering.placement.side import Predicted

if TYPE_CHECKING:  # takes as long to import as all of jax_npu, and few programs print
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table


@dataclass(frozen=True)
class Product:
    """A batch of products (m, k) x (k, n) and where it runs.

    A convolution counts as the products that it is made of. `reason` says why a product
    is left to lax, and is "" for the others. `predicted` is there for a product of a
    backend with an NPU, which may be placed on the host: then `backend` is that.
    """

    batch: int
    m: int
    k: int
    n: int
    lhs: str
    rhs: str
    out: str
    backend: str
    reason: str = ""
    predicted: Predicted | None = None

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.k * self.n


@dataclass(frozen=True)
class Row(Product):
    """All calls of one product; `share` is of the FLOPs of all products."""

    calls: int = 1
    share: float = 1.0


@dataclass(frozen=True)
class Explanation:
    """What `explain` found, largest share first; prints as a table.

    Attributes:
      seconds: predicted for all products of a backend with an NPU together, as they are
        placed, and with all of them on one side: by `"placed"`, `"npu"`, `"host"`. What
        runs between products takes no time there. {} without such products.
    """

    rows: tuple[Row, ...]
    seconds: dict[str, float]

    @property
    def flops(self) -> int:
        """FLOPs of all products."""
        return sum(row.flops * row.calls for row in self.rows)

    @property
    def offloaded(self) -> float:
        """The share of the FLOPs of all products that is not left to lax."""
        return sum(row.share for row in self.rows if row.backend != "xla")

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "RenderResult":
        """The fullest table whose rows take one line each at the width there is."""
        from rich.measure import Measurement
        from rich.text import Text

        title = "Products of one call: none"
        if self.rows:
            title = f"Products of one call, {self.offloaded:.1%} of FLOPs offloaded"
        yield Text(title, style="table.title")  # not the table's, which can be narrow
        if not self.rows:
            return
        whole = options.update(width=UNLIMITED)
        for shown in _layouts():
            table = _table(self, shown)
            if Measurement.get(console, whole, table).maximum <= options.max_width:
                break
        yield table

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=PRINTED_WIDTH, color_system=None)
        with console.capture() as shown:
            console.print(self)
        return "\n".join(line.rstrip() for line in shown.get().splitlines())


PRINTED_WIDTH = 80  # columns of a table as text
UNLIMITED = 10_000  # columns of a terminal, to learn how wide a table would be
REASONS, SIZES_OF_WORK, SHARE, TYPES = "reasons", "sizes of work", "share", "types"


def _layouts() -> Iterator[frozenset[str]]:
    """What a table shows besides sizes, calls and times, from the widest on."""
    shown = [TYPES, SHARE, SIZES_OF_WORK, REASONS]
    while shown:
        yield frozenset(shown)
        shown.pop()
    yield frozenset()


def _table(explanation: Explanation, shown: frozenset[str]) -> "Table":
    """Without `REASONS`, a letter stands for a reason, and a note says which."""
    from rich import box
    from rich.table import Table

    rows = explanation.rows
    table = Table(
        caption_justify="left",
        box=box.SIMPLE,
        padding=0,
        pad_edge=False,
    )
    types = [_types(row) for row in rows]
    reasons = sorted({row.reason for row in rows if row.reason})
    letters = {reason: chr(ord("a") + i) for i, reason in enumerate(reasons)}
    is_predicted = any(row.predicted for row in rows)
    columns = [("m x k x n", "right", [_sizes(row) for row in rows])]
    columns.append(("calls", "right", [f"{row.calls:,}" for row in rows]))
    if not is_predicted and SIZES_OF_WORK in shown:
        work = [f"{row.flops * row.calls / 1e9:.3f}" for row in rows]
        columns.append(("GFLOP", "right", work))
    if SHARE in shown:
        columns.append(("share", "right", [f"{row.share:.1%}" for row in rows]))
    if (varies := len(set(types)) > 1) and TYPES in shown:
        columns.append(("types", "left", types))
    backends = [row.backend for row in rows]
    if len(reasons) > 1 and REASONS not in shown:
        marks = [letters.get(row.reason, "") for row in rows]
        backends = [" ".join(filter(None, pair)) for pair in zip(backends, marks)]
    columns.append(("on", "left", backends))
    if is_predicted:
        numbers = zip(*map(_numbers, rows))
        names = ("npu ms", "host ms", "pad", "DDR MB")
        for name, values in list(zip(names, numbers))[
            : 4 if SIZES_OF_WORK in shown else 2
        ]:
            columns.append((name, "right", list(values)))
    if len(reasons) > 1 and REASONS in shown:
        columns.append(("why xla", "left", [row.reason for row in rows]))
    for name, justify, _ in columns:
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for cells in zip(*(values for _, _, values in columns)):
        table.add_row(*cells)
    notes = []  # what all rows share leaves room for numbers
    if rows and not varies:
        notes.append(f"types: {types[0].split(' -> ')[0]} -> {_short(rows[0].out)}")
    if len(reasons) == 1:
        notes.append(f"on xla: {reasons[0]}")
    elif REASONS not in shown:
        notes += [f"xla {letter}: {reason}" for reason, letter in letters.items()]
    if explanation.seconds:
        notes.append(_sum_of(explanation.seconds))
    table.caption = "\n".join(notes) or None
    return table


def _sizes(row: Row) -> str:
    sizes = (row.m, row.k, row.n)
    batch = f"{row.batch:,} x " if row.batch > 1 else ""
    return batch + " x ".join(f"{size:,}" for size in sizes)


def _types(row: Row) -> str:
    """Types of the operands, and of a result that is not f32."""
    operands = f"{_short(row.lhs)} x {_short(row.rhs)}"
    return operands if row.out == "float32" else f"{operands} -> {_short(row.out)}"


def _short(dtype: str) -> str:
    return dtype.replace("bfloat", "bf").replace("float", "f")


def _numbers(row: Row) -> list[str]:
    """Predicted for all calls of a row, one after the other."""
    if row.predicted is None:
        return ["", "", "", ""]
    one = row.predicted
    if one.npu_seconds is None:
        return ["too large", f"{row.calls * one.host_seconds * 1e3:.2f}", "", ""]
    return [
        f"{row.calls * one.npu_seconds * 1e3:.2f}",
        f"{row.calls * one.host_seconds * 1e3:.2f}",
        f"{one.padding:.2f}",
        f"{row.calls * one.ddr_bytes / 1e6:,.0f}",
    ]


def _sum_of(seconds: dict[str, float]) -> str:
    placed, npu, host = (f"{seconds[x] * 1e3:.1f}" for x in ("placed", "npu", "host"))
    return (
        f"predicted, overlapping: {placed} ms as placed, {npu} on the NPU alone, "
        f"{host} on the host"
    )
