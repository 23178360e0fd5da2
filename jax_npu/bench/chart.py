"""Bar charts of the benchmarks; matplotlib is loaded only for one."""

import io
from pathlib import Path
from typing import Any

from jax_npu.files import write_file

# Distinct also in grey and to colour-blind eyes (Okabe and Ito); the first is ours.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


def require_matplotlib() -> None:
    """
    Raises:
      ValueError: without it, so that nothing is measured in vain.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError(
            "--chart needs matplotlib, which is not installed: "
            "pip install 'jax-npu[bench]'"
        ) from None


def new_figure(width: float, height: float) -> Any:
    """A matplotlib figure, in inches, that knows no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare_axes(axes: Any) -> None:
    """Horizontal bars need no frame, only the lines to read them by."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.invert_yaxis()  # the first on top


def write_chart(path: Path, figure: Any) -> None:
    image = io.BytesIO()
    figure.savefig(image, dpi=150, format="png")
    write_file(path, image.getvalue())
