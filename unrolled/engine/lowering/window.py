"""Lowering of the fixed window."""

from unrolled.backbones.window import Window
from unrolled.engine.lowering.builder import Builder, Value


def window(builder: Builder, module: Window, value: Value, path: str) -> Value:
    """The last inputs side by side, then the layers."""
    ring = builder.buffer(path, "ring", module.window - 1, module.input_width)
    if module.window > 1:
        recent = builder.register(module.window * module.input_width)
        value = Value(operand=builder.emit("taps", recent, builder.operand(value), ring, numbers=[1]))
    return builder.lower(module.layers, value, path)
