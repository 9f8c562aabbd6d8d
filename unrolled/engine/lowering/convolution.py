"""Lowering of dilated convolutions."""

import torch

from unrolled.backbones.convolution import Convolution, ConvolutionLayer
from unrolled.engine.lowering.builder import Builder, NotLowered, Value, exact
from unrolled.engine.operations import Operand


def convolution(builder: Builder, module: Convolution, value: Value, path: str) -> Value:
    """One register holds the residual path and the sum of skips, so that one product serves both."""
    width, skip_width = module.width, module.output_width
    both = builder.register(width + skip_width)
    residual, skip = Operand(both.buffer, 0, width), Operand(both.buffer, width, skip_width)
    own, control = parted(value, module)
    shifts, path = conditioning(builder, module, path)
    first = 0
    if module.inlet_reach:
        x, first = builder.operand(own), 1
        ring = builder.buffer(f"{path}.0", "ring", module.inlet_reach, x.width)
        taps = builder.register(module.inlet.in_features)
        own = Value(operand=builder.emit("taps", taps, x, ring, numbers=[1]))
    builder.linear(own, module.inlet.weight, module.inlet.bias, output=residual)
    builder.emit("zero", skip)
    scale = scaling(builder, module)
    for index, (layer, shift) in enumerate(zip(module.layers, shifts, strict=True)):
        ring = builder.buffer(f"{path}.{first + index}", "ring", layer.reach, width)
        gated = gates(builder, layer, residual, ring, control, shift)
        weight, bias, output = layer.paths.weight, layer.paths.bias, both
        if index + 1 == len(module.layers):  # nothing reads the last residual
            weight = builder.named(weight[width:], f"{builder.names[id(weight)]}.skip")
            bias = builder.named(bias[width:], f"{builder.names[id(bias)]}.skip")
            output = skip
        builder.emit("linear_add", output, gated, weights=[builder.weight(weight), builder.weight(bias)])
        if scale is not None and output is both:
            builder.emit("multiply", residual, residual, scale)
    return builder.lower(module.outlet, Value(operand=skip), path)


def parted(value: Value, module: Convolution) -> tuple[Value, Operand | None]:
    """What the inlet reads, and the controls. Raises: NotLowered for controls that are not given with each step."""
    if module.own_width == module.input_width:
        return value, None
    x = value.operand
    if x is None or value.table is not None or value.fixed is not None:
        raise NotLowered("Convolution with controls behind an embedding")
    own = Operand(x.buffer, x.start, module.own_width)
    return Value(operand=own), Operand(x.buffer, x.start + own.width, x.width - own.width)


def conditioning(builder: Builder, module: Convolution, path: str) -> tuple[list[Operand | None], str]:
    """What the context adds to the gates of each layer, and the path of the buffers."""
    layers = len(module.layers)
    if module.vector is None:
        return [None] * layers, path
    width = module.vector.out_features // layers
    every = builder.buffer(f"{path}.shifts", "vector", layers, width)
    builder.shifts.append((exact(module.vector.weight) * module.vector.in_features**-0.5, every.buffer))
    return [Operand(every.buffer, index * width, width) for index in range(layers)], f"{path}.buffers"


def scaling(builder: Builder, module: Convolution) -> Operand | None:
    """What the residual path is multiplied by behind each layer but the last, made by the prologue; None for 1."""
    scale = module.layers[0].scale if len(module.layers) else 1
    if scale == 1:
        return None
    name, numbers = f"{builder.names[id(module.inlet.weight)]}.scale", torch.full((module.width,), scale)
    weights = [builder.named(numbers.unsqueeze(1), f"{name}.unused"), builder.named(numbers, name)]
    nothing = builder.kept("zero", 1)
    return builder.kept("linear", module.width, nothing, weights=[builder.weight(weight) for weight in weights])


def gates(
    builder: Builder, layer: ConvolutionLayer, x: Operand, ring: Operand, control: Operand | None, shift: Operand | None
) -> Operand:
    """tanh times sigmoid of the taps, the controls and the shift."""
    taps, weight = x, layer.taps.weight
    if layer.reach:
        width = x.width * (layer.reach // layer.dilation + 1)
        taps = builder.emit("taps", builder.register(width), x, ring, numbers=[layer.dilation])
    if control is None:
        sums = builder.linear(Value(operand=taps), weight, layer.taps.bias)
    else:
        of_taps, of_controls = (
            builder.named(part, f"{builder.names[id(weight)]}.{name}")
            for part, name in ((weight[:, : taps.width], "taps"), (weight[:, taps.width :], "controls"))
        )
        sums = builder.linear(Value(operand=taps), of_taps, layer.taps.bias)
        builder.emit("linear_add", sums, control, weights=[builder.weight(of_controls)])
    if shift is not None:
        sums = builder.apply("add", sums, shift)
    entering, gate = (Operand(sums.buffer, start, sums.width // 2) for start in (0, sums.width // 2))
    return builder.apply("gate", gate, entering)
