"""The tables of `gpt2-flax eval`."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gpt2_flax.evaluation.choices import ChoiceScores
from gpt2_flax.evaluation.evaluate import Score

WIDTH = 100  # of a table that no terminal limits


def print_scores(rows: Sequence[tuple[str, Score]], title: str | None = None) -> None:
    """A row for each model or document."""
    columns = ("loss", "perplexity", "bits/byte", "tokens")
    cells = [
        (
            name,
            f"{score.loss:.4f}",
            f"{score.perplexity:,.2f}",
            f"{score.bits_per_byte:.4f}",
            f"{score.num_tokens:,}",
        )
        for name, score in rows
    ]
    print_table(title, columns, cells)


def print_choices(rows: Sequence[tuple[str, ChoiceScores]]) -> None:
    columns = ("right by sum", "by token", "by byte", "questions")
    cells = [
        (
            name,
            f"{scores.by_sum:.2%}",
            f"{scores.by_token:.2%}",
            f"{scores.by_byte:.2%}",
            f"{scores.num_questions:,}",
        )
        for name, scores in rows
    ]
    print_table(None, columns, cells)


def print_table(
    title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    Console(width=console.width if console.is_terminal else WIDTH).print(table)
