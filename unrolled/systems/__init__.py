"""The systems: each is one readable file that names a codec, a backbone, a head and its recipe."""

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from unrolled.core.contracts import System
from unrolled.core.errors import RunError, UsageError

SYSTEMS = {
    "char-rnn": "unrolled.systems.char_rnn",
    "gpt": "unrolled.systems.gpt",
    "sample-rnn": "unrolled.systems.sample_rnn",
    "wavenet": "unrolled.systems.wavenet",
    "window": "unrolled.systems.window",
    "word-rnn": "unrolled.systems.word_rnn",
}


def system_names() -> list[str]:
    """The systems of this package and those that other packages offer under the entry-point group."""
    return [*SYSTEMS, *(point.name for point in entry_points(group="unrolled.systems"))]


def loaded(point: EntryPoint) -> System:
    """The system of another package. Raises: RunError if that package does not give one."""
    try:
        system = point.load()
    except Exception as problem:  # whatever the code of others does, it must not take the rest along
        raise RunError(f"system {point.name!r} of {point.value} cannot be loaded: {problem}; mend it") from problem
    if not isinstance(system, System):
        raise RunError(f"system {point.name!r} of {point.value} is {system!r}: a System was expected there")
    return system


def find_system(name: str) -> System:
    """The system called `name`, its module loaded on demand; the module offers it as SYSTEM.

    Raises: UsageError if there is none.
    """
    if name in SYSTEMS:
        return import_module(SYSTEMS[name]).SYSTEM
    for point in entry_points(group="unrolled.systems", name=name):
        return loaded(point)
    near = get_close_matches(name, system_names(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"no system is called {name!r}: {hint}`unrolled systems` lists them")
