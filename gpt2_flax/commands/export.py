"""`gpt2-flax export`: writes a run, or other weights, for other programs.

gpt2-flax export --out run --to gpt2-docs
gpt2-flax export --out run --to gpt2-docs.gguf --format gguf
gpt2-flax export --out run --to adapter --format peft
"""

from pathlib import Path
from typing import Any

from gpt2_flax import run
from gpt2_flax.adapters.peft import save_adapter
from gpt2_flax.adapters.saved import restore_params
from gpt2_flax.checkpoint_choice import HELP, LATEST, chosen_step
from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.exporting.folder import save_folder
from gpt2_flax.exporting.gguf_file import save_gguf
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.hf.hub import folder_of
from gpt2_flax.loading import load
from gpt2_flax.training.disk import DiskFullError, disk_errors

DEFAULT_RUN = Path("run")
FORMATS = {
    "hf": "a folder for transformers (weights, tokenizer, settings, model card)",
    "peft": "a folder for PEFT with the adapter alone, of a run that trained one",
    "gguf": "a file for llama.cpp",
}


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    if args.out and args.weights:
        raise InputError("--out and --weights both name a model; give one of them.")
    to: Path = args.to
    if args.format == "gguf":
        if to.exists():
            raise InputError(f"--to must be a new file, and {to} exists.")
    elif to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"--to must be a new or empty folder, and {to} is not.")
    if args.weights:
        source = folder_of(args.weights)
        record = run.find_run(source)
    else:
        source = args.out or DEFAULT_RUN
        record = run.read_run(source)
    try:
        with disk_errors(to):
            write(source, record, args.checkpoint, args.format, to)
    except DiskFullError as e:
        raise InputError(
            f"{e}; delete what it holds, and make space or give another --to."
        ) from None
    return 0


def write(
    source: Path, record: dict[str, Any] | None, checkpoint: str, kind: str, to: Path
) -> None:
    at = f"{to}: "
    if record:
        step = chosen_step(source, checkpoint)
        at += f"step {step} of {record['train']['steps']}, "
    if kind == "peft":
        export_adapter(source, checkpoint, to)
        print(f"{at}an adapter, for peft.PeftModel.from_pretrained")
        return
    model = load(source, checkpoint)
    if kind == "gguf":
        save_gguf(model, to)
        print(f"{at}for llama.cpp and others, as in llama-cli -m {to}")
    else:
        settings = run.source_settings(source) if record else source
        save_folder(model, to, settings, record)
        print(f"{at}for AutoModelForCausalLM and AutoTokenizer .from_pretrained")


def export_adapter(out: Path, checkpoint: str, to: Path) -> None:
    record = run.read_run(out)
    _, parts, params = restore_params(out, checkpoint)
    if parts.adapter is None:
        raise InputError(
            f"the run in {out} has no adapter: it trained the weights themselves. "
            "Export them with --format hf."
        )
    save_adapter(to, parts.adapter, params, record["train"].get("weights"))


def make_parser() -> Parser:
    parser = Parser(
        prog="gpt2-flax export", description="Writes a model for other programs."
    )
    add = parser.add_argument
    add("--out", type=Path, help=f"run folder (default: {DEFAULT_RUN})")
    add("--weights", help="a folder or Hub name of other weights, instead of a run")
    add("--checkpoint", default=LATEST, help=HELP)
    add("--to", type=Path, required=True, help="a new or empty folder, or a new file")
    add(
        "--format",
        choices=FORMATS,
        default="hf",
        help="; ".join(f"{name}: {what}" for name, what in FORMATS.items()),
    )
    return parser
