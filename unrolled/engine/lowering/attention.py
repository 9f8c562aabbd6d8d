"""Lowering of bounded attention."""

from unrolled.backbones.attention import Attention
from unrolled.engine.lowering.builder import Builder, Value


def attention(builder: Builder, module: Attention, value: Value, path: str) -> Value:
    """Queries, keys and values by one product, what the query sees, and the product with the output's matrix."""
    shape = (module.key_heads, module.window - 1, module.head_width)
    keys = builder.buffer(f"{path}.keys", "cache", *shape)
    values = builder.buffer(f"{path}.values", "cache", *shape)
    clock = builder.buffer(f"{path}.clock", "clock", 1)
    together = builder.linear(value, module.inputs.weight, module.inputs.bias)
    mixed = builder.emit(
        "attention", builder.register(module.output_width), together, keys, values, clock,
        numbers=[module.heads, module.key_heads, module.rotary or 0.0],
    )  # fmt: skip
    return builder.lower(module.output, Value(operand=mixed), path)
