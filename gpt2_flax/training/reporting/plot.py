"""Draws `loss.png` from the metrics of a run."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jax_npu.files import write_atomically


def plot_loss(path: Path, rows: list[dict[str, float]], entropy: float) -> None:
    """Draws training and validation loss over steps, and the text's unigram entropy."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for key, label, color, marker in [
        ("loss", "training", "#9db8d9", ""),
        ("val_loss", "validation", "#b3321f", "o"),
    ]:
        found = [row for row in rows if key in row]
        axes.plot(
            [row["step"] for row in found],
            [row[key] for row in found],
            color=color,
            marker=marker,
            label=label,
        )
    axes.axhline(
        entropy, color="black", linestyle="--", label=f"unigram entropy {entropy:.2f}"
    )
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    write_atomically(
        path, lambda partial: figure.savefig(partial, dpi=120, format="png")
    )
