"""What stands around a backbone: encoder, head, batch, model, sampler, system, checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from torch import nn

from unrolled.core.draws import Draws
from unrolled.core.protocol import Context
from unrolled.core.shapes import Bool, Float, Int, Shaped, Tensor
from unrolled.core.state import State


class Encoder(nn.Module):
    """What is not causal, turned into context. Rows never mix and padding changes nothing."""

    def encode(self, inputs: Shaped[Tensor, "b s *_"], lengths: Int[Tensor, " b"] | None) -> Context:
        """The context of each row from the first `lengths` of its inputs."""
        raise NotImplementedError


class Head(nn.Module):
    """Features to a distribution over, or a point in, the symbols.

    `unit` is what `loss` is counted in: nats per symbol for heads with a likelihood. `previous` is the last symbol.
    """

    unit: str = "nats"

    def loss(
        self, features: Float[Tensor, "b t o"], previous: Any, target: Any, mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, ""]:
        """Mean over the positions where `mask` is true."""
        raise NotImplementedError

    def sample(self, features: Float[Tensor, "b o"], previous: Any, draws: Draws) -> Any:
        """One symbol per row."""
        raise NotImplementedError


class Batch(NamedTuple):
    """What one update reads.

    `inputs` and `targets` are symbols, `mask` the positions that count, `restart` the rows at which a new record or
    window begins, `fields` the ids of each row's conditioning fields (width 0 where there are none).
    """

    inputs: Shaped[Tensor, "b t *_"]
    targets: Shaped[Tensor, "b t *_"]
    mask: Bool[Tensor, "b t"]
    restart: Bool[Tensor, " b"]
    fields: Int[Tensor, "b n"]


class Model(Protocol):
    """Embedding, backbone and head as one thing that trains and generates."""

    def __call__(self, batch: Any, state: State | None, draws: Draws) -> tuple[Tensor, State, dict[str, Tensor]]:
        """Loss, the state to carry, and metrics; the only entry of training. A state of None starts every row anew."""
        ...

    def step(self, symbol: Any, control: Any, state: State) -> tuple[Any, State]:
        """Features for the head, one symbol on."""
        ...

    def done(self, symbol: Any, state: State) -> Bool[Tensor, " b"]:
        """The rows that end with `symbol`."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Batches as a pure function of the step number, so that a sampler's state is the step."""

    steps_per_epoch: int

    def batch(self, step: int) -> Batch:
        """The batch of update `step`, counted from 0, on the CPU."""
        ...


NOMINAL_OPERATIONS = 3.6e13  # about three minutes of two laptop cores: sizes follow from it if no minutes are given


class Budget(NamedTuple):
    """What training may cost and what there is to learn from.

    `operations`: floating-point operations that the machine can do in the time given; `symbols`: in the training part;
    `alphabet`: different ones.
    """

    operations: float
    symbols: int
    alphabet: int = 65


@dataclass(frozen=True)
class System:
    """One kind of model, from its settings to its training.

    `Config` is a frozen dataclass that is both its settings and its command-line help; fields of None are sizes that
    `complete` derives from a budget. `commands` are those that make sense for it.
    """

    name: str
    summary: str
    Config: type
    commands: frozenset[str]
    codec: Callable[[Any], Any]  # config -> kind of symbols and size of the vocabulary; for sound the codec itself
    complete: Callable[[Any, Budget], Any]
    build: Callable[[Any, Any, tuple[int, ...]], Any]  # config, codec, sizes of the fields -> model
    recipe: Callable[[Any, Budget], Any]
    batches: Callable[[Any, Any, Any, int], Sampler]  # config, part, recipe, seed
    medium: Literal["text", "sound"] = "text"


class Checkpoint(NamedTuple):
    """Named tensor trees and JSON scalars; what they mean is for those who save and load them to know."""

    path: Path
    step: int
    trees: dict[str, dict[str, Tensor]]
    scalars: dict[str, Any]
