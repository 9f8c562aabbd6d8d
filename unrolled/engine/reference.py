"""Step programs run the slow and obvious way, a row and an operation at a time: the oracle for the native kernels."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.engine.operations import Operand, Operation
from unrolled.engine.program import Program


@dataclass
class Row:
    """The memory of one row: every buffer in its own shape, and the symbol that this step reads."""

    program: Program
    buffers: dict[str, np.ndarray]
    dtype: Any
    symbol: int = -1

    def part(self, operand: Operand) -> np.ndarray:
        """The numbers of an operand, as a view to read and write."""
        return self.buffers[operand.buffer].reshape(-1)[operand.start : operand.start + operand.width]

    def inputs(self, operation: Operation) -> list[np.ndarray]:
        """The numbers of all inputs."""
        return [self.part(operand) for operand in operation.inputs]

    def weights(self, operation: Operation) -> list[np.ndarray]:
        """The weights of an operation."""
        return [self.program.weights[name].astype(self.dtype, copy=False) for name in operation.weights]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by the form that does not overflow."""
    return (1 + np.tanh(x / 2)) / 2


def gelu(x: np.ndarray) -> np.ndarray:
    """The Gaussian error linear unit."""
    return x * (1 + np.array([math.erf(number / math.sqrt(2)) for number in x], x.dtype)) / 2


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """Its approximation. Source: Hendrycks and Gimpel 2016, section 2."""
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def lookup(row: Row, operation: Operation) -> None:
    """The row of the table that belongs to the symbol."""
    (name,) = operation.weights
    row.part(operation.output)[:] = row.program.weights[name][row.symbol]


def product(row: Row, operation: Operation) -> np.ndarray:
    """Matrix times input, plus the bias if there is one."""
    (x,), (matrix, *bias) = row.inputs(operation), row.weights(operation)
    return matrix @ x + sum(bias)


def linear(row: Row, operation: Operation) -> None:
    """The product."""
    row.part(operation.output)[:] = product(row, operation)


def linear_add(row: Row, operation: Operation) -> None:
    """The product added to what is there."""
    row.part(operation.output)[:] += product(row, operation)


def zero(row: Row, operation: Operation) -> None:
    """Zeros."""
    row.part(operation.output)[:] = 0


def layer_norm(row: Row, operation: Operation) -> None:
    """Mean 0 and variance 1, then scaled and shifted. Source: Ba et al. 2016, eq. 4."""
    (x,), (epsilon,) = row.inputs(operation), operation.numbers
    centred = x - x.mean()
    normal = centred / np.sqrt((centred**2).mean() + epsilon)
    row.part(operation.output)[:] = affine(normal, row.weights(operation))


def rms_norm(row: Row, operation: Operation) -> None:
    """Root mean square 1, then scaled. Source: Zhang and Sennrich 2019, eq. 4."""
    (x,), (epsilon,) = row.inputs(operation), operation.numbers
    row.part(operation.output)[:] = affine(x / np.sqrt((x**2).mean() + epsilon), row.weights(operation))


def affine(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Scaled by the first weight and shifted by the second, as far as they are there."""
    scaled = x * weights[0] if weights else x
    return scaled + weights[1] if len(weights) > 1 else scaled


def lstm(row: Row, operation: Operation) -> None:
    """Source: Gers et al. 2000; gates stand as enter, forget, new, leave."""
    gates, cell = row.inputs(operation)
    enter, forget, new, leave = np.split(gates, 4)
    cell[:] = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
    row.part(operation.output)[:] = sigmoid(leave) * np.tanh(cell)


def gru(row: Row, operation: Operation) -> None:
    """Source: Cho et al. 2014; gates stand as reset, update, new, and the reset gate comes after the product."""
    (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (np.split(part, 3) for part in row.inputs(operation))
    hidden = row.part(operation.output)
    reset, update = sigmoid(reset_x + reset_h), sigmoid(update_x + update_h)
    new = np.tanh(new_x + reset * new_h)
    hidden[:] = new + update * (hidden - new)


def taps(row: Row, operation: Operation) -> None:
    """Every `dilation`-th of the ring's inputs and the newest, oldest first; the newest joins the ring."""
    x, ring = row.part(operation.inputs[0]), row.buffers[operation.inputs[1].buffer]
    joined = np.concatenate([ring, x[None]])
    row.part(operation.output)[:] = joined[:: int(operation.numbers[0])].reshape(-1)
    ring[:] = joined[1:]


def attention(row: Row, operation: Operation) -> None:
    """Softmax over the cached keys that the row has read and its newest one. Source: Vaswani et al. 2017, eq. 1."""
    heads, key_heads = map(int, operation.numbers[:2])
    base = operation.numbers[2]
    keys, values, clock = (row.buffers[operand.buffer] for operand in operation.inputs[1:])
    together = row.part(operation.inputs[0]).reshape(heads + 2 * key_heads, -1)
    query, key, value = np.split(together, [heads, heads + key_heads])
    if base:
        query, key = rotate(query, int(clock[0]), base), rotate(key, int(clock[0]), base)
    all_keys, all_values = np.append(keys, key[:, None], 1), np.append(values, value[:, None], 1)
    seen = min(max(int(clock[0]), 0), keys.shape[1]) + 1
    mixed = np.empty_like(query)
    for head in range(heads):
        group = head // (heads // key_heads)
        scores = all_keys[group, -seen:] @ query[head] / math.sqrt(query.shape[1])
        shares = np.exp(scores - scores.max())
        mixed[head] = shares / shares.sum() @ all_values[group, -seen:]
    row.part(operation.output)[:] = mixed.reshape(-1)
    keys[:], values[:] = all_keys[:, 1:], all_values[:, 1:]


def rotate(x: np.ndarray, position: int, base: float) -> np.ndarray:
    """Turn the halves of every head by angles that are products in float64. Source: Su et al. 2021, eq. 34."""
    half = x.shape[1] // 2
    angles = position * base ** (-np.arange(half) / half)
    cosine, sine = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    left, right = x[:, :half], x[:, half:]
    return np.concatenate([left * cosine - right * sine, right * cosine + left * sine], 1)


def position(row: Row, operation: Operation) -> None:
    """The vector of the row's position, the last one beyond the table, is added."""
    (table,), clock = row.weights(operation), row.buffers[operation.inputs[1].buffer]
    place = min(max(int(clock[0]), 0), len(table) - 1)
    row.part(operation.output)[:] = row.part(operation.inputs[0]) + table[place]


def pick(row: Row, operation: Operation) -> None:
    """The parts have equal shares of a frame, one after another."""
    frame, clock = int(operation.numbers[0]), row.buffers[operation.inputs[1].buffer]
    parts = row.part(operation.inputs[0]).reshape(-1, operation.output.width)
    row.part(operation.output)[:] = parts[int(clock[0]) % frame * len(parts) // frame]


def of_inputs(function: Callable[..., np.ndarray]) -> Callable[[Row, Operation], None]:
    """A run of an operation whose output is a function of its inputs."""

    def run(row: Row, operation: Operation) -> None:
        row.part(operation.output)[:] = function(*row.inputs(operation))

    return run


RUN: dict[str, Callable[[Row, Operation], None]] = {
    "lookup": lookup,
    "linear": linear,
    "linear_add": linear_add,
    "zero": zero,
    "copy": of_inputs(lambda x: x),
    "add": of_inputs(np.add),
    "multiply": of_inputs(np.multiply),
    "tanh": of_inputs(np.tanh),
    "sigmoid": of_inputs(sigmoid),
    "relu": of_inputs(lambda x: np.maximum(x, 0)),
    "silu": of_inputs(lambda x: x * sigmoid(x)),
    "gelu": of_inputs(gelu),
    "gelu_tanh": of_inputs(gelu_tanh),
    "gate": of_inputs(lambda x, y: sigmoid(x) * np.tanh(y)),
    "keep": of_inputs(lambda x, y: sigmoid(x) * y),
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "lstm": lstm,
    "gru": gru,
    "taps": taps,
    "attention": attention,
    "position": position,
    "blend": of_inputs(lambda x, y, z: z + sigmoid(x) * (np.tanh(y) - z)),
    "pick": pick,
}


def step(
    program: Program,
    state: Mapping[str, np.ndarray],
    symbols: np.ndarray | None = None,
    control: np.ndarray | None = None,
    dtype: Any = np.float32,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs (rows x width) and the next state, in arithmetic of `dtype`, from a state as `first_state` gives it.

    `symbols` (int64, one for each row) where the program has an alphabet, `control` (rows x width) where it has one.
    """
    rows = len(next(iter(state.values()))) if state else len(next(x for x in (symbols, control) if x is not None))
    outputs = np.empty((rows, program.output.width), dtype)
    after: dict[str, list[np.ndarray]] = {name: [] for name in program.state}
    for number in range(rows):
        row = Row(program, {}, dtype, -1 if symbols is None else int(symbols[number]))
        for name, buffer in program.buffers.items():
            row.buffers[name] = np.full(buffer.shape, np.nan, dtype)  # what is read before it is written shows
            if name in program.state:
                kept = np.int64 if buffer.role == "clock" else dtype
                row.buffers[name] = np.array(state[name][number], kept).reshape(buffer.shape)
            elif buffer.role == "control" and control is not None:
                row.buffers[name][:] = control[number].reshape(buffer.shape)
        for operation in (*program.prologue, *program.step):
            if not operation.clock or row.buffers[operation.clock][0] % operation.every == 0:
                RUN[operation.kind](row, operation)
        outputs[number] = row.part(program.output)
        for name, leaves in after.items():
            leaves.append(row.buffers[name] + (program.buffers[name].role == "clock"))
    return outputs, {name: np.stack(leaves).reshape(state[name].shape) for name, leaves in after.items()}
