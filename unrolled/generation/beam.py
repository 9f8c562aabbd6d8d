"""Beam search: the most probable continuations of one prompt, by nothing but `step` and taking rows of states."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from unrolled.core import state as states
from unrolled.core.errors import UsageError
from unrolled.core.protocol import Context
from unrolled.core.shapes import Float, Tensor
from unrolled.generation.reading import read_windows, select
from unrolled.generation.window import window_start


class Beam(NamedTuple):
    """One continuation. `symbols` hold the end symbol if it `ended`; `log_likelihood` is in nats.

    `score`: log likelihood divided by the number of symbols to the power that the search was given.
    """

    symbols: tuple[int, ...]
    log_likelihood: float
    score: float
    ended: bool


@torch.inference_mode()
def beam_search(
    model: Any,
    prompt: Sequence[int],
    *,
    width: int,
    length: int,
    normalise: float = 0.0,
    context: Context | None = None,
    forbidden: Sequence[int] = (),
    stop_at_end: bool = True,
) -> list[Beam]:
    """At most `width` continuations of up to `length` symbols, best score first.

    `normalise`: 0 compares log likelihoods, which favours short ones, and 1 compares nats per symbol. `context` has
    one row. Among equals, continuations of better ones come first, then lower symbols.
    Raises: UsageError for a width below 1 or a negative `normalise`.
    """
    if width < 1 or normalise < 0:
        raise UsageError(f"beam width {width}, normalise {normalise}: pass a width of 1 or more and 0 or more")
    start = list(prompt) or [model.begin]
    never = sorted({model.begin, *forbidden} | (set() if stop_at_end else {model.end}))
    live, finished = [Beam((), 0.0, 0.0, False)], []
    state = read_windows(model, [start], context)
    device = next(model.parameters()).device
    for index in range(length):
        texts = [start + list(beam.symbols) for beam in live]
        count, limit = len(texts[0]), model.position_limit
        if index and window_start(count, limit) != window_start(count - 1, limit):
            state = read_windows(
                model, texts, select(context, torch.zeros(len(live), dtype=torch.int64, device=device))
            )
        features, state = model.step(torch.tensor([text[-1] for text in texts], device=device), None, state)
        nats = model.head.logits(features).cpu().double().log_softmax(1).index_fill(1, torch.tensor(never), -torch.inf)
        parents, live, ended = expand(live, nats, width, model.end, normalise)
        finished = best(finished + ended, width)
        if not live or (len(finished) == width and finished[-1].score >= attainable(live, length, normalise)):
            return finished
        state = states.take(state, torch.tensor(parents, device=device))
    return best(finished + live, width)


def expand(
    live: list[Beam], nats: Float[Tensor, "b v"], width: int, end: int, normalise: float
) -> tuple[list[int], list[Beam], list[Beam]]:
    """The parents of the next live beams, those beams, and the ones that end now.

    Of the best 2 * width continuations, those that end count if they are among the best `width`, and the best `width`
    of the others live on.
    """
    totals = nats + torch.tensor([[beam.log_likelihood] for beam in live], dtype=torch.float64)
    order = totals.flatten().sort(descending=True, stable=True)
    parents, going, ended = [], [], []
    for rank, (index, total) in enumerate(
        zip(order.indices[: 2 * width].tolist(), order.values[: 2 * width].tolist(), strict=True)
    ):
        parent, symbol = divmod(index, nats.shape[1])
        if total == -torch.inf:
            break
        symbols = (*live[parent].symbols, symbol)
        beam = Beam(symbols, total, total / len(symbols) ** normalise, symbol == end)
        if beam.ended and rank < width:
            ended.append(beam)
        elif not beam.ended and len(going) < width:
            parents.append(parent)
            going.append(beam)
    return parents, going, ended


def best(beams: list[Beam], width: int) -> list[Beam]:
    """The `width` highest scores, earlier ones first among equals."""
    return sorted(beams, key=lambda beam: -beam.score)[:width]


def attainable(live: list[Beam], length: int, normalise: float) -> float:
    """A bound on the score that any continuation of the live beams can reach."""
    return max(beam.log_likelihood for beam in live) / length**normalise
