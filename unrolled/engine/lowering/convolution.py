"""Lowering of dilated convolutions."""

from unrolled.backbones.convolution import Convolution, ConvolutionLayer
from unrolled.engine.lowering.builder import Builder, Value
from unrolled.engine.operations import Operand


def convolution(builder: Builder, module: Convolution, value: Value, path: str) -> Value:
    """One register holds the residual path and the sum of skips, so that one product serves both."""
    width, skip_width = module.width, module.output_width
    both = builder.register(width + skip_width)
    residual, skip = Operand(both.buffer, 0, width), Operand(both.buffer, width, skip_width)
    builder.linear(value, module.inlet.weight, module.inlet.bias, output=residual)
    builder.emit("zero", skip)
    for index, layer in enumerate(module.layers):
        ring = builder.buffer(f"{path}.{index}", "ring", layer.reach, width)
        gated = gates(builder, layer, residual, ring)
        weight, bias, output = layer.paths.weight, layer.paths.bias, both
        if index + 1 == len(module.layers):  # nothing reads the last residual
            weight = builder.named(weight[width:], f"{builder.names[id(weight)]}.skip")
            bias = builder.named(bias[width:], f"{builder.names[id(bias)]}.skip")
            output = skip
        builder.emit("linear_add", output, gated, weights=[builder.weight(weight), builder.weight(bias)])
    return builder.lower(module.outlet, Value(operand=skip), path)


def gates(builder: Builder, layer: ConvolutionLayer, x: Operand, ring: Operand) -> Operand:
    """tanh times sigmoid of the taps."""
    taps = x
    if layer.reach:
        width = x.width * (layer.reach // layer.dilation + 1)
        taps = builder.emit("taps", builder.register(width), x, ring, numbers=[layer.dilation])
    sums = builder.linear(Value(operand=taps), layer.taps.weight, layer.taps.bias)
    entering, gate = (Operand(sums.buffer, start, sums.width // 2) for start in (0, sums.width // 2))
    return builder.apply("gate", gate, entering)
