"""Lowering of what treats every symbol alone."""

from typing import Any

import torch
from torch import nn

from unrolled.backbones.feedforward import GELU, SwiGLU
from unrolled.engine.lowering.builder import Builder, Lowering, NotLowered, Value
from unrolled.engine.operations import Operand


def nothing(builder: Builder, module: nn.Module, value: Value, path: str) -> Value:
    """The value itself."""
    return value


def sequential(builder: Builder, module: nn.Sequential, value: Value, path: str) -> Value:
    """One after another."""
    for part in module:
        value = builder.lower(part, value, path)
    return value


def linear(builder: Builder, module: nn.Linear, value: Value, path: str) -> Value:
    """A matrix and perhaps a bias."""
    return Value(operand=builder.linear(value, module.weight, module.bias))


def elementwise(kind: str) -> Lowering:
    """The lowering of a module that is one operation on every unit alone."""

    def lower(builder: Builder, module: Any, value: Value, path: str) -> Value:
        return Value(operand=builder.apply(kind, builder.operand(value)))

    return lower


def gelu(builder: Builder, module: nn.GELU, value: Value, path: str) -> Value:
    """Exact or by the approximation."""
    kind = "gelu" if module.approximate == "none" else "gelu_tanh"
    return Value(operand=builder.apply(kind, builder.operand(value)))


def norm(builder: Builder, module: nn.LayerNorm | nn.RMSNorm, value: Value, path: str) -> Value:
    """Over the whole vector."""
    if len(module.normalized_shape) != 1:
        raise NotLowered(f"{type(module).__name__} over several axes")
    x = builder.operand(value)
    parameters = [parameter for parameter in (module.weight, getattr(module, "bias", None)) if parameter is not None]
    epsilon = module.eps
    if epsilon is None:  # of torch's own choice for what it reads
        epsilon = torch.finfo(parameters[0].dtype if parameters else torch.float32).eps
    kind = "layer_norm" if isinstance(module, nn.LayerNorm) else "rms_norm"
    weights = [builder.weight(parameter) for parameter in parameters]
    return Value(operand=builder.emit(kind, builder.register(x.width), x, weights=weights, numbers=[epsilon]))


def gelu_block(builder: Builder, module: GELU, value: Value, path: str) -> Value:
    """Two matrices around the unit."""
    hidden = builder.linear(value, module.input.weight, module.input.bias)
    kind = "gelu" if module.approximate == "none" else "gelu_tanh"
    return linear(builder, module.output, Value(operand=builder.apply(kind, hidden)), path)


def swiglu_block(builder: Builder, module: SwiGLU, value: Value, path: str) -> Value:
    """Gate and input as one matrix, so that the vector is read once."""
    both = torch.cat([module.gate.weight, module.input.weight])
    name = f"{builder.names[id(module.gate.weight)]}+input"
    together = builder.linear(value, builder.named(both, name))
    width = len(module.gate.weight)
    gate, entering = (Operand(together.buffer, start, width) for start in (0, width))
    hidden = builder.apply("multiply", builder.apply("silu", gate), entering)
    return linear(builder, module.output, Value(operand=hidden), path)
