"""The native kernels against random GPT-2 models of the `transformers` package: logits and greedy text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.peers.test_transformers import copy, disturb, parts_of, transformers
from unrolled.backbones import gpt2
from unrolled.engine import runtime
from unrolled.engine.lowering import lower
from unrolled.engine.runtime import NEUTRAL, Draws, Packed, Session
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

GIGABYTES = 6  # of the 124M shape: two models in float32, their copies, and the packed weights


def with_gpt2(size: int, width: int, layers: int, heads: int, context: int, sharp: bool) -> tuple[Any, SequenceModel]:
    """Theirs and ours with the same weights; those of `sharp` models, which are not tied, let all of them count."""
    config = transformers.GPT2Config(
        vocab_size=size, n_positions=context, n_embd=width, n_layer=layers, n_head=heads, bos_token_id=0,
        eos_token_id=0, tie_word_embeddings=not sharp,
    )  # fmt: skip
    torch.manual_seed(4)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    if sharp:
        disturb(theirs)
    backbone, body = gpt2(width, layers=layers, heads=heads, window=context), theirs.transformer
    embed, head = nn.Embedding(size, width), Categorical(width, size, bias=False)
    if not sharp:
        head.project.weight = embed.weight
    positions, _, *blocks, norm = backbone.parts
    pairs = {
        embed: (body.wte.weight, None),
        head.project: (theirs.lm_head.weight, None),
        positions.table: (body.wpe.weight, None),
        norm.module: (body.ln_f.weight, body.ln_f.bias),
    }
    for mine, theirs_block in zip(blocks, body.h, strict=True):
        norm1, attention, norm2, feedforward = parts_of(mine)
        pairs[norm1] = (theirs_block.ln_1.weight, theirs_block.ln_1.bias)
        pairs[norm2] = (theirs_block.ln_2.weight, theirs_block.ln_2.bias)
        for module, linear in (
            (attention.inputs, theirs_block.attn.c_attn),
            (attention.output, theirs_block.attn.c_proj),
            (feedforward.input, theirs_block.mlp.c_fc),
            (feedforward.output, theirs_block.mlp.c_proj),
        ):
            pairs[module] = (linear.weight.T, linear.bias)
    copy(pairs)
    return theirs, SequenceModel(embed, backbone, head, begin=0, end=1).eval()


def session_of(model: SequenceModel, rows: int, instructions: str = "auto") -> Session:
    """A session whose rows are before their first symbol."""
    packed = Packed(lower(model), instructions=instructions)
    session = Session(packed, rows)
    session.set_state(range(rows), packed.program.first_state(rows))
    return session


def logits(session: Session, symbols: torch.Tensor) -> np.ndarray:
    """What the rows give after each of their symbols."""
    rows, time = symbols.shape
    given = symbols.numpy()
    forced = np.concatenate([given[:, 1:], np.zeros((rows, 1), np.int64)], 1)
    found = session.run(range(rows), [time] * rows, last=given[:, 0], forced=forced, outputs=True).outputs
    assert found is not None
    return found


def assert_near(found: np.ndarray, reference: torch.Tensor):
    """Within 1e-4 of the largest value, or of 1."""
    expected = reference.double().numpy()
    assert np.abs(found - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


@torch.no_grad()
@pytest.mark.parametrize("instructions", runtime.instruction_sets())
def test_logits(instructions: str):
    theirs, ours = with_gpt2(60, 32, 3, 4, 64, sharp=True)
    symbols = torch.randint(60, (2, 50), generator=torch.Generator().manual_seed(1))
    reference = theirs(symbols).logits
    assert reference.std() > 0.5
    assert_near(logits(session_of(ours, 2, instructions), symbols), reference)


@torch.no_grad()
def test_greedy_text():
    theirs, ours = with_gpt2(60, 32, 3, 4, 64, sharp=True)
    prompt = torch.tensor([[3]])
    reference = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=60, do_sample=False, use_cache=True,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    zeros = np.zeros(1, np.int64)
    draws = Draws((0.0, *NEUTRAL[1:]), 0, zeros, zeros, np.zeros(60, np.uint8))
    found = session_of(ours, 1).run([0], [60], last=np.array([3]), draws=draws)
    assert [3, *found.symbols[0].tolist()] == reference[0].tolist()
    assert len(set(found.symbols[0].tolist())) > 5  # a text that repeats one symbol would prove little


def available_gigabytes() -> float:
    """Memory that this machine can give; endless where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next((int(line.split()[1]) / 1e6 for line in lines if line.startswith("MemAvailable")), float("inf"))


@torch.no_grad()
def test_logits_of_the_124m_shape():
    if (free := available_gigabytes()) < GIGABYTES:
        pytest.skip(f"{free:.1f} GB of memory are available and the 124M shape needs {GIGABYTES}")
    theirs, ours = with_gpt2(50257, 768, 12, 12, 1024, sharp=False)
    symbols = torch.randint(50257, (1, 6), generator=torch.Generator().manual_seed(1))
    reference = theirs(symbols).logits
    assert reference.std() > 0.3
    assert_near(logits(session_of(ours, 1), symbols), reference)
