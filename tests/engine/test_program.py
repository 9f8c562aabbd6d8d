"""Step programs as files: what is written comes back, and what is unsafe to run is refused in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine import fuzz, zoo
from tests.engine.programs import op, part, refusal, same, valid
from unrolled.core.errors import RunError
from unrolled.engine import program_file, reference, runtime
from unrolled.engine.lowering import lower
from unrolled.engine.operations import (
    AHEAD,
    KINDS,
    PROLOGUE_KINDS,
    STATE_ROLES,
    TILE,
    Buffer,
)
from unrolled.engine.program import Program
from unrolled.engine.validation import MOST_IN_ROW, Written


def test_a_program_comes_back(tmp_path: Path):
    program_file.save(valid(), tmp_path / "program")
    assert same(program_file.load(tmp_path / "program"), valid())


@pytest.mark.parametrize("name", zoo.SYSTEMS)
def test_a_lowered_program_comes_back(name: str, tmp_path: Path):
    program = lower(zoo.system_model(name, (4, 3)), "hash")
    program_file.save(program, tmp_path / "program")
    assert same(program_file.load(tmp_path / "program"), program)


OPERATIONS = {  # what is wrong -> an operation, and part of the complaint
    "unknown kind": (op("fly x:0:4"), "'fly'"),
    "too few inputs": (op("add x:0:4 x:0:4"), "1 inputs"),
    "too many inputs": (op("zero x:0:4 c:0:4"), "1 inputs"),
    "too few weights": (op("linear x:0:4 c:0:4"), "0 weights"),
    "too many weights": (op("linear x:0:4 c:0:4", "matrix bias bias"), "3 weights"),
    "missing number": (op("rms_norm x:0:4 x:0:4"), "0 numbers"),
    "too many numbers": (op("zero x:0:4", "", 1.0), "1 numbers"),
    "unknown weight": (op("linear x:0:4 c:0:4", "none"), "no weight 'none'"),
    "unknown output": (op("zero n:0:4"), "no buffer 'n'"),
    "unknown input": (op("copy x:0:4 n:0:4"), "no buffer 'n'"),
    "output outside": (op("zero x:1:4"), "outside of 4"),
    "input outside": (op("copy x:0:4 c:3:4"), "outside of 4"),
    "writes a control": (op("zero c:0:4"), "writes to 'c'"),
    "writes a ring": (op("zero r:0:4"), "writes to 'r'"),
    "writes a cache": (op("zero q:0:4"), "writes to 'q'"),
    "writes a clock": (op("zero t:0:1"), "writes to 't'"),
    "writes what is kept": (op("zero k:0:4"), "'k', which is kept"),
    "reads a clock as numbers": (op("copy x:0:1 t2:0:1"), "reads 't2', a clock"),
    "reads a ring as numbers": (op("copy x:0:4 r2:0:4"), "reads 'r2', a ring"),
    "reads a cache as numbers": (op("copy x:0:4 q2:0:4"), "reads 'q2', a cache"),
    "reads a vector as a ring": (op("taps y:0:12 x:0:4 v:0:8", "", 1.0), "reads 'v', a vector"),
    "reads a register as a cell": (op("lstm v:0:4 y:0:16 x:0:4"), "reads 'x', a register"),
    "reads a part of a ring": (op("taps y:0:12 x:0:4 r2:0:4", "", 1.0), "part of 'r2'"),
    "writes nothing": (op("zero x:0:0"), "writes nothing"),
    "reads nothing": (op("linear x:0:4 c:0:0", "matrix"), "reads nothing"),
    "reads what was not written": (op("copy x:0:4 z:0:4"), "'z' before it is written"),
    "adds to what was not written": (op("linear_add z:0:4 x:0:4", "matrix"), "'z' before it is written"),
    "reads what was not kept": (op("copy x:0:4 u:0:4"), "'u' before it is written"),
    "a product over its input": (op("linear y:0:4 y:3:4", "matrix"), "overlap in 'y'"),
    "a product in place": (op("linear x:0:4 x:0:4", "matrix"), "overlap in 'x'"),
    "a sum over a part of its input": (op("add y:0:4 y:1:4 x:0:4"), "overlap in 'y'"),
    "a cell over its gates": (op("lstm s:0:1 v:0:4 v:3:1"), "overlap"),
    "a cell over its output": (op("lstm v:0:4 y:0:16 v:0:4"), "overlap in 'v'"),
    "a ring twice": (op("taps y:0:12 x:0:4 r:0:8", "", 1.0), "'r' belongs to 2"),
    "keys as values": (op("attention x:0:4 y:0:12 q2:0:12 q2:0:12 t2:0:1", "", 1.0, 1.0, 0.0), "'q2' belongs to 2"),
    "unequal widths": (op("add y:0:4 x:0:4 c:0:3"), "widths [4, 4, 3]"),
    "a table of another width": (op("lookup y:0:5", "a"), "table (5, 4)"),
    "a flat table": (op("lookup y:0:4", "flat"), "table (20,)"),
    "a scalar table": (op("lookup y:0:4", "scalar"), "table ()"),
    "a table with too few rows": (op("lookup y:0:4", "matrix"), "fewer rows"),
    "a matrix of another shape": (op("linear y:0:4 x:0:4", "tall"), "matrix (12, 4)"),
    "a scalar matrix": (op("linear y:0:4 x:0:4", "scalar"), "matrix ()"),
    "a bias of another shape": (op("linear y:0:4 x:0:4", "matrix flat"), "bias (20,)"),
    "a norm of unequal widths": (op("rms_norm y:0:5 x:0:4", "", 0.1), "widths [5, 4]"),
    "a norm with other weights": (op("layer_norm y:0:4 x:0:4", "bias flat", 0.1), "weights"),
    "a negative epsilon": (op("rms_norm y:0:4 x:0:4", "bias", -1.0), "epsilon -1.0"),
    "too few gates": (op("lstm v:0:4 y:0:12 v:4:4"), "gates 12"),
    "a narrow cell": (op("lstm v:0:4 y:0:16 v:4:3"), "cell 3"),
    "gates of a gru": (op("gru v:0:4 y:0:12 y:0:9"), "gates 12 and 9"),
    "dilation of 0": (op("taps y:0:12 x:0:4 r2:0:8", "", 0.0), "dilation 0.0"),
    "dilation of 1.5": (op("taps y:0:12 x:0:4 r2:0:8", "", 1.5), "dilation 1.5"),
    "dilation beyond the ring": (op("taps y:0:8 x:0:4 r2:0:8", "", 4.0), "dilation 4.0"),
    "dilation beyond bounds": (op("taps y:0:8 x:0:4 r2:0:8", "", 1e300), "dilation 1e+300"),
    "too few taps": (op("taps y:0:8 x:0:4 r2:0:8", "", 1.0), "3 taps"),
    "taps of another width": (op("taps y:0:12 x:0:3 r2:0:8", "", 1.0), "taps of width 3"),
    "no heads": (op("attention y:12:4 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 0.0, 1.0, 0.0), "heads 0.0"),
    "no key heads": (op("attention y:12:4 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 1.0, 0.0, 0.0), "key heads 0.0"),
    "half a head": (op("attention y:12:4 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 1.0, 0.5, 0.0), "key heads 0.5"),
    "odd groups": (op("attention y:12:4 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 3.0, 2.0, 0.0), "multiple of key heads"),
    "more heads than cached": (op("attention y:0:8 y:0:8 q2:0:12 w2:0:12 t2:0:1", "", 2.0, 2.0, 0.0), "overlap"),
    "unlike caches": (op("attention x:0:4 y:0:12 q2:0:12 short:0:8 t2:0:1", "", 1.0, 1.0, 0.0), "must be alike"),
    "uncached heads": (op("attention x:0:4 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 2.0, 2.0, 0.0), "has 1 heads"),
    "narrow heads": (op("attention x:0:3 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 1.0, 1.0, 0.0), "as wide as the heads"),
    "narrow queries": (op("attention x:0:4 y:0:11 q2:0:12 w2:0:12 t2:0:1", "", 1.0, 1.0, 0.0), "12 wide"),
    "a negative base": (op("attention x:0:4 y:0:12 q2:0:12 w2:0:12 t2:0:1", "", 1.0, 1.0, -2.0), "rotary base"),
    "positions of another width": (op("position y:0:3 x:0:3 t2:0:1", "matrix"), "table (4, 4)"),
    "no positions": (op("position y:0:4 x:0:4 t2:0:1", "none"), "no weight"),
    "flat positions": (op("position y:0:4 x:0:4 t2:0:1", "bias"), "table (4,)"),
    "two inputs of a blend": (op("blend v:0:4 x:0:4 c:0:4"), "2 inputs"),
    "a gru over what was not written": (op("gru z:0:4 y:0:12 y:0:12"), "'z' before it is written"),
    "picks of unequal parts": (op("pick y:0:3 v:0:8 t:0:1", "", 8.0), "parts"),
    "a frame that is no multiple of the parts": (op("pick y:0:4 v:0:8 t:0:1", "", 3.0), "frame 3.0"),
    "a frame of 0": (op("pick y:0:4 v:0:8 t:0:1", "", 0.0), "frame 0.0"),
    "a frame of 2.5": (op("pick y:0:4 v:0:8 t:0:1", "", 2.5), "frame 2.5"),
    "a frame beyond bounds": (op("pick y:0:4 v:0:8 t:0:1", "", 2.0**25), "frame"),
    "a pick by a ring": (op("pick y:0:4 v:0:8 r2:0:8", "", 2.0), "reads 'r2', a ring"),
    "a pick over its input": (op("pick v:0:4 v:0:8 t:0:1", "", 2.0), "overlap in 'v'"),
    "an unknown clock": (op("zero x:0:4", every=("n", 2)), "'n' is no clock"),
    "a clock that is a vector": (op("zero x:0:4", every=("v", 2)), "'v' is no clock"),
    "a multiple without a clock": (op("zero x:0:4", every=("", 2)), "every 2"),
    "taps now and then": (op("taps y:0:12 x:0:4 r2:0:8", "", 1.0, every=("t", 2)), "in every step"),
    "positions now and then": (op("position y:0:4 x:0:4 t2:0:1", "matrix", every=("t", 2)), "in every step"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_unsafe_operations_are_refused(name: str, tmp_path: Path):
    operation, complaint = OPERATIONS[name]
    assert complaint in refusal(replace(valid(), step=(*valid().step[:-1], operation, valid().step[-1])), tmp_path)


PROLOGUES = {
    "a lookup": (op("lookup u:0:4", "a"), "'lookup'"),
    "now and then": (op("zero u:0:4", every=("t", 2)), "waits for 't'"),
    "a clock": (op("position u:0:4 s:0:4 t2:0:1", "matrix"), "'position'"),
    "reads the control": (op("copy u:0:4 c:0:4"), "'c', which changes"),
    "reads a register": (op("copy u:0:4 x:0:4"), "'x', which changes"),
    "reads what the step writes": (op("copy u:0:4 v:0:4"), "'v', which changes"),
    "writes the state": (op("zero s:0:4"), "'s', which is not kept"),
    "writes a register": (op("zero x:0:4"), "'x', which is not kept"),
    "reads what was not written": (op("copy u:0:2 u:2:2"), "'u' before it is written"),
    "adds to what was not written": (op("linear_add u:0:4 k:0:4", "matrix"), "'u' before it is written"),
}


@pytest.mark.parametrize("every", [0, -1, 2**31, True, 1.0])
def test_multiples_of_clocks_are_whole_numbers(every: Any, tmp_path: Path):
    step = (op("zero z:0:4", every=("t", every)), *valid().step)
    refusal(replace(valid(), step=step), tmp_path)


PACES = {  # when a register is written and when it is read -> whether it has then been written
    (("", 1), ("t", 3)): True,
    (("t", 2), ("t", 2)): True,
    (("t", 2), ("t", 4)): True,
    (("t", 4), ("t", 2)): False,
    (("t", 2), ("t", 3)): False,
    (("t", 2), ("t2", 4)): False,
    (("t", 2), ("", 1)): False,
}


@pytest.mark.parametrize("paces", PACES)
def test_what_is_read_was_written_in_the_same_step(paces: Any, tmp_path: Path):
    written, read = paces
    step = (op("zero z:0:4", every=written), op("copy s:0:4 z:0:4", every=read), *valid().step)
    program = replace(valid(), prologue=(), step=step, buffers={**valid().buffers, "k": Buffer("vector", (4,))})
    if PACES[paces]:
        program.validated("it")
    else:
        assert "'z' before it is written" in refusal(program, tmp_path)


def test_paces_are_limited(tmp_path: Path):
    step = (*(op("zero s:0:4", every=("t", number)) for number in range(1, 70)), *valid().step)
    program = replace(valid(), prologue=(), step=step, buffers={**valid().buffers, "k": Buffer("vector", (4,))})
    assert "70 paces" in refusal(program, tmp_path)


@pytest.mark.parametrize("name", PROLOGUES)
def test_unsafe_prologues_are_refused(name: str, tmp_path: Path):
    operation, complaint = PROLOGUES[name]
    assert complaint in refusal(replace(valid(), prologue=(*valid().prologue, operation)), tmp_path)


def with_buffer(name: str, role: Any, *shape: int) -> Callable[[Program], Program]:
    return lambda program: replace(program, buffers={**program.buffers, name: Buffer(role, shape)})


def with_weight(name: str, weight: np.ndarray) -> Callable[[Program], Program]:
    return lambda program: replace(program, weights={**program.weights, name: weight})


def having(**changes: Any) -> Callable[[Program], Program]:
    return lambda program: replace(program, **changes)


PROGRAMS: dict[str, tuple[Callable[[Program], Program], str]] = {
    "an unknown role": (with_buffer("n", "magic", 4), "'magic'"),
    "no axes": (with_buffer("n", "register"), "shape ()"),
    "too many axes": (with_buffer("n", "register", 1, 1, 1, 1, 1), "too many axes"),
    "a flat ring": (with_buffer("n", "ring", 4), "not 2 axes"),
    "a flat cache": (with_buffer("n", "cache", 4, 4), "not 3 axes"),
    "a wide clock": (with_buffer("n", "clock", 2), "clock 'n'"),
    "an empty clock": (with_buffer("n", "clock", 0), "clock 'n'"),
    "an empty control": (with_buffer("c", "control", 0), "control 'c'"),
    "two controls": (with_buffer("n", "control", 4), "two controls"),
    "a huge buffer": (with_buffer("n", "vector", MOST_IN_ROW), "a row needs"),
    "an empty cache with room for new vectors": (with_buffer("n", "cache", 16384, 0, 8191), "a row needs 2147"),
    "an overflowing buffer": (with_buffer("n", "ring", 2**31 - 1, 2**31 - 1), "a row needs"),
    "a buffer beyond 31 bits": (with_buffer("n", "vector", 2**31), "whole number"),
    "weights in float64": (with_weight("a", np.ones((5, 4))), "float64"),
    "weights in integers": (with_weight("unused", np.ones(4, np.int32)), "int32"),
    "a name of two lines": (with_weight("two\nlines", np.ones(4, np.float32)), "two\\nlines"),
    "an output of another width": (having(output=part("o:0:4")), "4 logits for 5"),
    "an output outside": (having(output=part("o:1:5")), "the output:"),
    "an output in no buffer": (having(output=part("n:0:5")), "the output:"),
    "an output that is not written": (having(output=part("z:0:4"), symbols=4, begin=0, end=1), "'z' is not written"),
    "an output that is a clock": (having(output=part("t:0:1"), symbols=1, begin=0, end=0), "a clock"),
    "an output that is a ring": (having(output=part("r:0:5")), "a ring"),
    "an output of nothing": (having(output=part("o:0:0"), symbols=0, begin=-1, end=-1), "0 wide"),
    "more symbols than rows": (having(output=part("y:0:6"), symbols=6), "fewer rows"),
    "a lookup without symbols": (having(symbols=0, begin=-1, end=-1), "fewer rows"),
    "a begin beyond the symbols": (having(begin=5), "begin 5"),
    "an end beyond the symbols": (having(end=5), "end 5"),
    "no end": (having(end=-1), "begin and end are not known"),
    "a begin below -1": (having(begin=-2), "-2 is no whole number"),
    "a position limit of 1": (having(position_limit=1), "position limit 1"),
    "a position limit of 0": (having(position_limit=0), "position limit 0"),
    "a start of no buffer": (having(starts={"n": "start"}), "first value of 'n'"),
    "a start of no weight": (having(starts={"v": "n"}), "'n' cannot be"),
    "a start of another size": (having(starts={"v": "bias"}), "first value of 'v'"),
    "a start of a register": (having(starts={"x": "bias"}), "first value of 'x'"),
    "fields without a shift": (having(shifts=()), "field table 'a'"),
    "a shift that is a register": (having(shifts=("x",)), "added to 'x'"),
    "an unknown shift without fields": (having(shifts=("n",), fields=()), "added to 'n'"),
    "a shift twice": (having(shifts=("s", "s")), "added to 's'"),
    "a field table that is narrower than all shifts": (having(shifts=("s", "v")), "field table 'a'"),
    "an unknown field table": (having(fields=("n",)), "field table 'n'"),
    "a field table of another width": (having(fields=("logits", "bias")), "field table 'bias'"),
    "a field table without rows": (
        lambda program: with_weight("none", np.ones((0, 4), np.float32))(replace(program, fields=("none",))), "'none'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_unsafe_programs_are_refused(name: str, tmp_path: Path):
    change, complaint = PROGRAMS[name]
    assert complaint in refusal(change(valid()), tmp_path)


def made_ahead(layers: int) -> Program:
    """The valid program with wide products behind taps of other symbols."""
    size, step = 1 << 20, valid().step
    buffers = {**valid().buffers, "wide": Buffer("register", (size,))}
    for layer in range(layers):
        buffers[f"ring{layer}"] = Buffer("ring", (16, 4))
        step += (op(f"taps y:0:8 x:0:4 ring{layer}:0:64", "", 16.0), op(f"linear wide:0:{size} y:0:8", "wide"))
    weight = np.broadcast_to(np.float32(1), (size, 8))  # which takes no memory
    return replace(valid(), buffers=buffers, weights={**valid().weights, "wide": weight}, step=step)


def test_products_made_ahead_count_as_memory():
    """The kernels make those of 16 steps at once."""
    made_ahead(10).validated("it")
    with pytest.raises(RunError, match="a row needs 336"):
        made_ahead(20).validated("it")


def test_the_kernels_have_the_sizes_that_are_counted_with():
    native = Path(__file__).resolve().parents[2] / "native"
    for file, text in (
        ("kernels.hpp", f"constexpr int TILE = {TILE},"),
        ("packed.hpp", f"constexpr long AHEAD = {AHEAD};"),
        ("packed.cpp", f"constexpr long MOST_IN_ROW = 1L << {MOST_IN_ROW.bit_length() - 1};"),
    ):
        assert text in (native / file).read_text("utf-8")


def test_a_complaint_is_short(tmp_path: Path):
    long = with_weight("n" * 10_000, np.ones(1))(valid())
    assert len(refusal(long, tmp_path)) < 500 + len(str(tmp_path))


def test_fields_beyond_their_tables_are_refused():
    for number in (-1, 5):
        with pytest.raises(RunError, match="0 to 4"):
            valid().first_state(1, (number,))


def test_every_kind_has_a_reference():
    assert set(reference.RUN) == set(KINDS)
    assert set(PROLOGUE_KINDS) <= set(KINDS)
    assert set(STATE_ROLES) <= set(runtime.ROLES)


def test_parts_that_were_written_are_known():
    """Against sets of places."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        known, places = Written(), set()
        for start, width in generator.integers(0, 12, (8, 2)).tolist():
            if width:
                known.add(start, start + width)
                places |= set(range(start, start + width))
            for low, size in generator.integers(0, 12, (4, 2)).tolist():
                wanted = set(range(low, low + size))
                assert known.covers(low, low + size) == (wanted <= places) or not wanted


def test_mutated_files_are_refused_or_run(tmp_path: Path):
    """Twenty thousand of them: python -m tests.engine.fuzz 20000."""
    found = fuzz.fuzz(300, 0, tmp_path)
    assert found["refused"] > 100 and found["ran"] > 10
