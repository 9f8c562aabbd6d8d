"""Lowering of dilated convolutions."""

from unrolled.backbones.convolution import Convolution, ConvolutionLayer
from unrolled.engine.lowering.builder import Builder, NotLowered, Value, exact
from unrolled.engine.operations import Operand


def convolution(builder: Builder, module: Convolution, value: Value, path: str) -> Value:
    """One register holds the residual path and the sum of skips, so that one product serves both."""
    width, skip_width = module.width, module.output_width
    both = builder.register(width + skip_width)
    residual, skip = Operand(both.buffer, 0, width), Operand(both.buffer, width, skip_width)
    own, control = parted(value, module)
    builder.linear(own, module.inlet.weight, module.inlet.bias, output=residual)
    builder.emit("zero", skip)
    shifts, path = conditioning(builder, module, path)
    for index, (layer, shift) in enumerate(zip(module.layers, shifts, strict=True)):
        ring = builder.buffer(f"{path}.{index}", "ring", layer.reach, width)
        gated = gates(builder, layer, residual, ring, control, shift)
        weight, bias, output = layer.paths.weight, layer.paths.bias, both
        if index + 1 == len(module.layers):  # nothing reads the last residual
            weight = builder.named(weight[width:], f"{builder.names[id(weight)]}.skip")
            bias = builder.named(bias[width:], f"{builder.names[id(bias)]}.skip")
            output = skip
        builder.emit("linear_add", output, gated, weights=[builder.weight(weight), builder.weight(bias)])
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
