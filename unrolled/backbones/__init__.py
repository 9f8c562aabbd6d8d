"""Causal maps from sequences to sequences, each with two equal views (see core.protocol).

`ALL` is what the laws in tests/laws run over: to add a backbone, write its file and add one line here.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from unrolled.backbones.attention import Attention
from unrolled.backbones.combinators import Conditioned, Residual, Stack, Stateless
from unrolled.backbones.convolution import Convolution
from unrolled.backbones.nested_lstm import NestedLSTM
from unrolled.backbones.positions import LearnedPositions
from unrolled.backbones.recurrent import GRU, LSTM, Elman
from unrolled.backbones.tiers import Tiers
from unrolled.backbones.transformer import gpt2, gpt2_block, llama, llama_block, transformer
from unrolled.backbones.window import Window
from unrolled.core.protocol import Backbone

# Small examples that read vectors of width 3, cheap enough to take gradients at every symbol.
ALL: dict[str, Callable[[], Backbone[Any]]] = {
    "window": lambda: Window(4, 6, window=3, layers=2),
    "elman": lambda: Elman(4, 5, layers=2, learned_start=True),
    "gru": lambda: GRU(4, 5, layers=2, learned_start=True),
    "lstm": lambda: LSTM(4, 5, layers=3, learned_start=True),
    "nested_lstm": lambda: NestedLSTM(4, 5, layers=2, depth=3),
    "convolution": lambda: Convolution(4, 6, dilations=(1, 2) * 2, kernel=3, gate_width=5, skip_width=7),
    "wavenet": lambda: Convolution(
        4, 6, dilations=(1, 2, 4), inlet_kernel=3, gate_width=5, residual_scale=0.75, vector_width=3, control_width=1
    ),
    "tiers": lambda: Tiers(4, 5, frames=(4, 2), layers=2, skip=True),
    "tiers_lstm": lambda: Tiers(4, 5, frames=(3,), cell="lstm", context=2, vector_width=3),
    "attention": lambda: Attention(4, heads=2, window=4, rotary=100.0),
    "learned_positions": lambda: LearnedPositions(4, limit=40),
    "gpt2": lambda: gpt2(4, layers=2, heads=2, window=5, limit=40),
    "llama": lambda: llama(8, layers=2, heads=4, key_heads=2, window=4, hidden=6),
    "hybrid": lambda: Stack(
        Convolution(4, 6, dilations=(1, 2)),
        Residual(Stack(Stateless(nn.RMSNorm(6), 6), Attention(6, heads=3, window=4))),
        Residual(GRU(6, 6)),
    ),
    "conditioned": lambda: Conditioned(Stack(LSTM(4, 6), Residual(GRU(6, 6))), vector_width=3),
}

__all__ = [
    "ALL",
    "GRU",
    "LSTM",
    "Attention",
    "Conditioned",
    "Convolution",
    "Elman",
    "LearnedPositions",
    "NestedLSTM",
    "Residual",
    "Stack",
    "Stateless",
    "Tiers",
    "Window",
    "gpt2",
    "gpt2_block",
    "llama",
    "llama_block",
    "transformer",
]
