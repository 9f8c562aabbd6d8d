"""Mutated program files: each is refused by RunError, or runs for three steps without a crash.

`python -m tests.engine.fuzz COUNT SEED` runs them by the native kernels where they were built; the file that is being
read lies in FOLDER/mutant (third argument, a temporary folder unless given), so that a crash leaves its cause behind.
"""

import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as serialise

from unrolled.core.errors import RunError
from unrolled.engine import program_file, reference, runtime
from unrolled.engine.program import Program

Run = Callable[[Program], None]
Weights = dict[str, np.ndarray]
STEPS, MOST_NUMBERS = 3, 1 << 22  # larger rows than this are loaded and not run
THREADS = [threads for threads in (1, 2) if threads <= (os.cpu_count() or 1)]
ODD = [
    None,
    True,
    False,
    "",
    "x",
    [],
    {},
    [[]],
    0.5,
    float("nan"),
    float("inf"),
    -1,
    2**31 - 1,
    2**31,
    2**63,
    2**70,
    1e308,
]
NUMBERS = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, -0.0], np.float32)


def seeds() -> list[tuple[str, Weights]]:
    """JSON and weights of small programs that have every kind of operation among them."""
    from tests.engine import zoo
    from unrolled.engine.lowering import lower, lower_backbone

    programs = [lower_backbone(zoo.representable(make())) for make in zoo.LOWERED.values()]
    programs += [lower(zoo.system_model(name, (3, 2) if odd % 2 else ())) for odd, name in enumerate(zoo.SYSTEMS)]
    return [(json.dumps(program_file.to_json(program)), dict(program.weights)) for program in programs]


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document, as a container and the key in it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from nodes(value[key])


def change_place(data: Any, draw: random.Random) -> None:
    """Replace a value by one that is near, by one of the same type from elsewhere, or by something odd."""
    places = list(nodes(data))
    container, key = draw.choice(places)
    value = container[key]
    alike = [other[name] for other, name in places if type(other[name]) is type(value)]
    choices: list[Any] = [draw.choice(alike), draw.choice(alike), draw.choice(ODD)]
    if type(value) in (int, float):
        choices += [value + 1, value - 1, 2 * value, value // 2, 0, 1, -value]
    container[key] = json.loads(json.dumps(draw.choice(choices)))


def change_list(data: Any, draw: random.Random) -> None:
    """Drop, repeat, move or empty entries of a list, or drop a key."""
    found = [(container[key], container, key) for container, key in nodes(data) if isinstance(container[key], list)]
    entries, container, key = draw.choice([item for item in found if item[0]] or found)
    action = draw.randrange(6)
    if not entries or action == 0:
        entries.append(draw.choice(ODD))
    elif action == 1:
        entries.pop(draw.randrange(len(entries)))
    elif action == 2:
        entries.insert(draw.randrange(len(entries) + 1), json.loads(json.dumps(draw.choice(entries))))
    elif action == 3:
        draw.shuffle(entries)
    elif action == 4:
        one, other = draw.randrange(len(entries)), draw.randrange(len(entries))
        entries[one], entries[other] = entries[other], entries[one]
    elif isinstance(container, dict):
        del container[key]
    else:
        entries.clear()


def change_weights(weights: Weights, draw: random.Random) -> None:
    """Change the shape, type, numbers or name of a weight."""
    name = draw.choice(list(weights))
    weight = weights[name]
    action = draw.randrange(9)
    if action == 0:
        weights[name] = np.ascontiguousarray(weight.T)
    elif action == 1:
        weights[name] = weight.reshape(-1)
    elif action == 2:
        weights[name] = weight.astype(draw.choice([np.float64, np.float16, np.int32, np.uint8]))
    elif action == 3:
        weights[name] = weight[:-1] if weight.ndim else weight
    elif action == 4:
        weights[name] = weights[draw.choice(list(weights))]
    elif action == 5:
        weights[draw.choice(["x", "", "a\nb", draw.choice(list(weights))])] = weights.pop(name)
    elif action == 6:
        weights[name] = np.array(draw.choice([0.0, 1.0]), np.float32)
    else:
        changed = weight.copy()
        for _ in range(draw.choice([1, 5])):
            changed.reshape(-1)[draw.randrange(changed.size) if changed.size else slice(0)] = draw.choice(NUMBERS)
        weights[name] = changed


def mutant(text: str, weights: Weights, draw: random.Random) -> bytes:
    """A file with one to three changes; its sha256 is right unless bytes were changed at the end."""
    data, weights = json.loads(text), dict(weights)
    changes = [partial(change_place, data), partial(change_list, data), partial(change_weights, weights)]
    for _ in range(draw.randint(1, 3)):
        try:
            draw.choices(changes, [6, 3, 2])[0](draw)
        except (OverflowError, IndexError, ValueError):  # an earlier change left nothing that this one can change
            continue
    text = json.dumps(data)
    try:
        content = bytearray(serialise(weights, {"program": text, "sha256": program_file.digest(text, weights)}))
    except UnicodeEncodeError:
        return b""
    if draw.random() < 0.1:
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        del content[draw.choice([len(content), draw.randrange(len(content))]) :]
    return bytes(content)


def run_reference(program: Program) -> None:
    """Three steps of two rows by the reference."""
    state, width = program.first_state(2, (0,) * len(program.fields)), program.control[1]
    symbols = np.array([0, program.symbols - 1]) if program.symbols else None
    control = np.ones((2, width), np.float32) if width else None
    if symbols is None and control is None and not state:
        return  # nothing says how many rows there are
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            _, state = reference.step(program, state, symbols, control)


def run_alone(packed: runtime.Packed, threads: int) -> dict[str, np.ndarray]:
    """What one row draws and puts out in three steps, and its state after them; nothing without probabilities."""
    program = packed.program
    session, width = runtime.Session(packed, 1, threads), program.control[1]
    session.set_state([0], program.first_state(1, (0,) * len(program.fields)))
    try:
        found = session.run([0], [STEPS], control=np.ones((1, STEPS, width), np.float32), outputs=True)
    except RunError:
        return {}
    assert found.outputs is not None
    drawn = {"symbols": found.symbols, "log probabilities": found.log_probabilities, "outputs": found.outputs}
    return {**session.get_state([0]), **drawn}


def run_native(program: Program, precision: runtime.Precision = "float32", instructions: str = "auto") -> None:
    """Three steps of two rows by the native kernels, forced and drawn, and the state there and back.

    And of one row by one thread and by two, whose schedule has places of its own: to the last bit the same.
    """
    packed = runtime.Packed(program, precision, instructions)
    one, *others = (run_alone(packed, threads) for threads in THREADS)
    for other in others:
        assert list(one) == list(other)
        for name, wanted in one.items():
            np.testing.assert_array_equal(other[name], wanted, name)
    session = runtime.Session(packed, 2)
    session.set_state([0, 1], program.first_state(2, (0,) * len(program.fields)))
    scored, width = program.symbols > 0, program.control[1]
    forced = np.array([[0, 0, 0], [0, -1, -1]]) if scored else np.zeros((2, STEPS), np.int64)
    control = np.ones((2, STEPS, width), np.float32)
    session.run([0, 1], [STEPS, STEPS], forced=forced, control=control, scored=scored, outputs=True)
    session.set_state([1, 0], session.get_state([0, 1]))
    session.run([0, 1], [STEPS, 1], forced=forced, control=control, scored=scored)


def run_every_native(program: Program) -> None:
    """Every precision on every instruction set of this machine."""
    for instructions in runtime.instruction_sets():
        for precision in ("float32", "bfloat16", "int8"):
            try:
                run_native(program, precision, instructions)
            except RunError:  # not-a-number for probabilities
                continue


def fuzz(count: int, seed: int, folder: Path, run: Run = run_reference) -> Counter[str]:
    """How many of `count` mutants were refused, how many ran and how many were too large to run."""
    programs, found, path = seeds(), Counter[str](), folder / "mutant"
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        path.write_bytes(mutant(*draw.choice(programs), draw))
        try:
            program = program_file.load(path)
        except RunError as problem:
            assert "\n" not in str(problem)
            found["refused"] += 1
            continue
        if program.row_numbers > MOST_NUMBERS:
            found["large"] += 1
            continue
        try:
            run(program)
        except RunError:
            found["stopped"] += 1
        else:
            found["ran"] += 1
    return found


def main(arguments: list[str]) -> None:
    """COUNT, SEED and perhaps FOLDER."""
    count, seed = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0
    run = run_every_native if runtime.available() else run_reference
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments[2] if len(arguments) > 2 else temporary)
        print(f"{run.__name__}: {dict(fuzz(count, seed, folder, run))}")


if __name__ == "__main__":
    main(sys.argv[1:])
