"""An interpreter of a core's flat instructions, and a design to put programs into."""

from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration

MAX_STEPS = 100_000
DESIGN = """
aie.device(npu1_1col) {
  %tile = aie.tile(0, 2)
  func.func private @show(i32)
  func.func private @mix(memref<8xi32>, index, memref<2x4x8xi16>)
  func.func private @flag(i1, i8)
  func.func private @make(i32) -> i32
  func.func private @scale(f32)
  func.func private @any(memref<?xi32>)
  func.func @recursive() {
    func.call @recursive() : () -> ()
    func.return
  }
  %m8 = aie.buffer(%tile) {address = 1024 : i32, sym_name = "m8"} : memref<64xi8>
  %m16 = aie.buffer(%tile) {address = 2048 : i32, sym_name = "m16"} : memref<2x4x8xi16>
  %m32 = aie.buffer(%tile) {address = 4096 : i32, sym_name = "m32"} : memref<8xi32>
  %m64 = aie.buffer(%tile) {address = 8192 : i32, sym_name = "m64"} : memref<8xi64>
  %f32s = aie.buffer(%tile) {address = 16384 : i32, sym_name = "f32s"} : memref<8xf32>
  %bits = aie.buffer(%tile) {address = 16448 : i32, sym_name = "bits"} : memref<8xi24>
  %lock = aie.lock(%tile, 3) {sym_name = "lock"}
  %core = aie.core(%tile) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    BODY
  }
}
"""


def core_text(body, ends=True):
    return configuration(
        parse_module(DESIGN.replace("BODY", body + "\naie.end" * ends))
    )


def wrap(value, bits):
    value %= 2**bits
    return value - 2**bits if bits > 1 and value >> (bits - 1) else value


def as_signed(value, bits):
    return -(value & 1) if bits == 1 else value


def quotient(left, right):
    return abs(left) // abs(right) * (1 if left * right >= 0 else -1)


SIGNED = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "shrs": lambda a, b: a >> b,
    "divs": quotient,
    "rems": lambda a, b: a - quotient(a, b) * b,
    "mins": min,
    "maxs": max,
}
UNSIGNED = {
    "shru": lambda a, b: a >> b,
    "divu": lambda a, b: a // b,
    "remu": lambda a, b: a % b,
    "minu": min,
    "maxu": max,
}
COMPARE = [
    *(lambda a, b: a == b, lambda a, b: a != b),
    *2
    * (
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
    ),
]


class Machine:
    """An interpreter of one core of a configuration; it records locks and calls."""

    def __init__(self, text, number=0):
        lines = [line.split() for line in text.splitlines()]
        self.names = {
            kind: [
                line[-1 if kind != "kernel" else 1] for line in lines if line[0] == kind
            ]
            for kind in ("buffer", "lock", "kernel")
        }
        self.memory = {
            line[-1]: bytearray(int(line[4])) for line in lines if line[0] == "buffer"
        }
        cores = [i for i, line in enumerate(lines) if line[0] == "core"]
        start = cores[number]
        self.slots = [0] * int(lines[start][3])
        self.program = lines[start + 1 : start + 1 + int(lines[start][4])]
        self.trace = []

    def run(self):
        position = 0
        for _ in range(MAX_STEPS):
            name, *words = self.program[position]
            if name == "halt":
                return self
            goal = self.step(name, words)
            position = position + 1 if goal is None else goal
        raise TimeoutError(f"no halt after {MAX_STEPS} steps")

    def step(self, name, words):
        """Executes one instruction; the position of the next one if it jumps."""
        slots = self.slots
        match name, words:
            case "load", [to, buffer, width, signed, _, *indices]:
                place = self.bytes_at(buffer, width, indices)
                data = self.memory[self.names["buffer"][int(buffer)]][place]
                slots[int(to)] = int.from_bytes(data, "little", signed=signed == "1")
            case "store", [source, buffer, width, _, *indices]:
                place = self.bytes_at(buffer, width, indices)
                value = slots[int(source)] % 2 ** (8 * int(width))
                data = value.to_bytes(int(width), "little")
                self.memory[self.names["buffer"][int(buffer)]][place] = data
            case "acquire" | "release", [lock, value]:
                self.use_lock(name, self.names["lock"][int(lock)], int(value))
            case "call", [kernel, _, *arguments]:
                pairs = zip(arguments[::2], map(int, arguments[1::2]))
                values = [
                    self.names["buffer"][i] if k == "b" else slots[i] for k, i in pairs
                ]
                self.trace.append((self.names["kernel"][int(kernel)], *values))
            case "jump", [target]:
                return int(target)
            case "branch", [condition, then, other]:
                return int(then if slots[int(condition)] else other)
            case _:
                to, value = self.computed(name, words)
                slots[int(to)] = value
        return None

    def computed(self, name, words):
        """The target slot of an instruction on slots, and its new value."""
        slots = self.slots
        match name, words:
            case "const", [to, value]:
                return to, int(value)
            case "binary", [op, bits, to, *sources]:
                operands = [slots[int(i)] for i in sources]
                bits = int(bits)
                if op in UNSIGNED:
                    result = UNSIGNED[op](*(value % 2**bits for value in operands))
                else:
                    result = SIGNED[op](*(as_signed(value, bits) for value in operands))
                return to, wrap(result, bits)
            case "compare", [predicate, bits, to, *sources]:
                bits, operands = int(bits), [slots[int(i)] for i in sources]
                read = as_signed if int(predicate) < 6 else lambda v, bits: v % 2**bits
                result = COMPARE[int(predicate)](*(read(v, bits) for v in operands))
                return to, int(result)
            case "select", [to, condition, left, right]:
                return to, slots[int(left if slots[int(condition)] else right)]
            case "cast", [signed, before, after, to, source]:
                value, before = slots[int(source)], int(before)
                value = as_signed(value, before) if int(signed) else value % 2**before
                return to, wrap(value, int(after))
            case "move", [to, source]:
                return to, slots[int(source)]
        raise NotImplementedError(name)

    def bytes_at(self, buffer, width, indices):
        size = len(self.memory[self.names["buffer"][int(buffer)]])
        pairs = zip(indices[::2], map(int, indices[1::2]))
        start = sum(self.slots[int(slot)] * stride for slot, stride in pairs)
        assert 0 <= start <= size - int(width)
        return slice(start, start + int(width))

    def use_lock(self, verb, lock, value):
        self.trace.append((verb, lock, value))


def shown(body):
    """The values that a program calls @show with."""
    return [
        value for name, value in Machine(core_text(body)).run().trace if name == "show"
    ]
