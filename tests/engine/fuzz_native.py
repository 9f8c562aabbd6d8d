"""Mutated program files against the native kernels, in forked workers, so that a crash is counted and not fatal.

`python -m tests.engine.fuzz_native COUNT SEED FOLDER`: each file is refused, or runs for three steps in every precision
on every instruction set of this machine. Ends with 1 after any crash, hang or other error; FOLDER then holds the files
that were the cause.
"""

import os
import random
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from tests.engine import fuzz
from unrolled.core.errors import RunError
from unrolled.engine import program_file, runtime

PATIENCE = 120  # seconds for one file
BAD = ("crashed", "hung", "failed")
Seeds = list[tuple[str, fuzz.Weights]]


def outcome(path: Path) -> str:
    """What became of a file."""
    try:
        program = program_file.load(path)
        if program.row_numbers > fuzz.MOST_NUMBERS:
            return "too large to try"
        runtime.Packed(program)
    except RunError:
        return "refused"
    except ValueError:
        return "refused by the kernels alone"
    fuzz.run_every_native(program)
    return "ran"


def work(programs: Seeds, numbers: range, seed: int, path: Path, report: int) -> None:
    """Write a line to `report` for each of the files `numbers`, up to the first that fails."""
    for number in numbers:
        draw = random.Random(f"{seed} {number}")
        path.write_bytes(fuzz.mutant(*draw.choice(programs), draw))
        try:
            found = outcome(path)
        except BaseException:
            traceback.print_exc()
            os.write(report, b"failed\n")
            return
        os.write(report, f"{found}\n".encode())


def lines(report: int) -> list[str] | None:
    """The next lines of a worker, [] at its end, None where it is silent for too long."""
    if not select.select([report], [], [], PATIENCE)[0]:
        return None
    text = b""
    while part := os.read(report, 1 << 12):
        text += part
        if part.endswith(b"\n"):
            break
    return text.decode().splitlines()


def follow(worker: int, report: int, last: int) -> list[str]:
    """What became of the files of a worker, of which there are `last`; it ends early with one of BAD."""
    found: list[str] = []
    while len(found) < last and (not found or found[-1] != "failed"):
        more = lines(report)
        if more is None:
            found.append("hung")
            break
        if not more:
            found.append("crashed")
            break
        found += more
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    os.close(report)
    return found


def fuzz_native(count: int, seed: int, folder: Path) -> Counter[str]:
    """How many of `count` files met with each fate."""
    programs, found, done = fuzz.seeds(), Counter[str](), 0
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "mutant"
        while done < count:
            report, end = os.pipe()
            if not (worker := os.fork()):
                try:
                    work(programs, range(done, count), seed, path, end)
                finally:
                    os._exit(0)  # what the process that it was forked from has still to do is not done twice
            os.close(end)
            fates = follow(worker, report, count - done)
            found.update(fates)
            done += len(fates)
            if fates[-1] in BAD:
                folder.mkdir(exist_ok=True)
                shutil.copy(path, folder / f"{fates[-1]}-{seed}-{done - 1}")
    return found


def main(arguments: list[str]) -> int:
    """COUNT, SEED and FOLDER."""
    count, seed, folder = arguments
    found = fuzz_native(int(count), int(seed), Path(folder))
    fates = {**dict.fromkeys(("refused", "ran", *BAD), 0), **found}
    print(f"{count} mutated programs: {', '.join(f'{number} {fate}' for fate, number in fates.items())}")
    return int(any(found[fate] for fate in BAD))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
