"""A placed design as its compiler writes it, read for the virtual NPU.

`xdna.dialect.text` reads the designs of this package whole; this module reads what the
array needs of any design.
"""

from xdsl.dialects.builtin import ModuleOp

from xdna.dialect.text import parse_module
from xdna.load.unread_text import operations, with_one_device, without_unread

LOWERED = (
    "the file that aiecc lowers first: input_with_addresses.mlir in its --tmpdir "
    "(mlir-aie 1.3), or what --get-input-with-addresses writes (1.4)"
)
ROUTED = "the design is routed, its flows are gone"
NOT_LOWERED = "the design is not lowered yet"
# Operations of a design at another stage of its compiler.
OTHER_STAGES = {
    **dict.fromkeys(("aie.switchbox", "aie.shim_mux", "aie.shim_switchbox"), ROUTED),
    **dict.fromkeys(
        (
            "aie.objectfifo",
            "aie.objectfifo.link",
            "aie.objectfifo.register_external_buffers",
            "aie.cascade_flow",
            "aie.logical_tile",
        ),
        NOT_LOWERED,
    ),
    "llvm.func": "the design's cores are lowered to LLVM",
}
REFUSED = {name: f"{stage}; give {LOWERED}" for name, stage in OTHER_STAGES.items()} | {
    "aie.external_buffer": (
        "an NPU's shims reach only arguments of a run; make it one of the runtime "
        "sequence, whose tasks move it"
    )
}


def read_design(
    text: str, name: str = "<input>", design: str | None = None
) -> ModuleOp:
    """The module of one `aie.device`, without its runtime sequences.

    Args:
      name: of the file, for messages.
      design: the symbol of the device; by default the only one that has tiles.

    Raises:
      ValueError: one line, if the text is malformed, is of another stage of the
        compiler or of another kind of device, or has no such device.
    """
    text = without_unread(with_one_device(text, design, name))
    refuse_other_stages(text, name)
    return parse_module(text, name)


def refuse_other_stages(text: str, name: str = "<input>") -> None:
    """Raises ValueError at the first operation of another stage of the compiler."""
    for span in operations(text, REFUSED):
        line = text.count("\n", 0, span.start) + 1
        raise ValueError(f"{name}:{line}: {span.name}: {REFUSED[span.name]}")
