"""The models whose generation is measured, their loops through the step engine, and what each is held against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from bench.generation_peers import (
    SEED,
    Contestant,
    GPTShape,
    Loop,
    ctranslate2_gpt,
    eager_lstm,
    onnx_gru,
    transformers_gpt,
)
from unrolled.backbones import GRU, LSTM, Convolution, gpt2
from unrolled.core.protocol import Backbone
from unrolled.engine.lowering import lower, lower_backbone
from unrolled.engine.program import Program
from unrolled.engine.runtime import NEUTRAL, Draws, Packed, Precision, Session
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import OneHot, SequenceModel

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
GREEDY = (0.0, *NEUTRAL[1:])
SMALL_GPT, GPT2_SMALL = GPTShape(65, 128, 4, 4, 256), GPTShape(50257, 768, 12, 12, 1024)
SAMPLE_RATE, REAL_TIME = 16_000, "real time at 16 kHz"  # of sound
Timed = Literal["network", "greedy text", "drawn text"]
Peers = Callable[[int, Precision], Iterator[Contestant]]  # of so many steps, against ours in a precision


class Goal(NamedTuple):
    """What a ratio is to reach; None where only the figure is wanted."""

    against: str
    by_precision: dict[Precision, float]


@dataclass(frozen=True)
class Shape:
    """One model. `timed`: which loop is compared, the others only print theirs; `steps`: of one call of a loop."""

    program: Callable[[], Program]
    timed: Timed
    steps: int
    peers: dict[str, Peers]
    goals: tuple[Goal, ...]
    streams: int = 64
    threads: tuple[int, ...] = (1, 2)
    note: str = ""  # on the number of streams


def lstm_program(width: int) -> Program:
    """Two layers on unit vectors, softmax of 65 symbols."""
    return lower(sequence(OneHot(65), LSTM(65, width, layers=2), Categorical(width, 65)))


def gpt_program(shape: GPTShape) -> Program:
    """A GPT-2 with tied weights."""
    backbone = gpt2(shape.width, layers=shape.layers, heads=shape.heads, window=shape.context)
    embed, head = nn.Embedding(shape.size, shape.width), Categorical(shape.width, shape.size, bias=False)
    nn.init.normal_(embed.weight, std=0.02)
    head.project.weight = embed.weight
    return lower(sequence(embed, backbone, head))


def wavenet_program() -> Program:
    """30 layers, widths 64, 64 and 256, 256 symbols."""
    dilations = tuple(2**power for power in range(10)) * 3
    backbone = Convolution(64, 64, dilations=dilations, kernel=2, gate_width=64, skip_width=256)
    return lower(sequence(nn.Embedding(256, 64), backbone, Categorical(256, 256)))


def sequence(embed: nn.Module, backbone: Backbone, head: Categorical) -> SequenceModel:
    """A model of random weights."""
    return SequenceModel(embed, backbone, head, begin=0, end=1).eval()


SHAPES: dict[str, Shape] = {
    "LSTM 2x128": Shape(
        lambda: lstm_program(128),
        "network",
        1000,
        {"eager PyTorch": lambda steps, precision: eager_lstm(65, 128, 2, steps // 4)},
        (Goal("eager PyTorch", {"float32": 6.0, "int8": 16.0}),),
        threads=(1,),
    ),
    "LSTM 2x512": Shape(
        lambda: lstm_program(512),
        "network",
        200,
        {"eager PyTorch": lambda steps, precision: eager_lstm(65, 512, 2, steps // 4)},
        (Goal("eager PyTorch", {"float32": 2.5, "bfloat16": 6.0, "int8": 16.0}),),
    ),
    "GRU 1x512, dense input": Shape(
        lambda: lower_backbone(GRU(512, 512)),
        "network",
        200,
        {"ONNX Runtime": lambda steps, precision: onnx_gru(512, steps)},
        (Goal("ONNX Runtime", {"float32": 1.4}),),
    ),
    "GPT 4x128, context 256": Shape(
        lambda: gpt_program(SMALL_GPT),
        "greedy text",
        200,
        {"transformers": lambda steps, precision: transformers_gpt(SMALL_GPT, steps)},
        (Goal("transformers", {"float32": 30.0}),),
    ),
    "GPT-2 124M": Shape(
        lambda: gpt_program(GPT2_SMALL),
        "greedy text",
        32,
        {
            # in less than float32, the peer may be in less too
            "transformers": lambda steps, precision: transformers_gpt(GPT2_SMALL, steps, precision != "float32"),
            "CTranslate2": lambda steps, precision: ctranslate2_gpt(GPT2_SMALL, steps, precision),
        },
        (Goal("transformers", {"int8": 3.0}), Goal("CTranslate2", {"float32": 1.0, "int8": 1.0})),
        streams=16,
        note="64 streams would need 5 GB for their caches",
    ),
    "WaveNet 30 layers 64/128/256": Shape(
        wavenet_program,
        "drawn text",
        500,
        {REAL_TIME: lambda steps, precision: iter([Contestant(REAL_TIME, None)])},
        (Goal(REAL_TIME, {"int8": 1.3}),),
    ),
}


class Case(NamedTuple):
    """One row to measure. `against`: a peer of the shape, or "own batch 1" where there is more than one stream."""

    shape: str
    precision: Precision
    threads: int
    streams: int
    against: str

    @property
    def goal(self) -> float | None:
        """What the ratio is to reach."""
        if self.streams > 1:
            return 10.0
        found = [goal.by_precision for goal in SHAPES[self.shape].goals if goal.against == self.against]
        return found[0].get(self.precision) if found else None


def cases(wanted: tuple[str, ...]) -> list[Case]:
    """All rows of the shapes whose names begin with one of `wanted`; of every shape where that is empty."""
    found = []
    for name, shape in SHAPES.items():
        if wanted and not name.lower().startswith(tuple(word.lower() for word in wanted)):
            continue
        for precision in PRECISIONS:
            for against in shape.peers:
                found += [Case(name, precision, threads, 1, against) for threads in shape.threads]
            found.append(Case(name, precision, 1, shape.streams, "own batch 1"))
    return found


class Ours:
    """Loops of one packed program: rows side by side, all through the same steps."""

    def __init__(self, packed: Packed, streams: int, threads: int, steps: int) -> None:
        self.program, self.streams, self.steps = packed.program, streams, steps
        self.session = Session(packed, streams, threads)
        self.rows, self.times = list(range(streams)), np.full(streams, steps, np.int64)
        draws = np.random.default_rng(SEED)
        self.last = np.zeros(streams, np.int64)
        size, width = self.program.symbols, self.program.control[1]
        self.forced = draws.integers(0, max(1, size), (streams, steps))
        self.control = draws.standard_normal((streams, steps, width)).astype(np.float32)
        self.forbidden, self.position = np.zeros(max(1, size), np.uint8), 0
        self.begin()

    def begin(self) -> None:
        """All rows before their first symbol."""
        self.session.set_state(self.rows, self.program.first_state(self.streams))

    def network(self) -> int:
        """Given symbols, or vectors, to logits or features."""
        given = self.forced if self.program.symbols else None
        self.session.run(self.rows, self.times, last=self.last, forced=given, control=self.control, outputs=True)
        return self.streams * self.steps

    def text(self, rules: tuple[float, ...]) -> int:
        """Symbols chosen and fed back; from the beginning where the program has positions that end."""
        if self.program.position_limit > 0:
            self.begin()
        streams, positions = np.arange(self.streams), np.full(self.streams, self.position)
        draws = Draws(rules, SEED, streams, positions, self.forbidden)
        self.session.run(self.rows, self.times, last=self.last, draws=draws)
        self.position += self.steps
        return self.streams * self.steps

    def loops(self, timed: Timed) -> tuple[Loop, Loop | None]:
        """The loop that is compared, and the full one with draws where that is another."""

        def drawn() -> int:
            return self.text(NEUTRAL)

        if timed == "drawn text":
            return drawn, None
        if timed == "greedy text":
            return lambda: self.text(GREEDY), drawn
        return self.network, drawn if self.program.symbols else None


def packed_program(shape: Shape, precision: Precision) -> Packed:
    """The program of a shape, always with the same random weights."""
    torch.manual_seed(SEED)
    return Packed(shape.program(), precision)
