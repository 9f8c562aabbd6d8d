"""The operations of a step program: what each reads, writes and needs, and the rules that make it safe to run.

Every operation acts on one row. A shape rule gives the complaint about an operation, or "" where it can be run.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["register", "kept", "control", "vector", "ring", "cache", "clock"]
STATE_ROLES = ("vector", "ring", "cache", "clock")
TILE, AHEAD = 16, 16  # as in native/kernels.hpp and native/packed.hpp


def whole_tiles(number: int) -> int:
    """The next multiple of TILE."""
    return -(-number // TILE) * TILE


class Buffer(NamedTuple):
    """Named memory of one row.

    "register": results of this step. "kept": results of the prologue, which stay. "control": what the caller gives for
    each step. The others are state. "vector": values that are overwritten. "ring": the last `shape[0]` vectors of
    width `shape[1]`. "cache": for each head the last `shape[1]` vectors of width `shape[2]`. "clock": symbols read so
    far, one int64, which goes on after each step.
    """

    role: Role
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers in all."""
        return math.prod(self.shape)

    @property
    def room(self) -> int:
        """Numbers that the native kernels keep for it in a row's memory, where caches have the newest vectors too."""
        if self.role == "clock":
            return 0
        if self.role != "cache":
            return whole_tiles(self.width)
        heads, kept, width = self.shape
        return heads * whole_tiles(kept + 1) * width


class Operand(NamedTuple):
    """`width` neighbouring numbers of a buffer."""

    buffer: str
    start: int
    width: int


class Operation(NamedTuple):
    """One operation: writes `output` from `inputs`, the named `weights` and the `numbers` that set it up.

    With a `clock` it runs in the steps where that buffer stands at a multiple of `every`, otherwise in every step.
    """

    kind: str
    output: Operand
    inputs: tuple[Operand, ...] = ()
    weights: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    clock: str = ""
    every: int = 1


Shapes = list[tuple[int, ...]]  # of the weights, or of the buffers of the inputs
Rule = Callable[[Operation, Shapes, Shapes], str]


@dataclass(frozen=True)
class Kind:
    """What an operation does, how many inputs, weights and numbers it takes, and its shape rule."""

    summary: str
    inputs: tuple[Role | None, ...]  # the role that an input's whole buffer must have; None for any slice of numbers
    weights: tuple[int, int]  # least and most
    numbers: int
    rule: Rule
    in_place: bool = False  # whether an input may be the output itself; otherwise they may not overlap


def complain(*checks: tuple[bool, str]) -> str:
    """What the first check that fails says."""
    return next((text for holds, text in checks if not holds), "")


def widths(operation: Operation) -> list[int]:
    """Widths of the output and the inputs."""
    return [operation.output.width, *(operand.width for operand in operation.inputs)]


def whole(number: float, low: int, high: int) -> bool:
    """Whether `number` is an integer within [low, high]."""
    return math.isfinite(number) and number == int(number) and low <= number <= high


def overlap(one: Operand, other: Operand) -> bool:
    """Whether two operands share a number."""
    return one.buffer == other.buffer and max(one.start, other.start) < min(
        one.start + one.width, other.start + other.width
    )


def same_widths(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """All operands are of one width."""
    return complain((len(set(widths(operation))) == 1, f"widths {widths(operation)} must be equal"))


def lookup_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """A table with one row of the output's width for each symbol."""
    (table,) = weights
    width = operation.output.width
    return complain((len(table) == 2 and table[1] == width, f"table {table} must be symbols x {width}"))


def linear_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """A matrix of output by input, and perhaps a bias of the output's width."""
    out, into = widths(operation)
    return complain(
        (weights[0] == (out, into), f"matrix {weights[0]} must be {(out, into)}"),
        (len(weights) < 2 or weights[1] == (out,), f"bias {weights[-1]} must be {(out,)}"),
    )


def norm_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """Weights of the common width, and a positive epsilon."""
    out, into = widths(operation)
    (epsilon,) = operation.numbers
    return complain(
        (out == into, f"widths {[out, into]} must be equal"),
        (all(shape == (out,) for shape in weights), f"weights {weights} must be {(out,)}"),
        (math.isfinite(epsilon) and epsilon >= 0, f"epsilon {epsilon} must be 0 or more"),
    )


def lstm_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """Four gates and a cell for each unit; the cell is written too."""
    hidden, gates, cell = widths(operation)
    return complain(
        (gates == 4 * hidden and cell == hidden, f"hidden {hidden}, gates {gates}, cell {cell}"),
        (not overlap(*operation.inputs), "gates and cell overlap"),
    )


def gru_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """Three gates from the input and three from the last output for each unit."""
    hidden, from_input, from_hidden = widths(operation)
    good = from_input == from_hidden == 3 * hidden
    return complain((good, f"hidden {hidden}, gates {from_input} and {from_hidden}"))


def taps_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """A ring of vectors of the input's width that reaches a whole number of dilations back."""
    out, into, _ = widths(operation)
    reach, width = buffers[1]
    (dilation,) = operation.numbers
    if not reach or not whole(dilation, 1, 1 << 24) or reach % int(dilation):
        return f"dilation {dilation} must be a whole number that divides the reach {reach}, which is not 0"
    taps = reach // int(dilation) + 1
    return complain((width == into and out == taps * into, f"output {out} must be {taps} taps of width {into}"))


def attention_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """Queries, keys and values side by side, and caches of keys and values alike."""
    heads, key_heads, rotary = operation.numbers
    if not (whole(heads, 1, 1 << 12) and whole(key_heads, 1, 1 << 12)) or int(heads) % int(key_heads):
        return f"heads {heads} must be a multiple of key heads {key_heads}"
    keys, values = buffers[1], buffers[2]
    head_width, wanted = keys[2], (int(heads) + 2 * int(key_heads)) * keys[2]
    return complain(
        (keys == values, f"keys {keys} and values {values} must be alike"),
        (keys[0] == int(key_heads), f"the cache has {keys[0]} heads, not {int(key_heads)}"),
        (head_width > 0 and operation.output.width == int(heads) * head_width, "output is not as wide as the heads"),
        (operation.inputs[0].width == wanted, f"queries, keys and values are not {wanted} wide"),
        (math.isfinite(rotary) and rotary >= 0 and (not rotary or head_width % 2 == 0), f"rotary base {rotary}"),
    )


def position_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """A table with one row of the common width for each position."""
    out, into, _ = widths(operation)
    (table,) = weights
    good = out == into and len(table) == 2 and table[0] > 0 and table[1] == out
    return complain((good, f"output {out}, input {into}, table {table}"))


def pick_rule(operation: Operation, weights: Shapes, buffers: Shapes) -> str:
    """Parts of the output's width, of which each has its turn for a whole number of steps of the frame."""
    out, into, _ = widths(operation)
    (frame,) = operation.numbers
    if into % out or not whole(frame, 1, 1 << 24) or int(frame) % (into // out):
        return f"frame {frame} must be a whole number of steps for each of the {into / out:g} parts"
    return ""


def elementwise(summary: str, inputs: int) -> Kind:
    """A kind that treats every unit alone."""
    return Kind(summary, (None,) * inputs, (0, 0), 0, same_widths, in_place=True)


KINDS: dict[str, Kind] = {
    "lookup": Kind("output = table[symbol]", (), (1, 1), 0, lookup_rule),
    "linear": Kind("output = matrix x + bias", (None,), (1, 2), 0, linear_rule),
    "linear_add": Kind("output += matrix x + bias", (None,), (1, 2), 0, linear_rule),
    "zero": elementwise("output = 0", 0),
    "copy": elementwise("output = x", 1),
    "add": elementwise("output = x + y", 2),
    "multiply": elementwise("output = x y", 2),
    "tanh": elementwise("output = tanh(x)", 1),
    "sigmoid": elementwise("output = sigmoid(x)", 1),
    "relu": elementwise("output = max(x, 0)", 1),
    "silu": elementwise("output = x sigmoid(x)", 1),
    "gelu": elementwise("output = x (1 + erf(x / sqrt 2)) / 2", 1),
    "gelu_tanh": elementwise("output = GELU by the tanh approximation of GPT-2", 1),
    "gate": elementwise("output = sigmoid(x) tanh(y)", 2),
    "keep": elementwise("output = sigmoid(x) y", 2),
    "layer_norm": Kind("output = normalised x, scaled and shifted", (None,), (0, 2), 1, norm_rule, in_place=True),
    "rms_norm": Kind("output = x over its root mean square, scaled", (None,), (0, 1), 1, norm_rule, in_place=True),
    "lstm": Kind("hidden and cell from the sums that enter the gates", (None, "vector"), (0, 0), 0, lstm_rule),
    "gru": Kind("hidden from the gates of the input and of itself", (None, None), (0, 0), 0, gru_rule),
    "taps": Kind("output = x and earlier inputs a dilation apart, oldest first", (None, "ring"), (0, 0), 1, taps_rule),
    "attention": Kind(
        "output = what the newest query sees; x joins the cache",
        (None, "cache", "cache", "clock"), (0, 0), 3, attention_rule,
    ),
    "position": Kind(
        "output = x + table[clock], its last row for later clocks",
        (None, "clock"), (1, 1), 0, position_rule, in_place=True,
    ),
    "blend": elementwise("output = z + sigmoid(x) (tanh(y) - z)", 3),
    "pick": Kind("output = the part of x whose turn it is in a frame", (None, "clock"), (0, 0), 1, pick_rule),
}  # fmt: skip
PROLOGUE_KINDS = ("linear", "linear_add", "add", "copy", "zero")  # they read nothing that changes between steps
CONTINUAL_KINDS = ("taps", "attention", "position")  # they count on running in every step
ADDING_KINDS = ("linear_add", "gru")  # they read their output before they write it
