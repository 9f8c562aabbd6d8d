"""A mixture of logistic distributions over levels that are evenly spread between -1 and 1."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from unrolled.core.draws import Draws
from unrolled.core.shapes import Float, Int, Tensor
from unrolled.heads.symbols import SymbolHead


class Logistics(SymbolHead):
    """Each level has the mass that `mixtures` mixed logistics lay on its interval, the outer two with the tails.

    Source: Salimans et al. 2017, "PixelCNN++", eq. 2. Level q lies between the edges 2 q / levels - 1 and
    2 (q + 1) / levels - 1. A scale is kept above a fortieth of a level, in which a logistic lies whole, and below e^10.
    `outside` is the number of symbols after the levels, such as begin and end, which have probability 0.
    """

    def __init__(self, width: int, levels: int, *, mixtures: int = 10, outside: int = 0) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"{levels} levels: a distribution needs 2 or more")
        self.project = nn.Linear(width, 3 * mixtures)
        self.levels, self.outside = levels, outside
        self.least_log_scale = math.log(2 / levels) - math.log(40)

    def mixture(self, features: Float[Tensor, "*b o"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means and logarithms of scales of the components on the last axis, in float32 or wider."""
        found = self.project(features)
        found = found.float() if found.dtype in (torch.bfloat16, torch.float16) else found
        logits, means, log_scales = found.chunk(3, -1)
        return logits, means, log_scales.clamp(self.least_log_scale, 10.0)

    def logits(self, features: Float[Tensor, "*b o"]) -> Float[Tensor, "*b v"]:
        """Log probability of each symbol, -inf where it is too small for the dtype."""
        shares, means, log_scales = self.mixture(features)
        edges = torch.arange(1, self.levels, dtype=means.dtype, device=means.device) * (2 / self.levels) - 1
        total: Any = 0
        components = (shares.softmax(-1), means, torch.exp(-log_scales))
        # one component after the other, so that what is computed of 65,536 levels stays in cache
        for share, mean, sharpness in zip(*(part.split(1, -1) for part in components), strict=True):
            place = (edges - mean) * sharpness
            below, above = torch.sigmoid(place), torch.sigmoid(-place)
            # S(upper) - S(lower) of the logistic function S as a product: nothing is lost where both are nearly equal
            inner = below[..., 1:] * above[..., :-1] * -torch.expm1(-(2 / self.levels) * sharpness)
            total = total + share * torch.cat([below[..., :1], inner, above[..., -1:]], -1)
        return F.pad(total, (0, self.outside)).log()

    def losses(self, features: Float[Tensor, "b t o"], target: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """Nats of each symbol of `target`."""
        logits, means, log_scales = self.mixture(features)
        lower = target.unsqueeze(-1).to(means.dtype) * (2 / self.levels) - 1
        upper = (target.unsqueeze(-1) + 1).to(means.dtype) * (2 / self.levels) - 1
        below, above = ((edge - means) * torch.exp(-log_scales) for edge in (lower, upper))
        width = (2 / self.levels) * torch.exp(-log_scales)  # above - below without their rounding
        # log(S(above) - S(below)) of the logistic function S, with no difference of numbers that are nearly equal
        last, first = (target == self.levels - 1).unsqueeze(-1), (target == 0).unsqueeze(-1)
        mass = torch.where(last, 0, F.logsigmoid(above)) + torch.where(first, 0, F.logsigmoid(-below))
        mass = mass + torch.where(first | last, 0, torch.log(-torch.expm1(-width)))
        nats = -torch.logsumexp(logits.log_softmax(-1) + mass, -1)
        return torch.where(target < self.levels, nats, math.inf)

    def sample(self, features: Float[Tensor, "b o"], previous: Int[Tensor, " b"], draws: Draws) -> Int[Tensor, " b"]:
        """One symbol per row: draw 0 chooses the component and draw 1 the place in it, both in float64."""
        logits, means, log_scales = (part.double() for part in self.mixture(features))
        choice, place = (torch.as_tensor(draws.uniform(draw), device=logits.device) for draw in (0, 1))
        cumulative = logits.softmax(-1).cumsum(-1)
        chosen = (cumulative <= choice.unsqueeze(1) * cumulative[:, -1:]).sum(1, keepdim=True)
        chosen = chosen.clamp(max=logits.shape[1] - 1)
        mean, scale = means.gather(1, chosen).squeeze(1), log_scales.gather(1, chosen).squeeze(1).exp()
        value = mean + scale * torch.logit(place)  # the inverse of the logistic function; a draw of 0 gives -inf
        return ((value.clamp(-1, 1) + 1) * (self.levels / 2)).floor().long().clamp(max=self.levels - 1)
