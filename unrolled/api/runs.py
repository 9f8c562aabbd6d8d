"""Finding a run and opening it; free of torch until its weights are needed."""

from importlib import import_module
from pathlib import Path
from typing import Any

from unrolled.api.engines import PROGRAM, torch_installed
from unrolled.api.sound_run import SoundRun
from unrolled.api.text_run import TextRun
from unrolled.codecs import codec_from_json
from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import RunError, UsageError
from unrolled.data.fields import FieldTable
from unrolled.store.folders import MODEL, RunFolder, find_run, list_runs


def newest_run(runs: str | Path) -> Path:
    """The folder of the run that was made last.

    Raises: RunError if there is none.
    """
    found = list_runs(Path(runs))
    if not found:
        raise RunError(f"no run in {runs}: train one first, as in `unrolled train book.txt`")
    return max(found, key=lambda folder: (created(folder), folder.name)).path


def created(folder: RunFolder) -> str:
    """When a run was made; "" for one that cannot be read, so that it hides none of the others."""
    try:
        return folder.config().created
    except RunError:
        return ""


def chosen_run(command: str, run: str | Path | None, runs: str | Path) -> Any:
    """The run called `run`, or the newest, for a command of the command line that needs its model.

    Raises: UsageError, before anything is loaded, if the command makes no sense for its system.
    """
    name = newest_run(runs) if run is None else run
    require(find_run(name, Path(runs)).config().system, command)
    return load(name, runs=runs)


def given_run(command: str, run: Any) -> Any:
    """`run` itself, or the run of that name in the folder "runs" or at that path.

    Raises: UsageError if a command makes no sense for its system.
    """
    if isinstance(run, str | Path):
        return chosen_run(command, run, "runs")
    require(run.system, command)
    return run


def writing_run(command: str, run: str | Path | None, runs: str | Path) -> Any:
    """The run called `run`, or the newest, for a command that only lets it write: weights are read if they must be.

    A run with a step program can write, so its system is not asked.
    Raises: UsageError as `chosen_run`.
    """
    found = opened(newest_run(runs) if run is None else run, runs=runs)
    if not (found.folder.path / PROGRAM).exists() and torch_installed():
        require(found.config.system, command)
    return found


def require(system: Any, command: str) -> None:
    """Raises: UsageError if a command makes no sense for a system, which is given by itself or by its name."""
    if isinstance(system, str):
        system = import_module("unrolled.systems").find_system(system)
    if command not in system.commands:
        known = ", ".join(sorted(system.commands)) or "none"
        raise UsageError(f"system {system.name} has no command {command!r}: its commands are {known}")


def load(run: str | Path, *, runs: str | Path = "runs", device: Any = None) -> Any:
    """The run called `run` in `runs`, or the run folder at that path, verified and ready.

    Without torch, only the weights are not read: such a run can write by its step program.
    Raises: RunError for a folder that is missing, damaged or from a newer version.
    """
    found = opened(run, runs=runs, device=device)
    if torch_installed():
        _ = found.model
    return found


def opened(run: str | Path, *, runs: str | Path = "runs", device: Any = None) -> Any:
    """As `load`, but of the weights only the size is looked at until they are needed."""
    folder = find_run(run, Path(runs))
    # where nothing can read weights, a run may be without them and write by its step program
    absent = () if folder.model.exists() or torch_installed() else (MODEL,)
    hashes = folder.verify(but=absent, sized=(MODEL,))
    config = folder.config()
    codec = codec_from_json(folder.codec())
    fields = FieldTable.from_json(config.data.get("fields", {}))
    kind: Any = SoundRun if isinstance(codec, SoundCodec) else TextRun
    return kind(folder, config, codec, fields, hashes[MODEL], Path(runs), device)
