"""Designs as MLIR text: `parse_module` reads it, `print_module` writes it.

Both know the pretty and the generic form, of mlir-aie 1.3 and of 1.4. Malformed text is
a one-line `ValueError`, whatever is wrong with it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp, UnregisteredOp
from xdsl.dialects.cf import Cf
from xdsl.dialects.func import Func, FuncOp
from xdsl.dialects.math import Math
from xdsl.dialects.scf import Scf
from xdsl.dialects.ub import UB
from xdsl.ir import Attribute, Block, BlockArgument, Operation, OpResult, SSAValue
from xdsl.irdl import IRDLOperation
from xdsl.parser import Parser
from xdsl.parser.generic_parser import ParserState
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRTokenKind

from xdna.dialect.aie import Aie, BufferOp, LockOp, TileOp
from xdna.dialect.aiex import Aiex
from xdna.dialect.foreign.elementwise import Arith
from xdna.dialect.foreign.index import Index
from xdna.dialect.foreign.memrefs import MemRef
from xdna.dialect.foreign.vectors import Vector
from xdna.dialect.locations import without_locations
from xdna.dialect.syntaxes import in_syntax, to_model
from xdna.releases import SYNTAXES

DIALECTS = (Builtin, Arith, Cf, Func, Math, MemRef, Scf, UB, Vector, Index, Aie, Aiex)
MAX_DEPTH = 40  # nested operations; the deepest design has eight


NOTHING = "expected a module, got nothing"


def parse_module(text: str, name: str = "<input>") -> ModuleOp:
    """Parse and verify a design, pretty or generic, in the syntax of either release.

    Raises:
      ValueError: one line, `name:line:column: reason`, if it is malformed.
    """
    context = Context(allow_unregistered=True)  # attributes; operations are refused
    for dialect in DIALECTS:
        context.load_dialect(dialect)
    parser = None
    try:
        parser = _Parser(context, without_locations(text), name)
        if parser.is_at_end:
            parser.raise_error(NOTHING)
        module = parser.parse_module()
        parser.verify(module)
    except ParseError as error:
        start = error.span.start
        # xDSL 0.74 leaves this placeholder in its message.
        what = error.msg.replace("{first_char}", text[start : start + 1])
        if not text[start:].strip() and what != NOTHING:
            what = f"the text ends too early: {what}"
        raise _error(text, name, start, what) from None
    except RecursionError:
        position = 0 if parser is None else parser.pos
        raise _error(text, name, position, "nested too deeply") from None
    # The parsers and verifiers of xDSL raise whatever Python does on text that they
    # do not foresee (AssertionError, IndexError, a bare Exception, ...).
    except Exception as error:
        position = 0 if parser is None else parser.position_of_error
        what = str(error) or type(error).__name__
        raise _error(text, name, position, what) from None
    return module


def print_module(
    module: ModuleOp, generic: bool = False, syntax: str = SYNTAXES[0]
) -> str:
    """The text of a module, as a release of mlir-aie takes it.

    Args:
      syntax: "1.3" or "1.4".
    """
    module = in_syntax(module, syntax)
    out = StringIO()
    printer = _Printer(stream=out, print_generic_format=generic)
    printer.print_op(module)
    return out.getvalue().removeprefix("builtin.") + "\n"


def _error(text: str, name: str, position: int, what: str) -> ValueError:
    before = text[:position]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return ValueError(f"{name}:{line}:{column}: {' '.join(what.split())}")


def _set_defaults(op: Operation) -> None:
    """Spell out what pretty text leaves out, as aie-opt's generic form does."""
    if isinstance(op, IRDLOperation) and op.name.startswith("aie."):
        for name, definition in op.get_irdl_definition().properties.items():
            if definition.default_value is not None:
                op.properties.setdefault(name, definition.default_value)


class _Lexer(MLIRLexer):
    """A lexer in linear time: xDSL 0.74's is exponential in an unterminated string."""

    _unescaped_characters_regex = re.compile(
        r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"'
    )


class _Parser(Parser):
    """A parser that knows where each operation began."""

    def __init__(self, context: Context, text: str, name: str):
        self.starts: dict[Operation, int] = {}
        self.open: list[int] = []  # starts of the operations that are being parsed
        self.verifying: Operation | None = None
        super().__init__(context, "", name)
        self._parser_state = ParserState(_Lexer(Input(text, name)))

    @property
    def is_at_end(self) -> bool:
        return self._current_token.kind is MLIRTokenKind.EOF

    def parse_operation(self) -> Operation:
        start = self._current_token.span.start
        self.open.append(start)
        if len(self.open) > MAX_DEPTH:
            self.raise_error(f"operations are nested more than {MAX_DEPTH} deep")
        if self._current_token.text.strip('"') == FuncOp.name:
            # A function sees no values around it, and may use their names again.
            outer, self.ssa_values = self.ssa_values, {}
            op = super().parse_operation()
            self.ssa_values = outer
        else:
            op = super().parse_operation()
        self.starts[op] = self.open.pop()
        return op

    def _get_op_by_name(self, name: str) -> type[Operation]:
        stack = self._parser_state.dialect_stack
        op_type = self.ctx.get_optional_op(name, dialect_stack=stack)
        if op_type is None or issubclass(op_type, UnregisteredOp):
            start = self.open[-1]
            self.raise_error(f"operation {name} is not known", start, self.pos)
        return op_type

    def _parse_attribute_entry(self) -> tuple[str, Attribute]:
        name, attr = super()._parse_attribute_entry()
        if not name.isascii():
            self.raise_error(f"name {name!r} of an attribute is not ASCII")
        return name, attr

    @property
    def position_of_error(self) -> int:
        if self.verifying is None:
            return self.open[-1] if self.open else self.pos
        return self.starts.get(self.verifying, 0)

    def verify(self, module: ModuleOp) -> None:
        for op in list(module.walk()):
            self.verifying = op
            to_model(op)
            _set_defaults(op)
        for op in _check_scopes(module):
            self.verifying = op
            op.verify(verify_nested_ops=False)


def _check_scopes(module: ModuleOp) -> Iterator[Operation]:
    """Every operation in order, after a check that its operands are visible there."""
    order: dict[Operation, int] = {}
    for op in module.walk():
        order[op] = len(order)
        yield op
        for i, operand in enumerate(op.operands):
            if not _is_visible(operand, op, order):
                raise VerifyException(f"operand {i} of {op.name} is not defined here")


def _is_visible(value: SSAValue, op: Operation, order: dict[Operation, int]) -> bool:
    block = value.owner if isinstance(value, BlockArgument) else value.owner.parent
    assert isinstance(block, Block)
    # The operation around `op`, or itself, that lies in the same region as the value.
    user: Operation | None = op
    while user is not None and (
        user.parent is None or user.parent.parent is not block.parent
    ):
        user = user.parent_op()
    if user is None:
        return False
    if isinstance(value, OpResult) and user.parent is block:
        return value.op is not user and value.op in order
    return True


class _Printer(Printer):
    """A printer with MLIR's spaces and order of attributes, and with unique names."""

    def print_ssa_value(self, value: SSAValue) -> str:
        if value not in self._ssa_values:
            wanted = _name_of(value)
            if wanted is None:
                return super().print_ssa_value(value)
            used = self._ssa_names[0]
            name = wanted
            while name in used:
                used[wanted] += 1
                name = f"{wanted}_{used[wanted]}"
            used[name] = 0
            self._ssa_values[value] = name
        name = self._ssa_values[value]
        self.print_string(f"%{name}")
        return name

    def print_successors(self, successors: Sequence[Block]) -> None:
        if successors:
            with self.in_square_brackets():
                self.print_list(successors, self.print_block_name)

    def print_attr_dict(self, attr_dict: Mapping[str, Attribute]) -> None:
        super().print_attr_dict(dict(sorted(attr_dict.items())))


def _name_of(value: SSAValue) -> str | None:
    """mlir-aie's choice of name: a tile's coordinates, a buffer's or lock's symbol."""
    op = value.op if isinstance(value, OpResult) else None
    if isinstance(op, TileOp):
        return f"tile_{op.col.value.data}_{op.row.value.data}"
    if (
        isinstance(op, BufferOp | LockOp)
        and op.sym_name is not None
        and SSAValue.is_valid_name(op.sym_name.data)
    ):
        return op.sym_name.data
    return value.name_hint
