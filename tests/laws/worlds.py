"""What the laws are tried on: backbones with random weights, inputs, contexts, and states of unequal ages."""

from typing import Any

import torch

from unrolled.backbones import ALL
from unrolled.core import state as states
from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor
from unrolled.core.state import State

VECTOR_WIDTH, MEMORY_WIDTH = 3, 4  # what the examples in backbones.ALL read


def randomise(backbone: Backbone[Any], seed: int = 0) -> Backbone[Any]:
    """Random float64 weights, so that nothing holds only because something starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    backbone.double().eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return backbone


def make(name: str) -> Backbone[Any]:
    """The example of that name with random weights."""
    return randomise(ALL[name]())


def inputs(backbone: Backbone[Any], rows: int, time: int, seed: int = 1) -> Float[Tensor, "b t i"]:
    """Random inputs."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, time, backbone.input_width, generator=generator, dtype=torch.float64)


def context(rows: int, seed: int = 2) -> Context:
    """Random conditioning of every kind."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(rows, 5, MEMORY_WIDTH, generator=generator, dtype=torch.float64)
    vector = torch.randn(rows, VECTOR_WIDTH, generator=generator, dtype=torch.float64)
    return Context(memory, torch.randint(1, 6, (rows,), generator=generator), vector)


@torch.no_grad()
def aged(backbone: Backbone[Any], ages: list[int], seed: int = 3) -> State:
    """One row per age: each has read that many symbols alone, then they are joined."""
    rows = []
    for number, age in enumerate(ages):
        state = backbone.init_state(1, context(1, seed + number))
        if age:
            _, state = backbone.parallel(inputs(backbone, 1, age, seed + number), state)
        rows.append(state)
    return states.concat(rows)
