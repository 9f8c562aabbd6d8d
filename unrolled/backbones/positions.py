"""Where in its sequence each row is: clocks, learned positions and rotary angles."""

import torch
from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Int, Tensor

Clock = Int[Tensor, " b"]  # symbols read so far, int64


def first_clock(batch: int, device: torch.device) -> Int[Tensor, " b"]:
    """Zero in every row. Rows that share an age share the storage, which `distinct` can see without reading it."""
    return torch.zeros(1, dtype=torch.int64, device=device).expand(batch)


def distinct(clock: Int[Tensor, " b"]) -> Int[Tensor, " rows"]:
    """One entry where every row is known to have the same age, else one for each row."""
    return clock[:1] if clock.stride(0) == 0 else clock


def later(clock: Int[Tensor, " b"], time: int) -> Int[Tensor, " b"]:
    """The clock after `time` symbols."""
    return (distinct(clock) + time).expand(clock.shape[0])


def positions(clock: Int[Tensor, " b"], time: int) -> Int[Tensor, "rows t"]:
    """Positions of the next `time` symbols, for one row where all rows have the same."""
    return distinct(clock).unsqueeze(1) + torch.arange(time, device=clock.device)


def rotary_turns(
    clock: Int[Tensor, " b"], time: int, head_width: int, base: float, dtype: torch.dtype
) -> tuple[Float[Tensor, "rows t 1 half"], Float[Tensor, "rows t 1 half"]]:
    """Cosine and sine of the angle of each half pair at the next `time` positions.

    Angles are products in float64, because float32 loses them after some ten thousand symbols.
    """
    exact = torch.float32 if clock.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    half = head_width // 2
    frequencies = torch.logspace(0, 1 / half - 1, half, base=base, dtype=exact, device=clock.device)
    angles = (positions(clock, time).to(exact).unsqueeze(-1) * frequencies).unsqueeze(2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(
    x: Float[Tensor, "b t h d"], cosine: Float[Tensor, "rows t 1 half"], sine: Float[Tensor, "rows t 1 half"]
) -> Float[Tensor, "b t h d"]:
    """Turn the halves of every head. Source: Su et al. 2021, eq. 34, with halves instead of pairs as Llama has it."""
    left, right = x.chunk(2, -1)
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1)


class LearnedPositions(Backbone[Tensor]):
    """Adds a learned vector for each position up to `limit`; the state is the clock of each row.

    Raises: IndexError when a row goes past the limit (on a CUDA device torch's assertion instead).
    """

    receptive_field = 1

    def __init__(self, width: int, limit: int) -> None:
        super().__init__()
        self.table = nn.Embedding(limit, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.input_width = self.output_width = width
        self.position_limit = limit

    def init_state(self, batch: int, context: Context | None = None) -> Int[Tensor, " b"]:
        """Clocks at zero."""
        return first_clock(batch, self.table.weight.device)

    def step(self, x: Float[Tensor, "b d"], state: Int[Tensor, " b"]) -> tuple[Float[Tensor, "b d"], Int[Tensor, " b"]]:
        """One symbol."""
        return x + self.table(state), later(state, 1)

    def parallel(
        self, x: Float[Tensor, "b t d"], state: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b t d"], Int[Tensor, " b"]]:
        """A whole sequence."""
        return x + self.table(positions(state, x.shape[1])), later(state, x.shape[1])
