"""Lowering of the nested LSTM."""

from unrolled.backbones.nested_lstm import NestedLayer, NestedLSTM
from unrolled.engine.lowering.builder import Builder, Value
from unrolled.engine.operations import Operand


def nested_lstm(builder: Builder, module: NestedLSTM, value: Value, path: str) -> Value:
    """Layer by layer; levels of memory are slices of one leaf."""
    count, width, depth = len(module.layers), module.output_width, module.depth
    hidden = builder.buffer(f"{path}.hidden", "vector", count, width).buffer
    cells = builder.buffer(f"{path}.cells", "vector", count, depth, width).buffer
    for index, layer in enumerate(module.layers):
        output = Operand(hidden, index * width, width)
        levels = [Operand(cells, (index * depth + level) * width, width) for level in range(depth)]
        sums = builder.linear(value, layer.inputs[0].weight, layer.inputs[0].bias)
        builder.emit("linear_add", sums, output, weights=[builder.weight(layer.hiddens[0].weight)])
        remember(builder, layer, sums, levels, output)
        value = Value(operand=output)
    return value


def remember(builder: Builder, layer: NestedLayer, sums: Operand, cells: list[Operand], output: Operand) -> None:
    """The levels from the outermost of `cells` inwards; every new cell is written over the old one."""
    cell, *inner = cells
    enter, forget, new, leave = (Operand(sums.buffer, gate * cell.width, cell.width) for gate in range(4))
    kept, added = builder.apply("keep", forget, cell), builder.apply("gate", enter, new)
    if inner:
        level = len(layer.inputs) - len(inner)
        below = builder.linear(Value(operand=added), layer.inputs[level].weight, layer.inputs[level].bias)
        builder.emit("linear_add", below, kept, weights=[builder.weight(layer.hiddens[level].weight)])
        remember(builder, layer, below, inner, cell)
    else:
        builder.emit("add", cell, kept, added)
    builder.emit("gate", output, leave, cell)
