"""Causal self-attention that sees a bounded window of symbols."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from unrolled.backbones.positions import distinct, first_clock, later, rotary_turns, rotate
from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Bool, Float, Int, Tensor

SHORTEST_CHUNK = 128  # queries that share one product with their keys in a long sequence


class AttentionState(NamedTuple):
    """Keys and values of the last `window - 1` symbols, newest last, and how many symbols each row has read.

    What stands before a row's first symbol is never looked at. Keys are stored rotated.
    """

    keys: Float[Tensor, "b h s d"]
    values: Float[Tensor, "b h s d"]
    clock: Int[Tensor, " b"]


def reach(state: AttentionState) -> tuple[int, bool]:
    """How many cached symbols some row may see, and whether another row may see fewer.

    Where reading the clock would stall a device, the answer is the safe one: all, and yes.
    """
    capacity = state.keys.shape[2]
    spread = [stride for size, stride in zip(state.keys.shape, state.keys.stride(), strict=True) if size > 1]
    if spread and not any(spread):  # as init_state made them: one zero in every place
        return 0, False
    if state.clock.device.type != "cpu":
        return capacity, True
    ages = distinct(state.clock).tolist()
    oldest, youngest = min(max(ages), capacity), min(*ages, capacity)
    return oldest, youngest < oldest


def visible(
    queries: Int[Tensor, " t"], keys: Int[Tensor, " s"], window: int, ages: Int[Tensor, " rows"] | None
) -> Bool[Tensor, "rows 1 t s"]:
    """Which keys each query sees, by their places; place 0 is the first new symbol, and older ones are negative."""
    distance = queries.unsqueeze(1) - keys
    seen = ((distance >= 0) & (distance < window))[None, None]
    return seen if ages is None else seen & (keys >= -ages.view(-1, 1, 1, 1))


class Attention(Backbone[AttentionState]):
    """Self-attention over the last `window` symbols, the newest included.

    `key_heads` below `heads` makes groups of query heads share keys and values (Ainslie et al. 2023). `rotary` is the
    base of rotary positions, None for none. Dropout is on the attention weights.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        window: int,
        key_heads: int | None = None,
        rotary: float | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        key_heads = key_heads or heads
        if width % heads or heads % key_heads or (rotary and width // heads % 2):
            raise ValueError(
                f"width {width}, heads {heads}, key_heads {key_heads}: heads must divide the width (into an even "
                "head width for rotary positions), and key_heads must divide heads"
            )
        self.heads, self.key_heads, self.head_width = heads, key_heads, width // heads
        self.window, self.receptive_field, self.rotary = window, window, rotary
        self.inputs = nn.Linear(width, (heads + 2 * key_heads) * self.head_width, bias=bias)  # queries, keys, values
        self.output = nn.Linear(width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.input_width = self.output_width = width

    def init_state(self, batch: int, context: Context | None = None) -> AttentionState:
        """An empty window; its zeros share one place in memory, so that it costs nothing and is known to be empty."""
        empty = self.zeros(1, 1, 1, 1).expand(batch, self.key_heads, self.window - 1, self.head_width)
        return AttentionState(empty, empty, first_clock(batch, empty.device))

    def project(self, x: Float[Tensor, "b t i"], clock: Int[Tensor, " b"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, rotated where positions are rotary."""
        groups = [self.heads, self.key_heads, self.key_heads]
        together = self.inputs(x).unflatten(2, (sum(groups), self.head_width))  # b t h d
        queries, keys, values = together.split(groups, 2)
        if self.rotary:
            turns = rotary_turns(clock, x.shape[1], self.head_width, self.rotary, queries.dtype)
            queries, keys = rotate(queries, *turns), rotate(keys, *turns)
        return queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)

    def step(self, x: Float[Tensor, "b i"], state: AttentionState) -> tuple[Float[Tensor, "b o"], AttentionState]:
        """One symbol, by plain products; the heads of a group stand where `parallel` has time."""
        queries, keys, values = self.project(x.unsqueeze(1), state.clock)
        keys = torch.cat([state.keys.to(keys.dtype), keys], 2)
        values = torch.cat([state.values.to(values.dtype), values], 2)
        cached, ragged = reach(state)
        start = self.window - 1 - cached
        grouped = queries.reshape(x.shape[0], self.key_heads, -1, self.head_width)  # b key_heads group d
        scores = grouped @ keys[:, :, start:].transpose(2, 3) / math.sqrt(self.head_width)
        if ragged:
            places = torch.arange(-cached, 1, device=x.device)
            scores = scores.masked_fill(places < -distinct(state.clock).view(-1, 1, 1, 1), -math.inf)
        mixed = self.dropout(scores.softmax(-1)) @ values[:, :, start:]
        after = AttentionState(
            keys[:, :, 1:].to(state.keys.dtype), values[:, :, 1:].to(state.values.dtype), later(state.clock, 1)
        )
        return self.output(mixed.reshape(x.shape)), after

    def parallel(
        self, x: Float[Tensor, "b t i"], state: AttentionState
    ) -> tuple[Float[Tensor, "b t o"], AttentionState]:
        """A whole sequence; only the part of the cache that some row may see is read."""
        queries, keys, values = self.project(x, state.clock)
        cached, ragged = reach(state)
        seen_keys, last_keys = extend(state.keys, keys, cached)
        seen_values, last_values = extend(state.values, values, cached)
        ages = distinct(state.clock) if ragged else None
        mixed = self.attend(queries, seen_keys, seen_values, ages)
        after = AttentionState(last_keys, last_values, later(state.clock, x.shape[1]))
        return self.output(mixed.transpose(1, 2).flatten(2)), after

    def attend(
        self,
        queries: Float[Tensor, "b h t d"],
        keys: Float[Tensor, "b key_heads s d"],
        values: Float[Tensor, "b key_heads s d"],
        ages: Int[Tensor, " rows"] | None,
    ) -> Float[Tensor, "b h t d"]:
        """What each query sees, in chunks of queries so that time and memory grow with t and not with its square."""
        time, cached = queries.shape[2], keys.shape[2] - queries.shape[2]
        chunk = max(self.window, SHORTEST_CHUNK)
        mixed = []
        for start in range(0, time, chunk):
            end = min(start + chunk, time)
            first = max(-cached, start - self.window + 1)  # place of the oldest key in sight
            block = slice(first + cached, end + cached)
            mask = None
            if first < start or end - start > self.window:
                places = torch.arange(first, end, device=queries.device)
                mask = visible(places[start - first :], places, self.window, ages)
            mixed.append(
                F.scaled_dot_product_attention(
                    queries[:, :, start:end],
                    keys[:, :, block],
                    values[:, :, block],
                    attn_mask=mask,
                    is_causal=mask is None,
                    dropout_p=self.dropout.p if self.training else 0.0,
                    enable_gqa=self.heads != self.key_heads,
                )
            )
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed, 2)


def extend(
    cache: Float[Tensor, "b h s d"], new: Float[Tensor, "b h t d"], cached: int
) -> tuple[Float[Tensor, "b h seen d"], Float[Tensor, "b h s d"]]:
    """The last `cached` entries of the cache followed by the new ones, and the cache after them."""
    capacity, time = cache.shape[2], new.shape[2]
    seen = torch.cat([cache[:, :, capacity - cached :].to(new.dtype), new], 2) if cached else new
    if cached + time >= capacity:
        return seen, seen[:, :, cached + time - capacity :].to(cache.dtype)
    return seen, torch.cat([cache[:, :, time:], new.to(cache.dtype)], 2)
