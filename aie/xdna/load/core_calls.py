"""The kernels that cores call, as `type` and `kernel` lines of a configuration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import IndexType, IntegerType, MemRefType
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.ir import Attribute

from xdna.check.placed_design import element_bytes

SCALAR = -1


@dataclass
class Kernels:
    """The kernels that some core calls, in the order of their first calls."""

    declared: dict[str, FuncOp]
    # By name: for each argument the index of its type, or SCALAR.
    called: dict[str, list[int]] = field(default_factory=dict)
    types: dict[MemRefType, int] = field(default_factory=dict)  # index by type

    def index(self, call: CallOp) -> int:
        """The index of the kernel that is called.

        Raises:
          ValueError: if it is not declared, or takes or returns what a virtual core
            cannot pass.
        """
        name = call.callee.root_reference.data
        function = self.declared.get(name)
        if function is None or not function.is_declaration:
            raise ValueError(f"of {name}, which no func.func private declares")
        types = list(function.function_type.inputs)
        if function.function_type.outputs.data or call.results:
            raise ValueError(f"of {name}, which must not have results")
        if len(name.split()) != 1:
            raise ValueError(f"of {name!r}: a kernel's name must be one word")
        if name not in self.called:
            self.called[name] = [self._type(name, type) for type in types]
        return list(self.called).index(name)

    def lines(self) -> Iterator[Sequence[object]]:
        for type in self.types:
            shape = type.get_shape()
            yield "type", type.element_type, len(shape), *shape
        for name, arguments in self.called.items():
            yield "kernel", name, len(arguments), *arguments

    def _type(self, name: str, type: Attribute) -> int:
        if isinstance(type, IndexType | IntegerType):
            return SCALAR
        if not (
            isinstance(type, MemRefType)
            and type.has_static_shape()
            and element_bytes(type)
        ):
            what = "arguments must be integers or memrefs of static shape and bytes"
            raise ValueError(f"of {name} with {type}: {what}")
        return self.types.setdefault(type, len(self.types))
