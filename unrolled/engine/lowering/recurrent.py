"""Lowering of Elman, GRU and LSTM layers."""

from collections.abc import Callable, Sequence

from unrolled.backbones.recurrent import GRU, LSTM, Elman
from unrolled.core.shapes import Tensor
from unrolled.engine.lowering.builder import Builder, Value
from unrolled.engine.operations import Operand

Cell = Callable[[Builder, Value, Sequence[Operand], Sequence[Tensor]], None]


def layers(
    builder: Builder, module: Elman | GRU | LSTM, value: Value, path: str, leaves: Sequence[str], cell: Cell
) -> Value:
    """Every layer by `cell`, which reads and overwrites its own slices of the leaves; the first is its output."""
    count, width = module.kernel.num_layers, module.output_width
    names = [builder.buffer(f"{path}.{leaf}", "vector", count, width).buffer for leaf in leaves]
    if module.start is not None:
        for name, start in zip(names, module.start, strict=True):
            called = f"{builder.names[id(module.start)]}.{name.rpartition('.')[2]}"
            builder.starts[name] = builder.weight(builder.named(start, called))
    for layer, weights in enumerate(module.kernel.all_weights):
        parts = [Operand(name, layer * width, width) for name in names]
        cell(builder, value, parts, weights)
        value = Value(operand=parts[0])
    return value


def sums(builder: Builder, value: Value, hidden: Operand, weights: Sequence[Tensor]) -> Operand:
    """What enters the units: products with the input and with the last output, in one register."""
    w_x, w_h, b_x, b_h = weights
    found = builder.linear(value, w_x, b_x)
    return builder.emit("linear_add", found, hidden, weights=[builder.weight(w_h), builder.weight(b_h)])


def elman_cell(builder: Builder, value: Value, parts: Sequence[Operand], weights: Sequence[Tensor]) -> None:
    """Hyperbolic tangent of the sums."""
    builder.emit("tanh", parts[0], sums(builder, value, parts[0], weights))


def gru_cell(builder: Builder, value: Value, parts: Sequence[Operand], weights: Sequence[Tensor]) -> None:
    """The two products apart, because the reset gate comes between them."""
    w_x, w_h, b_x, b_h = weights
    from_input = builder.linear(value, w_x, b_x)
    from_hidden = builder.linear(Value(operand=parts[0]), w_h, b_h)
    builder.emit("gru", parts[0], from_input, from_hidden)


def lstm_cell(builder: Builder, value: Value, parts: Sequence[Operand], weights: Sequence[Tensor]) -> None:
    """Gates from the sums."""
    hidden, cell = parts
    builder.emit("lstm", hidden, sums(builder, value, hidden, weights), cell)


def elman(builder: Builder, module: Elman, value: Value, path: str) -> Value:
    """Layers of tanh units."""
    return layers(builder, module, value, path, ["hidden"], elman_cell)


def gru(builder: Builder, module: GRU, value: Value, path: str) -> Value:
    """Layers of gated recurrent units."""
    return layers(builder, module, value, path, ["hidden"], gru_cell)


def lstm(builder: Builder, module: LSTM, value: Value, path: str) -> Value:
    """Layers of long short-term memory."""
    return layers(builder, module, value, path, ["hidden", "cell"], lstm_cell)
