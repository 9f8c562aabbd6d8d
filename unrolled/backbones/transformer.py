"""Transformers of the GPT-2 and Llama families as expressions of combinators."""

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn

from unrolled.backbones.attention import Attention
from unrolled.backbones.combinators import Residual, Stack, Stateless
from unrolled.backbones.feedforward import GELU, SwiGLU
from unrolled.backbones.positions import LearnedPositions
from unrolled.core.protocol import Backbone


def block(norms: Sequence[nn.Module], attention: Attention, feedforward: nn.Module, dropout: float) -> Stack:
    """Attention and a feedforward part, each behind its own norm, with dropout before it joins the residual path."""
    width = attention.output_width
    return Stack(
        Residual(Stack(Stateless(norms[0], width), attention, Stateless(nn.Dropout(dropout), width))),
        Residual(Stack(Stateless(nn.Sequential(norms[1], feedforward, nn.Dropout(dropout)), width))),
    )


def gpt2_block(
    width: int,
    *,
    heads: int,
    window: int,
    hidden: int | None = None,
    form: Literal["exact", "tanh"] = "tanh",
    bias: bool = True,
    epsilon: float = 1e-5,
    dropout: float = 0.0,
) -> Stack:
    """LayerNorm and GELU. Source: Radford et al. 2019, section 2.3."""
    return block(
        [nn.LayerNorm(width, eps=epsilon, bias=bias) for _ in range(2)],
        Attention(width, heads=heads, window=window, bias=bias, dropout=dropout),
        GELU(width, hidden or 4 * width, form=form, bias=bias),
        dropout,
    )


def llama_block(
    width: int,
    *,
    heads: int,
    window: int,
    hidden: int | None = None,
    key_heads: int | None = None,
    base: float = 10000.0,
    epsilon: float = 1e-6,
    dropout: float = 0.0,
) -> Stack:
    """RMSNorm, rotary positions, grouped keys and SwiGLU, no biases. Source: Touvron et al. 2023, section 2.2.

    `hidden` is 8/3 of the width unless given, rounded up to a multiple of 8.
    """
    return block(
        [nn.RMSNorm(width, eps=epsilon) for _ in range(2)],
        Attention(width, heads=heads, window=window, key_heads=key_heads, rotary=base, bias=False, dropout=dropout),
        SwiGLU(width, hidden or 8 * math.ceil(width / 3)),
        dropout,
    )


def transformer(
    blocks: Sequence[Backbone], norm: nn.Module, *, limit: int | None = None, dropout: float = 0.0
) -> Stack:
    """Blocks between dropout and a last norm, with `limit` learned positions below them where it is given."""
    width = blocks[0].input_width
    below = [] if limit is None else [LearnedPositions(width, limit)]
    stack = Stack(*below, Stateless(nn.Dropout(dropout), width), *blocks, Stateless(norm, width))
    initialise(stack, len(blocks))
    return stack


def initialise(stack: nn.Module, layers: int) -> None:
    """Weights N(0, 0.02), those that end a residual path N(0, 0.02 / sqrt(2 layers)), biases 0 (GPT-2, section 2.3)."""
    for module in stack.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in stack.modules():
        if isinstance(module, (Attention, GELU, SwiGLU)):
            nn.init.normal_(module.output.weight, std=0.02 / math.sqrt(2 * layers))


def gpt2(
    width: int,
    *,
    layers: int,
    heads: int,
    window: int,
    limit: int | None = None,
    form: Literal["exact", "tanh"] = "tanh",
    bias: bool = True,
    dropout: float = 0.0,
) -> Stack:
    """A GPT-2: learned positions up to `limit`, which is the window unless given."""
    blocks = [
        gpt2_block(width, heads=heads, window=window, form=form, bias=bias, dropout=dropout) for _ in range(layers)
    ]
    return transformer(blocks, nn.LayerNorm(width, bias=bias), limit=limit or window, dropout=dropout)


def llama(
    width: int,
    *,
    layers: int,
    heads: int,
    window: int,
    hidden: int | None = None,
    key_heads: int | None = None,
    base: float = 10000.0,
    epsilon: float = 1e-6,
    dropout: float = 0.0,
) -> Stack:
    """A Llama: rotary positions, so there is no limit to the length."""
    blocks = [
        llama_block(
            width, heads=heads, window=window, hidden=hidden, key_heads=key_heads, base=base, epsilon=epsilon,
            dropout=dropout,
        )
        for _ in range(layers)
    ]  # fmt: skip
    return transformer(blocks, nn.RMSNorm(width, eps=epsilon), dropout=dropout)
