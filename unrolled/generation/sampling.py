"""From logits to the probabilities that a symbol is drawn with under sampling rules, and the draw itself.

The rules apply in this order, each to what the one before it left: forbidden symbols, repetition penalty, temperature,
top-k, top-p, min-p, typical. The survivors are renormalised at the end. Everything is computed in float64.
"""

import math

import torch

from unrolled.core.shapes import Bool, Float, Int, Shaped, Tensor
from unrolled.generation.rules import Rules


def probabilities(
    logits: Float[Tensor, "b v"],
    rules: Rules,
    seen: Shaped[Tensor, "b v"] | None = None,
    forbidden: Bool[Tensor, " v"] | None = None,
) -> Float[Tensor, "b v"]:
    """The float64 probability of each symbol under `rules`.

    `seen` marks (or counts) the symbols of each row that have occurred; it is needed by the repetition penalty alone.
    """
    scores = logits.double()
    if forbidden is not None:
        scores = scores.masked_fill(forbidden, -math.inf)
    if rules.repetition_penalty != 1 and seen is not None:
        scores = torch.where(seen.bool(), penalised(scores, rules.repetition_penalty), scores)
    if rules.temperature == 0:
        return torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1.0)
    if rules.temperature != 1:
        scores = (scores - scores.amax(1, keepdim=True)) / rules.temperature
    if 0 < rules.top_k < scores.shape[1]:
        scores = scores.masked_fill(~most_probable(scores, rules.top_k), -math.inf)
    for keep, setting, neutral in (
        (nucleus, rules.top_p, 1.0),
        (above_share, rules.min_p, 0.0),
        (typical_set, rules.typical, 1.0),
    ):
        if setting != neutral:
            scores = scores.masked_fill(~keep(scores.softmax(1), setting), -math.inf)
    return scores.softmax(1)


def choose(probability: Float[Tensor, "b v"], uniform: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """The symbol at which the cumulative probability first exceeds `uniform` (in [0, 1)) times the total.

    A symbol with probability 0 is never chosen: a target that rounding has brought up to the total is lowered by one
    unit in the last place, and then falls to the last symbol that the sum feels.
    """
    cumulative = probability.double().cumsum(1)
    total = cumulative[:, -1]
    target = torch.minimum(uniform.double() * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target.unsqueeze(1), right=True).squeeze(1)


def penalised(scores: Float[Tensor, "b v"], penalty: float) -> Float[Tensor, "b v"]:
    """Scores made less likely. Source: Keskar et al. 2019, "CTRL", section 4.1."""
    return torch.where(scores > 0, scores / penalty, scores * penalty)


def most_probable(scores: Float[Tensor, "b v"], count: int) -> Bool[Tensor, "b v"]:
    """Exactly the `count` highest of each row, lower indices first among equals."""
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


def nucleus(probability: Float[Tensor, "b v"], mass: float) -> Bool[Tensor, "b v"]:
    """The fewest most probable symbols that hold at least `mass`. Source: Holtzman et al. 2020, section 3.1."""
    return first_to_hold(probability, probability.sort(dim=1, descending=True, stable=True).indices, mass)


def above_share(probability: Float[Tensor, "b v"], share: float) -> Bool[Tensor, "b v"]:
    """Symbols with at least `share` of the highest probability. Source: Nguyen et al. 2024, "Min-p"."""
    return probability >= share * probability.amax(1, keepdim=True)


def typical_set(probability: Float[Tensor, "b v"], mass: float) -> Bool[Tensor, "b v"]:
    """The symbols nearest to the entropy in information that hold `mass`. Source: Meister et al. 2023, section 3.4."""
    information = -probability.log()
    entropy = torch.special.entr(probability).sum(1, keepdim=True)
    order = (information - entropy).abs().sort(dim=1, stable=True).indices
    return first_to_hold(probability, order, mass)


def first_to_hold(probability: Float[Tensor, "b v"], order: Int[Tensor, "b v"], mass: float) -> Bool[Tensor, "b v"]:
    """The shortest beginning of `order` that holds at least `mass`; never empty."""
    ordered = probability.gather(1, order)
    before = ordered.cumsum(1) - ordered
    before[:, 0] = 0.0
    return torch.zeros_like(probability, dtype=torch.bool).scatter_(1, order, before < mass)
