"""Ragged batches over every registered backbone: each row as it would be alone, and as reading its text anew says."""

import pytest
import torch
from torch import nn

from unrolled.backbones import ALL
from unrolled.core.protocol import Context
from unrolled.generation.reading import select
from unrolled.generation.rules import Rules
from unrolled.generation.stream import generate
from unrolled.generation.text import collect
from unrolled.generation.window import window_start
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel

SIZE, LENGTH = 9, 60  # beyond the 40 learned positions of the examples
PROMPTS = [[7], [7, 0, 1, 2, 3], [7, 4], [7, *[5, 1, 2] * 16], [7, 3, 3]]


def build(name):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = ALL[name]()
        embed, head = nn.Embedding(SIZE, backbone.input_width), Categorical(backbone.output_width, SIZE)
        nn.init.normal_(head.project.weight)
        return SequenceModel(embed, backbone, head, begin=7, end=8).eval(), Context(vector=torch.randn(5, 3))


def log_likelihood(model, text, start, context):
    """Of the symbols of `text` from `start` on, each from its own window read in parallel."""
    total = 0.0
    for count in range(start, len(text)):
        window = text[window_start(count, model.position_limit) : count]
        inputs = model.embed(torch.tensor([window]))
        features, _ = model.backbone.parallel(inputs, model.init_state(1, context))
        total += float(model.head.logits(features[0, -1]).double().log_softmax(0)[text[count]])
    return total


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_rows_of_a_ragged_batch_are_what_they_are_alone(name, nine_letters):
    model, context = build(name)

    def texts(prompts, **options):
        steps = generate(model, prompts, length=LENGTH, rules=Rules(top_p=0.95), seed=2, **options)
        return collect(steps, nine_letters, prompts, LENGTH, model.position_limit)

    together = texts(PROMPTS, context=context)
    for row, (prompt, text) in enumerate(zip(PROMPTS, together, strict=True)):
        mine = select(context, torch.tensor([row]))
        (alone,) = texts([prompt], streams=[row], context=mine)
        assert alone.symbols == text.symbols
        assert alone.log_likelihood == pytest.approx(text.log_likelihood, abs=1e-5 * len(text.symbols))
        expected = log_likelihood(model, [*prompt, *text.symbols], len(prompt), mine)
        assert text.log_likelihood == pytest.approx(expected, abs=1e-5 * len(text.symbols))
    assert len({len(text.symbols) for text in together}) > 1
