"""`unrolled COMMAND ...`: finds the command, and turns every problem into an exit code and one line on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from unrolled.core.errors import UnrolledError, UsageError

COMMANDS = {
    "train": ("unrolled.cli.train", "learn a model from text files, or go on with one"),
    "generate": ("unrolled.cli.generate", "let a run write"),
    "complete": ("unrolled.cli.complete", "predictive text: the next symbols while you type"),
    "curate": ("unrolled.cli.curate", "generate many, keep the best by hand or by score"),
    "album": ("unrolled.cli.album", "make an album of sound: tracks, cover, track list"),
    "judge": ("unrolled.cli.judge", "say whether sound has collapsed, and what of it is a copy"),
    "evaluate": ("unrolled.cli.evaluate", "measure a run: nats, bits per character, perplexity"),
    "engine": ("unrolled.cli.engine", "show what a run computes for each symbol"),
    "check": ("unrolled.cli.check", "prove on this run that both views of its model are equal"),
    "doctor": ("unrolled.cli.doctor", "say what a corpus is and what is wrong with it"),
    "systems": ("unrolled.cli.systems", "list the systems that can be trained"),
    "runs": ("unrolled.cli.runs", "list, show and remove runs and their samples"),
    "bench": ("unrolled.cli.bench", "repeat the published figures (from a checkout)"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, debug = _without_debug(words)
    _tolerate_encodings()
    try:
        return _flushed(_dispatch(words))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone; so that the last flush finds somebody
        return 0
    except BaseException as problem:
        if debug:
            import traceback

            traceback.print_exc()
        message, code = explain(problem)
        print(f"unrolled: {message}", file=sys.stderr)
        return code


def explain(problem: BaseException) -> tuple[str, int]:
    """What to say about a problem in one line, and the exit code."""
    if isinstance(problem, UnrolledError):
        return _one_line(problem), problem.exit_code
    if isinstance(problem, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(problem, MemoryError) or _is_torch_memory(problem):
        return "out of memory: use a smaller batch, length or width, or close other programs", 1
    if isinstance(problem, ModuleNotFoundError) and not (problem.name or "").startswith("unrolled"):
        return f"the package {problem.name} is not installed: pip install {(problem.name or '').partition('.')[0]}", 1
    if isinstance(problem, OSError) and problem.strerror:
        return _explain_system(problem), 1
    name = type(problem).__name__
    return f"internal error: {name}: {_one_line(problem)} (add --debug for the traceback, and please report it)", 1


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"unrolled {version()}")
        return 0
    if words[0] not in COMMANDS:
        raise UsageError(_unknown(words[0]))
    module, _ = COMMANDS[words[0]]
    return importlib.import_module(module).main(words[1:])


def version() -> str:
    """The installed version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("unrolled")
    except PackageNotFoundError:
        return "(not installed)"


def _help() -> str:
    lines = [f"  {name:<10} {line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: unrolled COMMAND ...",
            "",
            "Point it at your data: get a sequence model to train, steer and keep.",
            "",
            "  unrolled train book.txt      then      unrolled generate",
            "",
            *lines,
            "",
            "unrolled COMMAND --help says more; --version; --debug shows tracebacks.",
        ]
    )


def _unknown(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, 1)
    if near:
        return f"unknown command {word!r}: did you mean {near[0]!r}?"
    return f"unknown command {word!r}: known are {', '.join(COMMANDS)}"


def _explain_system(problem: OSError) -> str:
    place = f"{problem.filename}: " if problem.filename else ""
    cures = {
        errno.ENOSPC: "disk full: free some space and repeat the command; what was saved before is intact",
        errno.EDQUOT: "disk quota used up: free some space and repeat the command; what was saved before is intact",
        errno.EROFS: "the file system is read-only: choose another folder",
        errno.EACCES: "no permission: change the permissions or choose another folder",
        errno.EPERM: "no permission: change the permissions or choose another folder",
        errno.ENOENT: "no such file or folder: check the name",
        errno.EMFILE: "too many open files: raise the limit with ulimit -n",
    }
    return place + cures.get(problem.errno or 0, str(problem.strerror))


def _is_torch_memory(problem: BaseException) -> bool:
    signs = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(problem, RuntimeError) and any(sign in str(problem) for sign in signs)


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, which may stand anywhere before a `--`."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _tolerate_encodings() -> None:
    """Let a terminal that lacks a character show its number instead of stopping the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code
