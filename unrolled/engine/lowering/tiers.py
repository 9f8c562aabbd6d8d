"""Lowering of SampleRNN's tiers. Their weights are folded before: see backbones.normed."""

from typing import Any

from unrolled.backbones.normed import GRULayer, LSTMLayer, RecurrentLayers
from unrolled.backbones.tiers import SPREAD, Tier, Tiers
from unrolled.core.shapes import Tensor
from unrolled.engine.lowering.builder import Builder, Value, exact
from unrolled.engine.operations import Operand


def tiers(builder: Builder, module: Tiers, value: Value, path: str) -> Value:
    """A tier runs in the steps that complete its frame; what reads its vectors picks the one whose turn it is."""
    clock = builder.buffer(f"{path}.clock", "clock", 1)
    x, longest = builder.operand(value), module.frames[0]
    frames = recent(builder, Operand(x.buffer, x.start, 1), f"{path}.values", longest)
    windows = recent(builder, x, f"{path}.inputs", module.context)
    *projections, last = module.projections or [None] * (len(module.tiers) + 1)
    above = None
    for number, (tier, projection) in enumerate(zip(module.tiers, projections, strict=True)):
        frame = Operand(frames.buffer, frames.start + longest - tier.frame, tier.frame)
        with builder.every(tier.frame, clock):
            x = frame if above is None else inlet(builder, tier, frame, picked(builder, *above, clock))
            above = tier, vectors(builder, tier, x, projection, f"{path}.tiers.{number}")
    assert above is not None
    sums = samples(builder, module, value, windows)
    builder.emit("add", sums, sums, picked(builder, *above, clock))
    shifted(builder, sums, last, f"{path}.shift")
    return builder.lower(module.outlet, Value(operand=sums), path)


def recent(builder: Builder, x: Operand, name: str, count: int) -> Operand:
    """The last `count` vectors side by side, oldest first; all but the newest are state."""
    ring = builder.buffer(name, "ring", count - 1, x.width)
    if count == 1:
        return x
    return builder.emit("taps", builder.register(count * x.width), x, ring, numbers=[1])


def picked(builder: Builder, tier: Tier, made: Operand, clock: Operand) -> Operand:
    """That of a tier's vectors whose turn it is."""
    return builder.emit("pick", builder.register(made.width // tier.ratio), made, clock, numbers=[tier.frame])


def part(builder: Builder, weight: Tensor, name: str, start: int = 0, end: int | None = None, scale: float = 1) -> str:
    """Some columns of a matrix, scaled."""
    return builder.weight(builder.named(weight[:, start:end] * scale, f"{builder.names[id(weight)]}.{name}"))


def inlet(builder: Builder, tier: Tier, frame: Operand, above: Operand) -> Operand:
    """The map of the samples of a frame, added to the vector from above."""
    weight = part(builder, tier.inlet.weight, "spread", scale=SPREAD)
    return builder.emit("linear_add", above, frame, weights=[weight, builder.weight(tier.inlet.bias)])


def samples(builder: Builder, module: Tiers, value: Value, windows: Operand) -> Operand:
    """The map of the last inputs: the newest may be a symbol, whose product is then looked up."""
    weight, width = module.inlet.weight, module.input_width
    newest = builder.named(weight[:, -width:], f"{builder.names[id(weight)]}.newest")
    sums = builder.linear(value, newest)
    if older := windows.width - width:
        earlier = Operand(windows.buffer, windows.start, older)
        builder.emit("linear_add", sums, earlier, weights=[part(builder, weight, "older", end=older)])
    return sums


def shifted(builder: Builder, sums: Operand, projection: Any, name: str) -> None:
    """Add what the context gives, if it is read."""
    if projection is not None:
        shift = builder.buffer(name, "vector", sums.width)
        builder.shifts.append((exact(projection.weight), shift.buffer))
        builder.emit("add", sums, sums, shift)


def vectors(builder: Builder, tier: Tier, x: Operand, projection: Any, path: str) -> Operand:
    """What a tier makes of a frame for the tier below; this is state."""
    layers, spread = tier.recurrent, SPREAD if tier.inlet is None else 1.0
    hidden = builder.buffer(f"{path}.hidden", "vector", *layers.start.shape)
    builder.starts[hidden.buffer] = builder.weight(layers.start)
    made = builder.buffer(f"{path}.vectors", "vector", tier.ratio, tier.outlet.out_features // tier.ratio)
    below, spoken = None, None
    for index, layer in enumerate(layers.layers):
        sums = entering(builder, layer, below, x if not index or len(layers.skips) else None, spread)
        if not index:
            shifted(builder, sums, projection, f"{path}.shift")
        cell: Any = gru if isinstance(layer, GRULayer) else lstm
        size = hidden.width // len(layers.layers)
        below = cell(builder, layer, sums, Operand(hidden.buffer, index * size, size))
        if len(layers.skips):
            spoken = said(builder, layers, index, below, spoken)
    assert below is not None
    return builder.linear(Value(operand=spoken or below), tier.outlet.weight, tier.outlet.bias, output=made)


def entering(builder: Builder, layer: Any, below: Operand | None, x: Operand | None, spread: float) -> Operand:
    """Products with the output of the layer below and with the frame, as far as the layer reads them."""
    weight, inputs = layer.inputs.weight, [] if below is None else [(below, "below", 1.0)]
    inputs += [] if x is None else [(x, "frame", spread)]
    sums, start = builder.register(len(weight)), 0
    kind, biases = "linear", [builder.weight(layer.inputs.bias)]
    for operand, name, scale in inputs:
        end = start + operand.width
        builder.emit(kind, sums, operand, weights=[part(builder, weight, name, start, end, scale), *biases])
        kind, biases, start = "linear_add", [], end
    return sums


def said(builder: Builder, layers: RecurrentLayers, index: int, output: Operand, spoken: Operand | None) -> Operand:
    """The map of a layer's output, added to those of the layers below."""
    skip = layers.skips[index]
    if spoken is None:
        return builder.linear(Value(operand=output), skip.weight, skip.bias)
    return builder.emit("linear_add", spoken, output, weights=[builder.weight(skip.weight)])


def gru(builder: Builder, layer: GRULayer, sums: Operand, hidden: Operand) -> Operand:
    """The reset gate before the second product; the update gate weighs what is new."""
    update, reset, new = (Operand(sums.buffer, gate * layer.width, layer.width) for gate in range(3))
    gates = Operand(sums.buffer, 0, 2 * layer.width)
    builder.emit("linear_add", gates, hidden, weights=[builder.weight(layer.recurrent.weight)])
    builder.emit("linear_add", new, builder.apply("keep", reset, hidden), weights=[builder.weight(layer.new.weight)])
    return builder.emit("blend", hidden, update, new, hidden)


def lstm(builder: Builder, layer: LSTMLayer, sums: Operand, state: Operand) -> Operand:
    """Output and cell stand side by side."""
    hidden, cell = (Operand(state.buffer, state.start + leaf * state.width // 2, state.width // 2) for leaf in range(2))
    builder.emit("linear_add", sums, hidden, weights=[builder.weight(layer.recurrent.weight)])
    return builder.emit("lstm", hidden, sums, cell)
