"""The native kernels draw the symbols that torch draws, for every backbone and system, with the same seed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.engine import zoo
from tests.laws import worlds
from unrolled.backbones import ALL
from unrolled.core.draws import Draws
from unrolled.core.protocol import Context
from unrolled.engine import runtime
from unrolled.engine.lowering import NotLowered, lower
from unrolled.generation import native
from unrolled.generation.rules import Rules
from unrolled.generation.sampling import probabilities
from unrolled.generation.stream import generate
from unrolled.generation.text import Step
from unrolled.generation.window import window_start
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import FieldEmbedding, SequenceModel

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

SIZE, LENGTH, SEED = 9, 60, 2  # beyond the 40 learned positions of the examples
BOUNDARY = 1e-5  # draws nearer than this to the border between two symbols may fall on either side
PROMPTS = [[], [7, 0, 1, 2, 3], [7, 4], [7, *[5, 1, 2] * 16], [3, 3]]
MIXED = Rules(temperature=0.8, top_p=0.9, repetition_penalty=1.2)
CONDITIONED = ("wavenet", "tiers_lstm", "conditioned")  # those that read a vector
STEERED = ("wavenet",)  # those that read a control in every step too
FIELDS = (2, 1)


def backbone_model(name: str) -> SequenceModel:
    """A backbone between random embeddings and a loud head, so that what it draws depends on all that it has read."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        backbone, fields = ALL[name](), None
        if name in CONDITIONED:
            fields = FieldEmbedding((3, 4), worlds.VECTOR_WIDTH)
            for table in fields.tables.parameters():
                nn.init.normal_(table, std=0.3)
        embed, head = nn.Embedding(SIZE, backbone.input_width), Categorical(backbone.output_width, SIZE)
        nn.init.normal_(head.project.weight)
        return SequenceModel(embed, backbone, head, begin=7, end=8, fields=fields).eval().requires_grad_(False)


def system_model(name: str, field_sizes: tuple[int, ...]) -> SequenceModel:
    """A system of tiny size with a loud head."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        model: Any = zoo.new_model(name, field_sizes)
        nn.init.normal_(model.head.project.weight)
        return model.requires_grad_(False)


def drawn(steps: Iterator[Step], rows: int) -> list[list[tuple[int, float]]]:
    """The symbols that each row drew, with their log probabilities."""
    found: list[list[tuple[int, float]]] = [[] for _ in range(rows)]
    for step in steps:
        for row in np.flatnonzero(np.asarray(step.drawn)):
            found[row].append((int(step.symbols[row]), float(step.log_probability[row])))
    return found


def at_a_border(
    model: SequenceModel, text: list[int], stream: int, context: Context | None, rules: Rules, never: list[int]
) -> bool:
    """Whether rounding may decide which symbol follows `text`; those in `never` do not."""
    state, features = model.init_state(1, context), torch.empty(0)
    for symbol in text[window_start(len(text), model.position_limit) :]:
        features, state = model.step(torch.tensor([symbol]), None, state)
    logits = model.head.logits(features)
    seen, forbidden = torch.zeros(logits.shape, dtype=torch.bool), torch.zeros(logits.shape[1], dtype=torch.bool)
    seen[0, text], forbidden[never] = True, True
    shares = probabilities(logits, rules, seen, forbidden)
    uniform = Draws(SEED, np.array([stream]), np.array([len(text)])).uniform()
    return bool(((shares.cumsum(1) / shares.sum() - torch.from_numpy(uniform)).abs() < BOUNDARY).any())


@torch.no_grad()
def compare(model: SequenceModel, prompts: Sequence[list[int]], rules: Rules, stop_at_end: bool) -> None:
    """Both engines draw the same symbols, up to the first draw of a row that rounding may decide."""
    fields = FIELDS if model.fields is not None else ()
    context = model.context(torch.tensor([fields])) if fields else None
    everyone = model.context(torch.tensor([fields] * len(prompts))) if fields else None
    never = [model.begin] if stop_at_end else [model.begin, model.end]
    settings: Any = {"length": LENGTH, "rules": rules, "seed": SEED, "stop_at_end": stop_at_end}
    wanted = drawn(generate(model, prompts, context=everyone, **settings), len(prompts))
    session = runtime.Session(runtime.Packed(lower(model)), len(prompts))
    found = drawn(native.generate(session, prompts, fields=fields, **settings), len(prompts))
    whole = 0
    for stream, (prompt, mine, theirs) in enumerate(zip(prompts, found, wanted, strict=True)):
        text = list(prompt) or [model.begin]
        for (symbol, nats), (other, known) in zip(mine, theirs, strict=False):
            if symbol != other:
                assert at_a_border(model, text, stream, context, rules, never), f"row {stream} after {text}"
                break
            assert nats == pytest.approx(known, abs=1e-4)
            text.append(symbol)
        else:
            assert len(mine) == len(theirs)
            whole += 1
    assert whole > len(prompts) // 2  # the border is no way out
    assert len({symbol for row in found for symbol, _ in row}) > 3


@pytest.mark.parametrize(("rules", "stop_at_end"), [(Rules(), False), (MIXED, False), (MIXED, True)])
@pytest.mark.parametrize("name", [name for name in ALL if name not in STEERED])
def test_every_backbone_draws_the_same_symbols(name: str, rules: Rules, stop_at_end: bool):
    compare(backbone_model(name), PROMPTS, rules, stop_at_end)


@pytest.mark.parametrize("name", STEERED)
def test_what_is_steered_in_every_step_has_no_lowering_behind_symbols(name: str):
    """Text has no such controls; the systems of this kind are compared below."""
    with pytest.raises(NotLowered, match="controls"):
        lower(backbone_model(name))


@pytest.mark.parametrize("field_sizes", [(), (3, 4)], ids=["free", "conditioned"])
@pytest.mark.parametrize("name", zoo.SYSTEMS)
def test_every_system_draws_the_same_symbols(name: str, field_sizes: tuple[int, ...]):
    compare(system_model(name, field_sizes), [[], [3, 1, 4, 1, 2], [2]], Rules(), stop_at_end=False)


def test_a_draw_at_a_border_is_known():
    """Of two symbols that share all probability, the draw itself is the border."""
    model = backbone_model("window")
    head: Any = model.head
    uniform = float(Draws(SEED, np.array([3]), np.array([1])).uniform()[0])
    for shift, known in ((0.0, True), (1e-4, False)):
        share = uniform + shift
        head.project.weight.zero_()
        head.project.bias.fill_(-100.0)
        head.project.bias[:2] = torch.tensor([share, 1 - share]).log()
        assert at_a_border(model, [7], 3, None, Rules(), [7]) == known
