"""`unrolled bench NAME`: repeat the published figures, from a checkout."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from unrolled.cli.arguments import parse
from unrolled.core.errors import UsageError

BENCHES = {
    "parity": "nanoGPT's CPU recipe with equal settings, five seeds",
    "minutes": "the best in three minutes with no other option",
    "sweep": "the default recipe against its neighbours at one, three and fifteen minutes",
    "corpora": "the default on corpora that it was not tuned on, against its neighbours and n-gram tables",
    "speed": "training speed against a bare loop and the machine's matrix-product rate",
    "precision": "what bfloat16 and int8 cost each text system in nats",
    "generate": "speed of generation against other packages and against what the machine can do",
    "sound": "seconds of sound per second, the time to the first of it, and many streams at once",
    "learning": "sound models against trivial predictors after a given time, and what int8 costs them",
    "studies": "the studies of SampleRNN's authors at a size that fits two cores, beside their figures",
    "hours": "time and memory against hours of recordings",
    "growth": "time and memory against corpus size, sequence length and length of generation",
    "survival": "SIGKILL at random instants: no unusable run, the same final weights",
}


@dataclass(frozen=True)
class Common:
    """How to print."""

    json: bool = False
    """one JSON object a row"""


def main(arguments: Sequence[str]) -> int:
    """Run one measurement."""
    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        lines = [f"  {name:<10} {text}" for name, text in BENCHES.items()]
        print("\n".join(["usage: unrolled bench NAME [--json] [options]", "", *lines]))
        return 0 if words else 2
    name = words.pop(0)
    if name not in BENCHES:
        near = get_close_matches(name, BENCHES, 1)
        raise UsageError(
            f"no measurement {name!r}: " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(BENCHES)}")
        )
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "bench" / f"{name}.py").is_file():
        raise UsageError(
            "the measurements are not part of the installed package: run them in a checkout of the repository"
        )
    sys.path.insert(0, str(checkout))
    module = importlib.import_module(f"bench.{name}")
    command, common = parse(f"bench {name}", module.__doc__, words, module.Command, Common).values
    importlib.import_module("bench.common").emit(module.measure(command), common.json)
    return 0
