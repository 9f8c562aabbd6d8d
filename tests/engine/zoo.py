"""What the laws of the engine are tried on: random hybrids of every part, and the text systems in tiny sizes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import nn

from tests.laws import worlds
from unrolled.backbones import (
    ALL,
    GRU,
    LSTM,
    Attention,
    Conditioned,
    Convolution,
    Elman,
    LearnedPositions,
    NestedLSTM,
    Residual,
    Stack,
    Stateless,
    Tiers,
    Window,
    gpt2_block,
    llama_block,
)
from unrolled.backbones.feedforward import GELU, SwiGLU
from unrolled.backbones.normed import fold
from unrolled.codecs import make_codec
from unrolled.core.contracts import Budget
from unrolled.core.protocol import Backbone
from unrolled.models.sequence import SequenceModel
from unrolled.systems import find_system

WIDTH, LIMIT = 4, 40  # LIMIT is more than any age
LOWERED = ALL


class Plan(NamedTuple):
    """A module that is to be made: hypothesis draws plans, because torch draws weights when modules are made."""

    kind: Callable[..., Any]
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


def make(plan: Any) -> Any:
    """The module of a plan; anything else as it is."""
    if not isinstance(plan, Plan):
        return plan
    return plan.kind(*map(make, plan.arguments), **plan.settings)


def plans(kind: Callable[..., Any], *arguments: Any, **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Plan]:
    """Plans of one kind: arguments are strategies or values."""
    drawn = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in arguments]
    return st.builds(Plan, st.just(kind), st.tuples(*drawn), st.fixed_dictionaries(options))


def alone(*modules: nn.Module) -> Stateless:
    return Stateless(nn.Sequential(*modules, nn.Dropout(0.5)), WIDTH)


small, count, yes_or_no = st.integers(1, 6), st.integers(1, 3), st.booleans()
modules = st.one_of(
    *(plans(kind) for kind in (nn.Identity, nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU)),
    plans(nn.GELU, approximate=st.just("tanh")),
    plans(nn.Linear, WIDTH, WIDTH, bias=yes_or_no),
    plans(nn.LayerNorm, WIDTH, elementwise_affine=yes_or_no, bias=yes_or_no),
    plans(nn.RMSNorm, WIDTH, eps=st.sampled_from([None, 1e-6])),
    plans(nn.RMSNorm, WIDTH, eps=st.just(1e-6), elementwise_affine=yes_or_no),
    plans(GELU, WIDTH, small, form=st.sampled_from(["exact", "tanh"]), bias=yes_or_no),
    plans(SwiGLU, WIDTH, small),
)
attentions = [
    plans(
        Attention, WIDTH, heads=st.just(heads), key_heads=st.just(key_heads), window=st.integers(1, 5), bias=yes_or_no,
        rotary=st.sampled_from([None, 100.0]),
    )
    for heads, key_heads in ((1, 1), (2, 1), (2, 2))
]  # fmt: skip
parts = st.one_of(
    st.builds(Plan, st.just(alone), st.lists(modules, min_size=1, max_size=3).map(tuple), st.just({})),
    *(plans(kind, WIDTH, WIDTH, layers=count, learned_start=yes_or_no) for kind in (Elman, GRU, LSTM)),
    plans(NestedLSTM, WIDTH, WIDTH, layers=count, depth=count),
    plans(
        Convolution, WIDTH, 5, dilations=st.lists(st.integers(1, 4), min_size=1, max_size=3), kernel=count,
        inlet_kernel=count, gate_width=small, skip_width=st.just(WIDTH), residual_scale=st.sampled_from([1.0, 0.75]),
    ),
    plans(
        Tiers, WIDTH, WIDTH, frames=st.sampled_from([(1,), (3,), (4, 2), (4, 4), (6, 2, 1)]), layers=st.integers(1, 2),
        cell=st.sampled_from(["gru", "lstm"]), skip=yes_or_no, context=count, vector_width=st.sampled_from([0, 3]),
    ),
    plans(Window, WIDTH, WIDTH, window=st.integers(1, 4), layers=count),
    *attentions,
    plans(LearnedPositions, WIDTH, LIMIT),
    plans(gpt2_block, WIDTH, heads=st.just(2), window=st.integers(1, 5), bias=yes_or_no),
    plans(llama_block, WIDTH, heads=st.just(2), window=st.integers(1, 5), key_heads=st.just(1)),
)  # fmt: skip
hybrids = st.recursive(
    parts,
    lambda inner: st.one_of(
        plans(Residual, inner),
        plans(Conditioned, inner, worlds.VECTOR_WIDTH),
        st.builds(Plan, st.just(Stack), st.lists(inner, min_size=1, max_size=4).map(tuple), st.just({})),
    ),
    max_leaves=6,
)

TEXT = "the quick brown fox jumps over the lazy dog and the cat sat on the mat. " * 4
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "window": ("window", {"embedding": 3, "window": 4, "hidden": 6}),
    "window of one-hot": ("window", {"embedding": 0, "window": 3, "hidden": 6}),
    "window of one": ("window", {"embedding": 3, "window": 1, "hidden": 6}),
    **{f"char-rnn {cell}": ("char-rnn", {"cell": cell, "hidden": 6}) for cell in ("lstm", "gru", "elman")},
    "char-rnn nested": ("char-rnn", {"cell": "nested-lstm", "hidden": 5, "layers": 2}),
    "char-rnn embedded": ("char-rnn", {"hidden": 6, "layers": 2, "embedding": 4, "symbols": "bytes"}),
    "word-rnn": ("word-rnn", {"hidden": 8, "vocabulary": 40}),
    "word-rnn gru": ("word-rnn", {"hidden": 8, "vocabulary": 270, "symbols": "bpe", "cell": "gru", "layers": 2}),
    "gpt llama": ("gpt", {"layers": 2, "heads": 2, "width": 8, "context": 5}),
    "wavenet": ("wavenet", {"levels": 64, "cycles": 2, "layers": 3, "width": 4, "gate": 5, "skip": 6}),
    "sample-rnn": ("sample-rnn", {"levels": 64, "width": 5, "embedding": 3}),
    "sample-rnn skip": (
        "sample-rnn",
        {"frames": (4,), "levels": 64, "width": 4, "embedding": 0, "layers": 2, "skip": True},
    ),
    "wavenet of joined inputs": (
        "wavenet",
        {"levels": 64, "cycles": 1, "layers": 3, "width": 4, "gate": 5, "skip": 6, "inlet": 2, "residual_scale": 0.75},
    ),
    "gpt gpt-2": ("gpt", {"layers": 2, "heads": 2, "width": 8, "context": 9, "family": "gpt-2"}),
}


def new_model(name: str, field_sizes: tuple[int, ...] = ()) -> SequenceModel:
    """A system of tiny size as training begins with it, but for weight norms, which are folded."""
    system, settings = find_system(SYSTEMS[name][0]), SYSTEMS[name][1]
    config = system.complete(replace(system.Config(), **settings), Budget(1e9, 1000))
    model = system.build(config, _codec(system.codec(config)), field_sizes)
    fold(model)
    return model.eval()


def system_model(name: str, field_sizes: tuple[int, ...] = ()) -> SequenceModel:
    """A system of tiny size with weights in eighths, whose products float32 holds exactly, in float64."""
    model = new_model(name, field_sizes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randint(-6, 7, parameter.shape, generator=generator) / 8)
    return model.double().eval()


def _codec(found: Any) -> Any:
    return make_codec(found[0], [TEXT], found[1]) if isinstance(found, tuple) else found


def representable(backbone: Backbone[Any], seed: int = 0) -> Backbone[Any]:
    """Random weights that float32 holds, in float64; those that are normed are folded before, which rounds them."""
    backbone = worlds.randomise(backbone, seed)
    fold(backbone)
    return backbone.float().double()
