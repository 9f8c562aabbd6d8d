"""What a system is: config, sizes that follow from a budget, model, batches and recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from unrolled.codecs.text import TextCodec
from unrolled.data.encoded import Part
from unrolled.training.recipe import Recipe


class Budget(NamedTuple):
    """What training may cost and what there is to learn from.

    `operations`: floating-point operations that the machine can do in the time given; `symbols`: in the training part.
    """

    operations: float
    symbols: int


@runtime_checkable
class Sampler(Protocol):
    """Batches as a pure function of the step number."""

    steps_per_epoch: int

    def batch(self, step: int) -> Any:
        """The batch of update `step`."""
        ...


@dataclass(frozen=True)
class System:
    """One kind of model, from its settings to its training.

    `Config` is a frozen dataclass; its fields of None are sizes that `complete` derives from a budget.
    """

    name: str
    summary: str
    Config: type
    commands: frozenset[str]
    codec: Callable[[Any], tuple[str, int | None]]  # config -> kind of symbols, size of the vocabulary
    complete: Callable[[Any, Budget], Any]
    build: Callable[[Any, TextCodec, tuple[int, ...]], Any]  # gives the model
    recipe: Callable[[Any, Budget], Recipe]
    batches: Callable[[Any, Part, Recipe, int], Sampler]
