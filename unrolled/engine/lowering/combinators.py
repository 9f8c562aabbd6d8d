"""Lowering of backbones made of backbones."""

from unrolled.backbones.combinators import Conditioned, Residual, Stack, Stateless
from unrolled.engine.lowering.builder import Builder, Value, exact


def stack(builder: Builder, module: Stack, value: Value, path: str) -> Value:
    """One part after another."""
    for number, part in enumerate(module.parts):
        value = builder.lower(part, value, f"{path}.{number}")
    return value


def residual(builder: Builder, module: Residual, value: Value, path: str) -> Value:
    """The inner part plus the value."""
    inner = builder.lower(module.inner, value, path)
    return Value(operand=builder.apply("add", builder.operand(value), builder.operand(inner)))


def stateless(builder: Builder, module: Stateless, value: Value, path: str) -> Value:
    """The module."""
    return builder.lower(module.module, value, path)


def conditioned(builder: Builder, module: Conditioned, value: Value, path: str) -> Value:
    """The shift is the same in every step, so that a matrix after it costs nothing per step."""
    shift = builder.buffer(f"{path}.shift", "vector", module.input_width)
    builder.shifts.append((exact(module.projection.weight) * module.scale, shift.buffer))
    fixed = shift if value.fixed is None else builder.kept("add", shift.width, value.fixed, shift)
    return builder.lower(module.inner, Value(value.table, fixed, value.operand), f"{path}.inner")
