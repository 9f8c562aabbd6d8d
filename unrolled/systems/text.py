"""Assembly that the text systems share."""

from dataclasses import replace
from typing import Any

from torch import nn

from unrolled.backbones.combinators import Conditioned
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import NOMINAL_OPERATIONS, Budget
from unrolled.core.protocol import Backbone
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import FieldEmbedding, OneHot, SequenceModel
from unrolled.training.recipe import Recipe

COMMANDS = frozenset({"train", "generate", "complete", "curate", "evaluate", "check"})
FIELD_WIDTH = 64


def embedding(codec: TextCodec, width: int) -> tuple[Any, int]:
    """How symbols enter and how wide they are: one-hot for a `width` of 0, else a learned embedding."""
    if width == 0:
        return OneHot(codec.size), codec.size
    return nn.Embedding(codec.size, width), width


def sequence_model(
    codec: TextCodec, embed: nn.Module, backbone: Backbone, head: Categorical, field_sizes: tuple[int, ...]
) -> SequenceModel:
    """The model of a text system, conditioned on fields where the corpus has chosen ones."""
    fields = FieldEmbedding(field_sizes, FIELD_WIDTH) if field_sizes else None
    conditioned = Conditioned(backbone, FIELD_WIDTH) if field_sizes else backbone
    return SequenceModel(embed, conditioned, head, begin=codec.begin, end=codec.end, fields=fields)


def nearest_multiple(value: float, multiple: int, low: int, high: int) -> int:
    """`value` rounded to a multiple and kept within [low, high]."""
    return max(low, min(high, round(value / multiple) * multiple))


def scaled(recipe: Recipe, budget: Budget) -> Recipe:
    """The recipe of minutes on a laptop, with more rows for a longer budget, which sees finer gains.

    Twice the rows from some fifteen times those minutes on, four times at most; rates go with the root of the rows, and
    otherwise stay: in minutes neither other rates nor other rows win, and Muon's updates fit every width. Sources:
    McCandlish et al. 2018 (batch), Malladi et al. 2022 (rates).
    """
    times = max(1, min(4, round((budget.operations / NOMINAL_OPERATIONS) ** 0.15)))
    rates = {name: getattr(recipe, name) * times**0.5 for name in ("learning_rate", "matrix_rate")}
    return replace(recipe, rows=recipe.rows * times, **rates)
