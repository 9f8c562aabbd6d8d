"""Rows of different age in one session, of which one begins anew while the others go on, against each row alone."""

import os

import numpy as np
import pytest
import torch

from tests.engine import zoo
from tests.laws import worlds
from unrolled import backbones
from unrolled.core.protocol import Context
from unrolled.engine import runtime
from unrolled.engine.lowering import lower_backbone
from unrolled.engine.lowering.states import to_arrays
from unrolled.engine.runtime import Packed, Session

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

THREADS = [threads for threads in (1, 2) if threads <= (os.cpu_count() or 1)]
ROTARY = ["attention", "llama"]
SLOTS = [4, 0, 5, 2, 0]  # of the session, for each sequence: the last one follows the second in its slot
READ = [0, 0, 3, 6, 5]  # what each has read before, by torch, so that rings and caches begin with numbers in them


class Sequences:
    """What each of several sequences of vectors gives alone, and how far each has come in a session."""

    def __init__(self, name: str, precision: runtime.Precision, steps: int) -> None:
        torch.manual_seed(5)
        backbone = backbones.ALL[name]().eval()
        self.packed = Packed(lower_backbone(backbone), precision)
        self.x = torch.randn(len(SLOTS), steps, backbone.input_width).numpy()
        self.states, self.wanted, self.torch = [], [], []
        for x, read in zip(self.x, READ, strict=True):
            state = backbone.init_state(1, Context(vector=torch.randn(1, worlds.VECTOR_WIDTH)))
            _, state = backbone.parallel(torch.randn(1, read, backbone.input_width), state) if read else ((), state)
            self.states.append(to_arrays(state))
            alone = Session(self.packed, 1)
            alone.set_state([0], self.states[-1])
            found = alone.run([0], [steps], control=x[None], outputs=True)
            assert found.outputs is not None and found.counts[0] == steps
            self.wanted.append(found.outputs[0])
            self.torch.append(backbone.parallel(torch.from_numpy(x[None]), state)[0][0].numpy())

    def open(self, threads: int) -> None:
        """A session in which no sequence has begun."""
        self.session, self.ages = Session(self.packed, 6, threads), [0] * len(SLOTS)

    def begin(self, sequence: int) -> None:
        """Give its slot the sequence's first state."""
        self.session.set_state([SLOTS[sequence]], self.states[sequence])

    def go(self, sequences: list[int], steps: int) -> None:
        """Go on with these side by side: to the last bit what each gives alone."""
        parts = [slice(self.ages[one], self.ages[one] + steps) for one in sequences]
        control = np.stack([self.x[one, part] for one, part in zip(sequences, parts, strict=True)])
        slots = [SLOTS[one] for one in sequences]
        found = self.session.run(slots, [steps] * len(slots), control=control, outputs=True)
        assert found.outputs is not None and (found.counts == steps).all()
        for one, part, outputs in zip(sequences, parts, found.outputs, strict=True):
            np.testing.assert_array_equal(outputs, self.wanted[one][part], f"sequence {one}, steps {part}")
            self.ages[one] += steps


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", zoo.LOWERED)
@torch.no_grad()
def test_rows_join_begin_anew_and_leave(name: str, precision: runtime.Precision):
    sequences = Sequences(name, precision, 34)
    for threads in THREADS:
        sequences.open(threads)
        for newcomer in range(4):
            sequences.begin(newcomer)
            sequences.go(list(range(newcomer + 1)), 5)
        assert sequences.ages == [20, 15, 10, 5, 0]  # beyond every window, and within
        sequences.begin(4)
        sequences.go([3, 0, 4, 2], 9)
        sequences.go([4, 2], 7)
        sequences.go([2, 3, 4], 4)


@pytest.mark.parametrize("name", ROTARY)
@torch.no_grad()
def test_rotary_angles_are_those_of_each_row_where_ages_are_far_apart(name: str):
    """Angles are remembered by the position's remainder: these rows have the same one at different positions."""
    sequences = Sequences(name, "float32", 300)
    np.testing.assert_allclose(sequences.wanted, sequences.torch, atol=1e-4)
    for threads in THREADS:
        sequences.open(threads)
        sequences.begin(0)
        sequences.go([0], 128)
        sequences.begin(1)
        sequences.go([1, 0], 128)
        sequences.begin(2)
        sequences.go([0, 2, 1], 20)
        sequences.begin(4)
        sequences.go([2, 4, 0], 20)
