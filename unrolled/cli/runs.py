"""unrolled runs: list, show and remove runs, and find every sample that was ever made."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.terminal import confirm, one_line, printable, readable_size, say, table
from unrolled.core.errors import RunError, UnrolledError, UsageError
from unrolled.store.database import Database, RunRow, SampleRow, open_database
from unrolled.store.folders import RunFolder, find_run

RUNS = Path("runs")
WIDTH = 78


@dataclass(frozen=True)
class Listing:
    """What to list."""

    runs: Path = RUNS
    """Folder that holds the runs."""
    json: bool = False
    """One JSON object a line."""


@dataclass(frozen=True)
class Showing:
    """What to show."""

    run: str = positional()
    """Name of a run, or path of a run folder."""
    runs: Path = RUNS
    """Folder that holds the runs."""
    json: bool = False
    """One JSON object."""


@dataclass(frozen=True)
class Finding:
    """Which samples to show, the newest last."""

    run: str | None = positional(default=None)
    """Name of a run, or path of a run folder; all runs if left out."""
    limit: int | None = option("-n", default=None)
    """Only so many of the newest."""
    kept: bool = False
    """Only samples that somebody kept."""
    id: str | None = None
    """Only the sample whose id begins so."""
    full: bool = False
    """Whole texts instead of their first line."""
    runs: Path = RUNS
    """Folder that holds the runs."""
    json: bool = False
    """One JSON object a line."""


@dataclass(frozen=True)
class Removing:
    """What to remove."""

    names: tuple[str, ...] = positional()
    """Names of runs, or paths of run folders."""
    yes: bool = False
    """Do not ask."""
    runs: Path = RUNS
    """Folder that holds the runs."""


def main(arguments: list[str]) -> int:
    """The command."""
    if arguments and not arguments[0].startswith("-"):
        action = ACTIONS.get(arguments[0])
        if action is None:
            near = get_close_matches(arguments[0], ACTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(ACTIONS)}"
            raise UsageError(f"unknown action {arguments[0]!r} of unrolled runs: {hint}")
        return action(arguments[1:])
    return list_command(arguments)


def list_command(arguments: list[str]) -> int:
    """List all runs."""
    text = "List all runs. Also: unrolled runs show NAME, samples [NAME], remove NAME, rebuild (each has --help)."
    (options,) = parse("runs", text, arguments, Listing).values
    with open_database(options.runs) as database:
        rows = database.run_rows()
    if options.json:
        for row in rows:
            print(json.dumps({**row._asdict(), "bytes": RunFolder(options.runs / row.name).size()}))
    elif rows:
        header = ["name", "system", "data", "validation", "samples", "size", "date", "state"]
        say(table([_columns(options.runs, row) for row in rows], header))
    else:
        say(f"no runs in {options.runs} yet: train one with unrolled train FILE")
    return 0


def show_command(arguments: list[str]) -> int:
    """Show one run."""
    (options,) = parse("runs show", "Show what made a run, and how well it does.", arguments, Showing).values
    folder = find_run(options.run, options.runs)
    config = folder.config()
    with _open(folder, options.runs) as database:
        row = next(row for row in database.run_rows() if row.name == folder.name)
        evaluations = database.metrics(folder.name, "validation")
    facts = {
        "path": str(folder.path), "system": config.system, "state": row.state, "created": config.created,
        "validation": row.best, "samples": row.samples, "bytes": folder.size(), "usable": _usable(folder),
    }  # fmt: skip
    if options.json:
        print(
            json.dumps({**facts, "config": asdict(config), "evaluations": [asdict(metric) for metric in evaluations]})
        )
        return 0
    facts["bytes"] = readable_size(folder.size())
    for key, value in {**facts, "command": " ".join(config.command), "seed": config.seed}.items():
        say(f"{key:<12}{'' if value is None else value}")
    for name, part in (("config", config.config), ("data", config.data), ("training", config.training)):
        for key, value in part.items():
            say(f"{name:<12}{key} = {one_line(json.dumps(value, ensure_ascii=False), WIDTH - 15 - len(key))}")
    for metric in evaluations[-5:]:
        say(f"{'validation':<12}step {metric.step}: {metric.values.get('nats')} nats")
    return 0


def samples_command(arguments: list[str]) -> int:
    """Show samples with the commands that make them again."""
    text = "Show samples, with the command that makes each of them again."
    (options,) = parse("runs samples", text, arguments, Finding).values
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit}: expected a whole number from 1")
    folder = None if options.run is None else find_run(options.run, options.runs)
    with _open(folder, options.runs) as database:
        rows = database.samples(folder and folder.name, kept=options.kept, begins=options.id or "", limit=options.limit)
    for row in rows:
        place = folder.path if folder is not None else options.runs / row.run
        if options.json:
            verdict = row.verdict._asdict()
            print(json.dumps({"run": row.run, **asdict(row.sample), **verdict, "command": _command(row, place)}))
        else:
            _show_sample(row, place, options.full)
    if not rows and not options.json:
        say("no such samples: make some with unrolled generate")
    return 0


def remove_command(arguments: list[str]) -> int:
    """Remove runs."""
    (options,) = parse("runs remove", "Remove runs with all their checkpoints and samples.", arguments, Removing).values
    folders = [find_run(name, options.runs) for name in options.names]
    for folder in folders:
        size = readable_size(folder.size())
        if options.yes or confirm(f"remove {folder.path} ({size}) for good?"):
            folder.remove()
            say(f"removed {folder.path}")
    with open_database(options.runs):
        return 0


def rebuild_command(arguments: list[str]) -> int:
    """Rebuild the database."""
    text = "Build the database anew from the run folders, which hold everything that is in it."
    (options,) = parse("runs rebuild", text, arguments, Listing).values
    with open_database(options.runs) as database:
        database.rebuild()
        rows = database.run_rows()
    say(f"{len(rows)} runs, {sum(row.samples for row in rows)} samples")
    return 0


ACTIONS: dict[str, Callable[[list[str]], int]] = {
    "list": list_command,
    "show": show_command,
    "samples": samples_command,
    "remove": remove_command,
    "rebuild": rebuild_command,
}


def _open(folder: RunFolder | None, runs: Path) -> Database:
    """The index of `runs`, or for a run that lies elsewhere one of that run alone."""
    if folder is None or folder.path.parent.resolve() == runs.resolve():
        return open_database(runs)
    database = Database(folder.path.parent, None)
    database.index(folder)
    return database


def _columns(runs: Path, row: RunRow) -> list[Any]:
    best = "" if row.best is None else f"{row.best:.3f} nats"
    size = readable_size(RunFolder(runs / row.name).size())
    return [
        row.name,
        row.system,
        one_line(_data(row), 24),
        best,
        row.samples,
        size,
        _date(row.created),
        row.state,
    ]


def _data(row: RunRow) -> str:
    """The name of the first file that a run was trained on."""
    paths = row.config.get("data", {}).get("paths")
    if not isinstance(paths, list) or not paths:
        return ""
    return Path(str(paths[0])).name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _show_sample(row: SampleRow, place: Path, full: bool) -> None:
    sample, verdict = row.sample, row.verdict
    marks = {None: "", True: ", kept", False: ", dropped"}[verdict.kept]
    marks += "" if verdict.rate is None else f", rated {verdict.rate}"
    marks += "" if _is_current(place, sample.model_sha256) else ", made by earlier weights"
    settings = {**sample.where, **sample.settings, "engine": sample.engine}
    say(f"{sample.id}  {row.run}, seed {sample.seed}, stream {sample.stream}, {sample.symbols} symbols, "
        f"{_date(sample.created)}{marks}")  # fmt: skip
    say("  " + ", ".join(f"{key} {value}" for key, value in settings.items()))
    say(sample.text if full else "  " + one_line(sample.text, WIDTH))
    print("  " + printable(_command(row, place)))


def _command(row: SampleRow, place: Path) -> str:
    return row.sample.command(row.run if place.parent == RUNS else str(place))


def _is_current(place: Path, model_sha256: str) -> bool:
    try:
        return RunFolder(place).model_sha256() == model_sha256
    except UnrolledError:
        return False


def _usable(folder: RunFolder) -> str:
    try:
        folder.verify()
        return "yes"
    except RunError as problem:
        return f"no: {problem}"


def _date(created: str) -> str:
    return created[:16].replace("T", " ")
