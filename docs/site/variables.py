"""The page of environment variables, from the table that the code reads."""

from jax_npu.runtime.environment import VARIABLES, Variable

HEAD = """# Environment variables

All of them are in one table of the code (`jax_npu/runtime/environment.py`), from which
this page is made. Unset and empty are the same. Products take what is set when jax
traces or lowers them. Beside these, `GPT2_FLAX_CACHE` and `XDG_CACHE_HOME` name
the folder for caches, `~/.cache` by default; those of Hugging Face's Hub hold for its
downloads.
"""


def page() -> str:
    return "\n\n".join([HEAD, *map(section, VARIABLES)]) + "\n"


def section(variable: Variable) -> str:
    meaning = variable.meaning.replace(
        "see docs/forecast.md",
        "see [Is an NPU worth it?](../forecast.md#where-products-run)",
    )
    meaning = meaning.replace(
        "see aie/sim/README.md", "see [the simulator](../simulator.md#faults)"
    )
    rows = [
        f"## `{variable.name}`",
        f"{meaning[0].upper()}{meaning[1:]}.",
        f"Default: {variable.default}. Read by `{variable.reader}`.",
    ]
    if variable.choices:
        table = ["| value | meaning |", "|---|---|"]
        table += [f"| `{name}` | {text} |" for name, text in variable.choices.items()]
        rows.append("\n".join(table))
    return "\n\n".join(rows)
