"""Lowering of learned positions."""

from unrolled.backbones.positions import LearnedPositions
from unrolled.engine.lowering.builder import Builder, Value


def learned_positions(builder: Builder, module: LearnedPositions, value: Value, path: str) -> Value:
    """The vector of the clock is added."""
    clock = builder.buffer(path, "clock", 1)
    output = builder.register(module.output_width)
    x = builder.operand(value)
    return Value(operand=builder.emit("position", output, x, clock, weights=[builder.weight(module.table.weight)]))
