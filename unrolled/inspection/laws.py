"""The laws of a backbone as measurements: each takes a backbone, inputs and a state, and returns how far it strays.

A deviation is the largest |a - b| / max(1, max |b|) over all tensors, infinite where structure, shape or dtype differ.
Dropout is off while a law is measured.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import torch as safetensors

from unrolled.core import state as states
from unrolled.core.protocol import Backbone, Context, advance, scan
from unrolled.core.shapes import Float, Int, Tensor
from unrolled.core.state import State


@contextmanager
def quiet(backbone: Backbone[Any]) -> Iterator[None]:
    """Dropout off, and no cuDNN, whose recurrent kernels refuse gradients outside training."""
    training = backbone.training
    backbone.eval()
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        backbone.train(training)


def deviation(state: State, other: State) -> float:
    """How far apart two states (or tensors, or tuples of both) are."""
    mine, theirs = dict(states.leaves(state)), dict(states.leaves(other))
    if structure(state) != structure(other):
        return float("inf")
    worst = 0.0
    for name, leaf in mine.items():
        a, b = leaf.detach().double(), theirs[name].detach().double()
        if a.numel():
            worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp(min=1)))
    return worst if worst == worst else float("inf")  # not-a-number is the worst deviation


def structure(state: State) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Name, shape and dtype of every leaf."""
    return {name: (tuple(leaf.shape), leaf.dtype) for name, leaf in states.leaves(state)}


def weights_like(tensor: Tensor) -> Tensor:
    """Fixed weights for a sum over `tensor`; a plain sum would hide gradients that cancel, as a norm's do."""
    return torch.cos(torch.arange(1, tensor.numel() + 1, dtype=tensor.dtype, device=tensor.device)).view(tensor.shape)


def weighted_sum(state: State) -> Float[Tensor, ""]:
    """One number that depends on every floating-point leaf."""
    floats = [leaf for _, leaf in states.leaves(state) if leaf.is_floating_point()]
    return torch.stack([(leaf * weights_like(leaf)).sum() for leaf in floats]).sum()


def step_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> float:
    """L1: `parallel` against `step` over the symbols, in outputs and final state."""
    with quiet(backbone), torch.no_grad():
        return deviation(backbone.parallel(x, state), scan(backbone.step, x, state))


def reset_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State, places: Sequence[int]) -> float:
    """L1 and L4 across resets: `step` over all rows, each put back to `state` at its own place, against `parallel` over
    the two pieces of each row alone. Nothing happens to a row whose place is 0.
    """
    starts, after, outputs, worst = torch.tensor(places, device=x.device), state, [], 0.0
    with quiet(backbone), torch.no_grad():
        for position, symbol in enumerate(x.unbind(1)):
            after = states.where(starts == position, state, after) if position in places else after
            output, after = backbone.step(symbol, after)
            outputs.append(output)
        together = (torch.stack(outputs, 1), after)
        for index, place in enumerate(places):
            row = torch.tensor([index], device=x.device)
            first = states.take(state, row)
            before = [backbone.parallel(x[row, :place], first)[0]] if place else []
            output, last = backbone.parallel(x[row, place:], first)
            worst = max(worst, deviation(states.take(together, row), (torch.cat([*before, output], 1), last)))
    return worst


def gradient_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> float:
    """L1: `parallel` against `step` in the gradients of inputs, parameters and first state."""
    with quiet(backbone):
        fast, slow = (gradients(backbone, view, x, state) for view in (backbone.parallel, scan_of(backbone)))
    return deviation(fast, slow)


def scan_of(backbone: Backbone[Any]) -> Any:
    """The obvious form of `parallel`."""
    return lambda x, state: scan(backbone.step, x, state)


def gradients(backbone: Backbone[Any], view: Any, x: Float[Tensor, "b t i"], state: State) -> tuple[Tensor, ...]:
    """Gradients of a weighted sum of outputs and final state; zeros where nothing depends on a tensor."""
    x = x.detach().requires_grad_()
    state = states.map_state(lambda leaf: leaf.detach().requires_grad_(leaf.is_floating_point()), state)
    sources = [x, *(leaf for _, leaf in states.leaves(state) if leaf.requires_grad)]
    sources += [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(weighted_sum(view(x, state)), sources, allow_unused=True)
    return tuple(torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True))


def split_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State, cuts: Sequence[int]) -> float:
    """L2: the sequence read in pieces that end at `cuts` against the sequence read at once."""
    bounds = sorted({0, *cuts, x.shape[1]})
    with quiet(backbone), torch.no_grad():
        whole, after = backbone.parallel(x, state), state
        pieces = []
        for start, end in itertools.pairwise(bounds):
            output, after = backbone.parallel(x[:, start:end], after)
            pieces.append(output)
    return deviation((torch.cat(pieces, 1), after), whole)


def future_gradient(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> float:
    """L3: the largest gradient of an output with respect to a later input; it must be exactly zero."""
    x = x.detach().requires_grad_()
    worst = 0.0
    with quiet(backbone):
        output, _ = backbone.parallel(x, states.detach(state))
        for position in range(x.shape[1] - 1):
            (gradient,) = torch.autograd.grad(weighted_sum(output[:, position]), x, retain_graph=True)
            worst = max(worst, float(gradient[:, position + 1 :].abs().max()))
    return worst


def batch_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> float:
    """L4: rows together, whatever their ages, against each row alone, in both views."""
    worst = 0.0
    with quiet(backbone), torch.no_grad():
        for view in (backbone.parallel, scan_of(backbone)):
            together = view(x, state)
            for index in range(x.shape[0]):
                row = torch.tensor([index], device=x.device)
                worst = max(worst, deviation(states.take(together, row), view(x[row], states.take(state, row))))
    return worst


def advance_deviation(
    backbone: Backbone[Any], x: Float[Tensor, "b t i"], lengths: Int[Tensor, " b"], state: State
) -> float:
    """L4: `advance` over rows of unequal length against each row alone."""
    worst = 0.0
    with quiet(backbone), torch.no_grad():
        together = advance(backbone, x, lengths, state)
        for index, length in enumerate(lengths.tolist()):
            row = torch.tensor([index], device=x.device)
            alone = states.take(state, row)
            if length:
                _, alone = scan(backbone.step, x[row, :length], alone)
            worst = max(worst, deviation(states.take(together, row), alone))
    return worst


def purity_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> float:
    """L5: change of inputs and state by a call, and of the result when the same call is made again."""
    worst = 0.0
    with quiet(backbone), torch.no_grad():
        for view in (backbone.parallel, scan_of(backbone)):
            before = states.map_state(torch.clone, (x, state))
            first = view(x, state)
            kept = states.map_state(torch.clone, first)
            second = view(x, state)
            worst = max(worst, deviation((x, state), before), deviation(second, kept), deviation(first, kept))
    return worst


def structure_faults(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> list[str]:
    """L6: the leaves whose name, shape or dtype a call changes, and outputs of the wrong width."""
    faults = []
    with quiet(backbone), torch.no_grad():
        for name, view in (("parallel", backbone.parallel), ("step", scan_of(backbone))):
            output, after = view(x, state)
            if output.shape != (*x.shape[:2], backbone.output_width):
                faults.append(f"{name}: output of shape {tuple(output.shape)}")
            old, new = structure(state), structure(after)
            changed = [leaf for leaf in sorted({*old, *new}) if old.get(leaf) != new.get(leaf)]
            faults += [f"{name}: {leaf} was {old.get(leaf)}, became {new.get(leaf)}" for leaf in changed]
    return faults


def measured_receptive_field(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> int:
    """L7: how many of the last inputs the last output depends on, measured by its gradients."""
    x = x.detach().requires_grad_()
    with quiet(backbone):
        output, _ = backbone.parallel(x, states.detach(state))
        (gradient,) = torch.autograd.grad(weighted_sum(output[:, -1]), x)
    seen = gradient.abs().amax((0, 2)).nonzero()
    return x.shape[1] - int(seen.min()) if len(seen) else 0


def reload_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], state: State) -> float:
    """L8: save and load after half of the symbols, then the rest from both. At least two symbols are needed."""
    half = x.shape[1] // 2
    with quiet(backbone), torch.no_grad():
        _, state = backbone.parallel(x[:, :half], state)
        saved = safetensors.save({name: leaf.detach().clone().contiguous() for name, leaf in states.leaves(state)})
        tensors = {name: leaf.to(x.device) for name, leaf in safetensors.load(saved).items()}
        loaded = states.unflatten(backbone.init_state(x.shape[0]), tensors)
        rest = x[:, half:]
        return max(deviation(loaded, state), deviation(backbone.parallel(rest, loaded), backbone.parallel(rest, state)))


def condition_deviation(backbone: Backbone[Any], x: Float[Tensor, "b t i"], context: Context, other: Context) -> float:
    """L9: `condition` against `init_state`, and that steering to `other` and back leaves the rest of a state alone."""
    with quiet(backbone), torch.no_grad():
        first = backbone.init_state(x.shape[0], context)
        _, later = backbone.parallel(x, first)
        return max(
            deviation(backbone.condition(first, context), first),
            deviation(backbone.condition(first, other), backbone.init_state(x.shape[0], other)),
            deviation(backbone.condition(later, context), later),
            deviation(backbone.condition(backbone.condition(later, other), context), later),
        )


def context_gradients(
    backbone: Backbone[Any], chunks: Sequence[Float[Tensor, "b t i"]], context: Context
) -> list[float]:
    """L9: the largest gradient that reaches the context's vector from each chunk of truncated backpropagation."""
    assert context.vector is not None
    vector = context.vector.detach().requires_grad_()
    context = context._replace(vector=vector)
    found = []
    with quiet(backbone):
        state = backbone.init_state(chunks[0].shape[0], context)
        for chunk in chunks:
            output, state = backbone.parallel(chunk, backbone.condition(states.detach(state), context))
            total = weighted_sum(output)
            (gradient,) = torch.autograd.grad(total, vector, allow_unused=True) if total.requires_grad else (None,)
            found.append(0.0 if gradient is None else float(gradient.abs().max()))
    return found
