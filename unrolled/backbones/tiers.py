"""SampleRNN: sound through tiers of recurrent layers at several clock rates. Source: Mehri et al. 2017, section 2.

With frames of (8, 2), as in the paper's model of three tiers, the top tier reads the last 8 samples at every eighth
step, the tier below it the last 2 at every second, and the sample tier the last 2 at every step. A tier speaks to the
one below through as many separate linear maps as that makes steps meanwhile: here 8 / 2 = 4, and 2 to the samples.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from unrolled.backbones.normed import RecurrentLayers, normed_linear, shifted
from unrolled.backbones.positions import distinct, first_clock, later
from unrolled.core import state as states
from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Int, Tensor

SPREAD = 2.0  # samples in -1 to 1 reach the frames as -2 to 2


class TierState(NamedTuple):
    """`vectors` were made of the last frame and are for the tier below, in the order of its steps.

    `shift` is what the context adds to the gates of the first layer; it is empty in a model that reads no vector.
    """

    hidden: Float[Tensor, "b layers leaves d"]
    vectors: Float[Tensor, "b ratio d"]
    shift: Float[Tensor, "b gates"] | tuple[()]


class TiersState(NamedTuple):
    """How many samples each row has read, what frames still see of them, and the tiers, the slowest first.

    `values` are the last samples and `inputs` the last whole inputs, newest last, zeros where there were none. `shift`
    is that of the sample tier.
    """

    clock: Int[Tensor, " b"]
    values: Float[Tensor, "b s 1"]
    inputs: Float[Tensor, "b s i"]
    tiers: tuple[TierState, ...]
    shift: Float[Tensor, "b d"] | tuple[()]


class Tier(nn.Module):
    """What reads frames of samples and, below the top, a vector from the tier above with each.

    `ratio` is the number of steps that the tier below makes in a frame. The top tier has no `inlet`: its layers read
    the samples of a frame as they are.
    """

    def __init__(self, frame: int, ratio: int, width: int, inlet: nn.Linear | None, recurrent: RecurrentLayers) -> None:
        super().__init__()
        self.inlet: Any = inlet
        self.recurrent = recurrent
        self.outlet = normed_linear(width, ratio * width)
        self.frame, self.ratio = frame, ratio

    def forward(
        self, frames: Float[Tensor, "b t frame"], above: Float[Tensor, "b t d"] | None, state: TierState
    ) -> tuple[Float[Tensor, "b t ratio d"], TierState]:
        """The vectors for the tier below at each frame, and the state after the last frame."""
        x = frames * SPREAD
        if above is not None:
            x = self.inlet(x) + above
        outputs, hidden = self.recurrent(x, state.shift, state.hidden)
        vectors = self.outlet(outputs).unflatten(-1, (self.ratio, -1))
        return vectors, states.cast_like(state._replace(hidden=hidden, vectors=vectors[:, -1]), state)


class Tiers(Backbone[TiersState]):
    """SampleRNN below its embedding and above its softmax.

    Inputs: column 0 is the value of the last sample, in -1 to 1, which is what frames are made of; the sample tier
    reads the whole of the last `context` inputs (default: the shortest frame). `frames` are the samples in a frame of
    each tier above the samples, the slowest first, and each must divide the one before it. `vector_width` is that of
    `Context.vector`, which every tier reads through a linear map of its own; 0 reads none.
    """

    def __init__(
        self,
        input_width: int,
        width: int,
        *,
        frames: Sequence[int],
        cell: Literal["gru", "lstm"] = "gru",
        layers: int = 1,
        skip: bool = False,
        context: int | None = None,
        vector_width: int = 0,
    ) -> None:
        super().__init__()
        if not frames or min(*frames, 1) < 1 or any(above % below for above, below in itertools.pairwise(frames)):
            raise ValueError(
                f"frames {tuple(frames)}: give the samples in a frame of each tier, the slowest first, so that each "
                "divides the one before it, such as (8, 2)"
            )
        self.frames, self.context = tuple(frames), frames[-1] if context is None else context
        if self.context < 1:
            raise ValueError(f"context {context}: the sample tier reads the last input at least, so pass 1 or more")
        tiers = []
        for index, (frame, below) in enumerate(itertools.pairwise((*frames, 1))):
            recurrent = RecurrentLayers(
                width if index else frame, width, cell=cell, layers=layers, skip=skip and layers > 1
            )
            inlet = normed_linear(frame, width) if index else None
            tiers.append(Tier(frame, frame // below, width, inlet, recurrent))
        self.tiers: Any = nn.ModuleList(tiers)
        self.inlet = normed_linear(self.context * input_width, width, bias=False)
        self.outlet = nn.Sequential(normed_linear(width, width), nn.ReLU(), normed_linear(width, width), nn.ReLU())
        shifts = [*(tier.recurrent.gates for tier in tiers), width] if vector_width else []
        self.projections: Any = nn.ModuleList(normed_linear(vector_width, gates, bias=False) for gates in shifts)
        self.input_width, self.output_width = input_width, width

    def shifts(self, batch: int, context: Context | None) -> list[Any]:
        """What the context adds to each tier, the samples last; zeros where a vector could be read and is not given."""
        if not len(self.projections):
            return [()] * (len(self.tiers) + 1)
        if context is None or context.vector is None:
            return [self.zeros(batch, projection.out_features) for projection in self.projections]
        return [projection(context.vector).to(self.zeros(0).dtype) for projection in self.projections]

    def init_state(self, batch: int, context: Context | None = None) -> TiersState:
        """Silence behind, and the learned first states."""
        *shifts, last = self.shifts(batch, context)
        tiers = []
        for tier, shift in zip(self.tiers, shifts, strict=True):
            start = tier.recurrent.start
            vectors = self.zeros(batch, tier.ratio, self.output_width)
            tiers.append(TierState(self.zeros(batch, *start.shape) + start, vectors, shift))
        values = self.zeros(batch, self.frames[0] - 1, 1)
        inputs = self.zeros(batch, self.context - 1, self.input_width)
        return TiersState(first_clock(batch, values.device), values, inputs, tuple(tiers), last)

    def condition(self, state: TiersState, context: Context) -> TiersState:
        """Another context from here on; vectors that were made of the last frame stay as they are."""
        *shifts, last = self.shifts(state.clock.shape[0], context)
        tiers = tuple(own._replace(shift=shift) for own, shift in zip(state.tiers, shifts, strict=True))
        return state._replace(tiers=tiers, shift=last)

    def samples(
        self, windows: Float[Tensor, "b t w"], above: Float[Tensor, "b t d"], state: TiersState
    ) -> Float[Tensor, "b t d"]:
        """The sample tier at each step."""
        return self.outlet(shifted(self.inlet(windows) + above, state.shift))

    def step(self, x: Float[Tensor, "b i"], state: TiersState) -> tuple[Float[Tensor, "b o"], TiersState]:
        """One sample: of each tier only the rows at whose step a frame is complete."""
        x = x.to(state.inputs.dtype)
        inputs = torch.cat([state.inputs, x.unsqueeze(1)], 1)
        values = torch.cat([state.values, x[:, :1].unsqueeze(1)], 1)
        rows, above, after = torch.arange(x.shape[0], device=x.device), None, []
        for tier, own in zip(self.tiers, state.tiers, strict=True):
            due = rows[state.clock % tier.frame == 0]
            if len(due):
                heard = None if above is None else above[due].unsqueeze(1)
                _, part = tier(values[due, -tier.frame :].mT, heard, states.take(own, due))
                own = states.put(own, due, part)
            turn = state.clock % tier.frame * tier.ratio // tier.frame
            above = own.vectors[rows, turn]
            after.append(own)
        assert above is not None
        features = self.samples(inputs.flatten(1).unsqueeze(1), above.unsqueeze(1), state).squeeze(1)
        return features, TiersState(later(state.clock, 1), values[:, 1:], inputs[:, 1:], tuple(after), state.shift)

    def parallel(self, x: Float[Tensor, "b t i"], state: TiersState) -> tuple[Float[Tensor, "b t o"], TiersState]:
        """A whole sequence, for all rows together that stand at the same place of their top frame."""
        phases = distinct(state.clock) % self.frames[0]
        found = sorted(set(phases.tolist()))
        if len(found) == 1:
            return self.in_phase(x, state, found[0])
        parts, after = [], state
        for phase in found:
            rows = (phases == phase).nonzero().squeeze(1)
            output, part = self.in_phase(x[rows], states.take(state, rows), phase)
            parts.append((rows, output))
            after = states.put(after, rows, part)
        order = torch.cat([rows for rows, _ in parts]).argsort()
        return torch.cat([output for _, output in parts])[order], after

    def in_phase(
        self, x: Float[Tensor, "b t i"], state: TiersState, phase: int
    ) -> tuple[Float[Tensor, "b t o"], TiersState]:
        """`parallel` for rows whose clocks are `phase` past a whole top frame: each tier over all of its frames."""
        time, longest = x.shape[1], self.frames[0]
        x = x.to(state.inputs.dtype)
        values, inputs = torch.cat([state.values, x[..., :1]], 1), torch.cat([state.inputs, x], 1)
        above, after = None, []
        for tier, own in zip(self.tiers, state.tiers, strict=True):
            wait = -phase % tier.frame  # steps before its next frame is complete
            left = wait * tier.ratio // tier.frame  # steps of the tier below that its last frame still serves
            vectors = [own.vectors[:, tier.ratio - left :]]
            if wait < time:
                frames = values[:, longest - tier.frame + wait :, 0].unfold(1, tier.frame, tier.frame)
                heard = None if above is None else above[:, : frames.shape[1]]
                made, own = tier(frames, heard, own)
                vectors.append(made.flatten(1, 2))
            above = torch.cat(vectors, 1)
            after.append(own)
        assert above is not None
        windows = inputs.unfold(1, self.context, 1).transpose(2, 3).flatten(2)
        features = self.samples(windows, above[:, :time], state)
        clock = later(state.clock, time)
        return features, TiersState(clock, values[:, time:], inputs[:, time:], tuple(after), state.shift)
