"""What differs between text and sound when a model is trained and scored: one file for each medium."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from unrolled.api.options import Options
from unrolled.api.run import Run
from unrolled.data.encoded import Encoded, Part

MEDIA = {"text": "unrolled.api.media.text", "sound": "unrolled.api.media.sound"}


class Remark(NamedTuple):
    """One line on what a model made while it trained; `wrong` names what is wrong with that, "" if nothing is."""

    text: str
    wrong: str


@dataclass(frozen=True)
class Medium:
    """How data of one kind becomes symbols, and in which words it is spoken of.

    `unit`: what bits are counted per. `open` takes paths, options and the config of the system, as a new training
    reads them; `reopen` a run, paths, the options in the run and the share that trains. `bits`: what nats per symbol
    are multiplied by to give bits per unit. `words`: what the data is, from its facts. `flags`: the command line of the
    medium's own options. `judge`: what is to be said of a specimen of a run beside its training part, None for nothing.
    `specimen_seconds`: what making and judging one takes at most, 0 where that is not worth counting. `to_beat`: what
    the figures of a training should be compared with, "" for nothing.
    """

    name: str
    unit: str
    options: type[Options]
    run: type[Run]
    open: Callable[[Any, Any, Any], Any]
    reopen: Callable[[Run, Any, dict[str, Any], float], Any]
    codec: Callable[[Any, Any, Any, Any], Any]  # system, config, corpus, options
    encode: Callable[[Any, Any, Any], Encoded]  # corpus, codec, fields
    bits: Callable[[Encoded, Any], float]
    words: Callable[[dict[str, Any]], str]
    flags: Callable[[dict[str, Any]], list[str]]
    judge: Callable[[Any, Part, str], Remark | None]
    specimen_seconds: float = 0.0
    to_beat: Callable[[Encoded, Any], str] = lambda encoded, codec: ""


def find_medium(name: str) -> Medium:
    """The medium of a system."""
    return import_module(MEDIA[name]).MEDIUM
