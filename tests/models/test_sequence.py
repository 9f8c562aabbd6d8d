"""The sequence model around its backbone: fields, prompts, ends."""

import torch

from unrolled.backbones import LSTM, Conditioned
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import FieldEmbedding, OneHot, SequenceModel


def model() -> SequenceModel:
    torch.manual_seed(0)
    backbone = Conditioned(LSTM(20, 16), 64)
    return SequenceModel(OneHot(20), backbone, Categorical(16, 20), begin=18, end=19, fields=FieldEmbedding((40,), 64))


def test_fields_begin_as_a_whisper():
    """A shift as loud as the symbols themselves keeps a model from learning them."""
    found = model().eval()
    state = found.init_state(39, found.context(torch.arange(1, 40)[:, None]))
    assert state.shift.norm(dim=1).max() < 0.1  # beside a unit vector
    assert state.shift.norm(dim=1).min() > 0


def test_an_unspecified_field_adds_nothing():
    found = model().eval()
    state = found.init_state(2, found.context(torch.zeros(2, 1, dtype=torch.int64)))
    assert not state.shift.any()


def test_reading_a_prompt_equals_stepping_through_it():
    found = model().eval()
    symbols = torch.tensor([[1, 2, 3], [4, 0, 0]])
    with torch.no_grad():
        read = found.read(symbols, torch.tensor([3, 1]), found.init_state(2))
        alone = found.init_state(1)
        for symbol in (1, 2, 3):
            _, alone = found.step(torch.tensor([symbol]), None, alone)
    torch.testing.assert_close(read.inner.hidden[:1], alone.inner.hidden)


def test_the_end_symbol_ends_a_row():
    assert model().done(torch.tensor([19, 18]), None).tolist() == [True, False]
