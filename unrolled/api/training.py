"""Training from data to a run folder: new, continued on other data, or resumed."""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unrolled.api.events import Event
from unrolled.api.job import Job, continued_job, new_job, resolved, resumed_job
from unrolled.api.media import find_medium
from unrolled.api.options import Options
from unrolled.api.pace import machine_rate
from unrolled.api.runs import load
from unrolled.api.session import Session
from unrolled.core.contracts import NOMINAL_OPERATIONS, System
from unrolled.core.errors import RunError, UsageError
from unrolled.store.folders import LOCK, STAGED, RunFolder, create_run, find_run
from unrolled.systems import find_system
from unrolled.training.distributed import Group, join_group, leave_group

DEFAULT_MINUTES = 3.0
OWN = {LOCK, STAGED, "checkpoints"}  # what lies in a run folder before the run can be used
LISTS = ("fields", "revise", "validation")  # options of several values, of which one may be given as it is


def ignore(event: Event) -> None:
    """Watch nothing."""


def train(
    data: str | Path | Sequence[str | Path] = (),
    *,
    resume: str | Path | None = None,
    from_run: str | Path | None = None,
    observe: Callable[[Event], None] = ignore,
    command: Sequence[str] = (),
    started: float | None = None,
    **settings: Any,
) -> Any:
    """Train on `data`, and give the finished (or, after Ctrl-C, the interrupted) run.

    `settings` are those of the options, of the system and of its recipe; `resume` goes on with an unfinished run (then
    `data` is needed only where it has moved), `from_run` starts from a finished one. `started` is the
    `time.monotonic()` at which a time budget began.
    Raises: UnrolledError, whose message says what to mend.
    """
    began = time.monotonic() if started is None else started
    paths = [data] if isinstance(data, (str, Path)) else list(data)
    kind = find_medium(trained_system(settings, from_run).medium).options
    known = {item.name for item in fields(kind)}
    options = make_options(kind, {name: value for name, value in settings.items() if name in known})
    rest = {name: value for name, value in settings.items() if name not in known}
    if resume is not None:
        refuse_settings(resume, from_run, settings)
        return resumed(resume, paths, options, observe, began, join_group())
    if not paths:
        raise UsageError("no data to train on: name files or folders, as in `unrolled train book.txt`")
    options = budgeted(options, rest)
    group = join_group()
    operations = NOMINAL_OPERATIONS
    if options.minutes:
        operations = group.agreed(machine_rate()) * group.world * options.minutes * 60
    if from_run is None:
        job = new_job(paths, options, rest, operations)
    else:
        job = continued_job(load(from_run, runs=options.runs), paths, options, rest)
    job.given = resolved(paths)
    return begun(job, paths, command, observe, began, group)


def trained_system(settings: Mapping[str, Any], from_run: str | Path | None) -> System:
    """The system that is asked for: that of the run to go on from, if there is one."""
    if from_run is None:
        return find_system(settings.get("system", Options.system))
    return find_system(find_run(from_run, Path(settings.get("runs", Options.runs))).config().system)


def make_options(kind: type[Options], settings: dict[str, Any]) -> Options:
    """Options from values as Python users write them: a text for a path, or for the only one of several."""
    listed = {
        name: (value,) if isinstance(value := settings[name], str) else tuple(value)
        for name in LISTS
        if name in settings
    }
    return kind(**{**settings, **listed, "runs": Path(settings.get("runs", Options.runs))})


def refuse_settings(resume: str | Path, from_run: str | Path | None, settings: dict[str, Any]) -> None:
    """Raises: UsageError for anything but the data and the folder of runs beside `resume`."""
    given = [name for name in settings if name != "runs"] + ["from"] * (from_run is not None)
    if given:
        raise UsageError(f"resume goes on with the settings of run {resume}: leave out {', '.join(given)}")


def budgeted(options: Options, settings: dict[str, Any]) -> Options:
    """Options with exactly one budget.

    Raises: UsageError for several, or for one that is not above 0.
    """
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads is {options.threads}: give at least 1, or leave it out")
    given = {"minutes": options.minutes, "epochs": options.epochs, "steps": settings.get("steps")}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} are both given: choose one budget")
    for name, value in chosen.items():
        if value <= 0:
            raise UsageError(f"{name} is {value}: give a budget above 0")
    return options if chosen else replace(options, minutes=DEFAULT_MINUTES)


def begun(
    job: Job,
    paths: Sequence[str | Path],
    command: Sequence[str],
    observe: Callable[[Event], None],
    began: float,
    group: Group,
) -> Any:
    """Create the run folder of a new job and train."""
    options = job.options
    path = group.by_first(lambda: str(create_run(options.runs, options.name, job.system.name, str(paths[0])).path))
    job.folder = RunFolder(Path(path))
    with sole(job.folder, group), interruptible() as interrupted:
        session = Session(job, observe, began, interrupted, group)
        with discarded_unless_published(job.folder, group):
            session.open(command)
        session.run()
    return left(job.folder, options, group)


def resumed(
    name: str | Path,
    data: Sequence[str | Path],
    options: Options,
    observe: Callable[[Event], None],
    began: float,
    group: Group,
) -> Any:
    """Go on with a run from its newest good checkpoint; `data` is where its data lies now, if it has moved."""
    folder = find_run(name, options.runs)
    with sole(folder, group), interruptible() as interrupted:
        job, config = resumed_job(folder, data)
        job.options = replace(job.options, runs=options.runs)
        session = Session(job, observe, began, interrupted, group)
        is_open, restored = session.reopen(config), session.restore()
        if is_open:
            session.run()
        elif not restored:
            raise RunError(
                f"run {folder.name} is finished: go on with it by `unrolled train DATA --from {folder.name}`"
            )
    return left(folder, options, group)


def sole(folder: RunFolder, group: Group) -> AbstractContextManager[None]:
    """The lock on a run, held by the process that writes it."""
    return folder.lock() if group.is_first else nullcontext()


@contextmanager
def discarded_unless_published(folder: RunFolder, group: Group) -> Iterator[None]:
    """Nothing is left of a run that ends, by an error or by Ctrl-C, before it can be used."""
    try:
        yield
    except BaseException:
        if group.is_first and {path.name for path in folder.path.iterdir()} <= OWN:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def left(folder: RunFolder, options: Options, group: Group) -> Any:
    """Part from the other processes, and load what was made."""
    leave_group(group)
    return load(folder.path, runs=options.runs)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is noted and acted on between updates; a second one stops at once."""
    asked = threading.Event()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
