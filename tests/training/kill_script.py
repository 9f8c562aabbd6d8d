"""Train with checkpoints in forked children that are killed, half of them inside saves; print what came of it as JSON.

Usage: kill_script.py FOLDER KILLS SEED. Importing torch once and forking keeps fifty kills a matter of seconds.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from training_fakes import Chunks, tiny

from unrolled.training import checkpoints
from unrolled.training.checkpoints import latest_checkpoint, pack_tensors, prune
from unrolled.training.loop import train
from unrolled.training.progress import begin, resume, save
from unrolled.training.recipe import Recipe

RECIPE = Recipe(steps=40, warmup=5, learning_rate=0.01, optimiser="muon", rows=4, length=6)
EVERY = 4


def run(folder: Path, result: Path) -> None:
    """Train from the newest good checkpoint to the end."""
    model, sampler = tiny(), Chunks()
    checkpoint, notes = latest_checkpoint(folder)
    progress = resume(checkpoint, model, RECIPE, sampler.batch(0)) if checkpoint else begin(model, RECIPE)
    log(result, {"from": progress.step, "notes": notes})
    for update in train(model, sampler, RECIPE, progress, seed=11):
        if update.step % EVERY == 0:
            save(folder, model, progress)
            prune(folder)
    log(result, {"sha256": hashlib.sha256(pack_tensors(dict(model.state_dict()))).hexdigest()})


def log(path: Path, line: dict[str, Any]) -> None:
    """Append a line of JSON."""
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def lines(path: Path) -> int:
    """How many lines have been logged."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill_before_call(number: int) -> None:
    """Kill this process before its `number`-th file call of saving."""
    left = [number]

    def hooked(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in ("open", "fsync", "rename", "mkdir"):
        setattr(os, name, hooked(getattr(os, name)))
    checkpoints.open = hooked(open)  # type: ignore[attr-defined]


def child(folder: Path, result: Path, call: int | None) -> int:
    """Start a training in a forked process, to be killed before a file call or not; its id."""
    process = os.fork()
    if process == 0:
        if call is not None:
            kill_before_call(call)
        run(folder, result)
        os._exit(0)
    return process


def main() -> None:
    """One unbroken run, then one that is killed again and again until it is done."""
    place, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    model = tiny()
    next(
        train(model, Chunks(), RECIPE, begin(model, RECIPE), seed=0)
    )  # torch loads much on first use: not in each child
    chance = random.Random(seed)
    began = time.monotonic()
    os.waitpid(child(place / "whole", place / "whole.jsonl", None), 0)
    whole = time.monotonic() - began
    inside = outside = 0
    while inside + outside < kills:
        in_save, before = inside <= outside, lines(place / "killed.jsonl")
        process = child(place / "killed", place / "killed.jsonl", chance.randint(1, 60) if in_save else None)
        if not in_save:
            while lines(place / "killed.jsonl") == before:
                time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 0.5) * whole)
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            inside, outside = inside + in_save, outside + (not in_save)
        else:  # done before it was killed: begin anew
            (place / "killed").rename(place / f"done{inside + outside}{time.monotonic_ns()}")
    os.waitpid(child(place / "killed", place / "killed.jsonl", None), 0)
    logs = [
        [json.loads(line) for line in (place / name).read_text().splitlines()]
        for name in ("whole.jsonl", "killed.jsonl")
    ]
    left = sorted(entry.name for entry in (place / "killed").iterdir())
    print(json.dumps({"inside": inside, "outside": outside, "whole": logs[0], "killed": logs[1], "left": left}))


if __name__ == "__main__":
    main()
