"""Dataclasses as command lines."""

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from unrolled.cli.arguments import field_docs, option, parse, peek, positional
from unrolled.core.errors import UsageError


@dataclass(frozen=True)
class Options:
    """What to do."""

    paths: tuple[Path, ...] = positional()
    """Files to learn from, 100 % of them."""
    steps: int | None = option("-s", default=None)
    """Updates."""
    minutes: float = 2.0
    """Time
    budget."""
    where: dict[str, str] = field(default_factory=dict)
    """Conditioning."""
    quiet: bool = False
    prompt: str = ""
    """Begin."""


@dataclass(frozen=True)
class Base:
    """Sizes."""

    width: int = 256
    """Units."""


@dataclass(frozen=True)
class Config(Base):
    """Settings of char-rnn."""

    cell: Literal["gru", "lstm"] = "gru"
    """Kind of cell."""
    dilations: tuple[int, ...] = (1, 2)


def read(line: str) -> tuple[Any, ...]:
    return parse("train", "Learn.", line.split(), Options, Config).values


def test_defaults_and_what_was_typed() -> None:
    parsed = parse("train", "", ["a"], Options, Config)
    assert parsed.values == (Options((Path("a"),)), Config())
    assert parsed.given == {"paths"}
    parsed = parse("train", "", ["a", "--width", "256", "--no-quiet", "--prompt", ""], Options, Config)
    assert parsed.values == (Options((Path("a"),)), Config())
    assert parsed.given == {"paths", "width", "quiet", "prompt"}


def test_options_of_several_dataclasses_stand_side_by_side() -> None:
    line = "a --steps 5 b --where x=y --cell lstm c --where z=1=2 --quiet --dilations 4 --dilations 8 --minutes=.5"
    options, config = read(line)
    assert options.paths == (Path("a"), Path("b"), Path("c"))
    assert (options.steps, options.minutes, options.quiet) == (5, 0.5, True)
    assert options.where == {"x": "y", "z": "1=2"}
    assert config == Config(256, "lstm", (4, 8))


def test_values_may_look_like_numbers_or_options() -> None:
    assert read("a --minutes -1")[0].minutes == -1.0
    assert read("a --prompt=--where")[0].prompt == "--where"
    assert read("-s 3 a")[0].steps == 3
    assert read("b --steps 3 -- -a --width")[0].paths == (Path("b"), Path("-a"), Path("--width"))
    assert read("-")[0].paths == (Path("-"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "missing: PATHS"),
        ("a --stps 3", "unknown option --stps: did you mean --steps?"),
        ("--stps", "unknown option --stps: did you mean --steps?"),
        ("a --step 3", "unknown option --step: did you mean --steps?"),
        ("a --zzzzzz", "unknown option --zzzzzz "),
        ("a --steps x", "--steps: 'x' is not a whole number"),
        ("a --steps 1.5", "--steps: '1.5' is not a whole number"),
        ("a --steps", "--steps: expected a value"),
        ("a --minutes nan", "--minutes: 'nan' is not a number"),
        ("a --minutes inf", "--minutes: 'inf' is not a number"),
        ("a --cell rnn", "--cell: 'rnn' is not one of gru, lstm"),
        ("a --where x", "--where: 'x' is not of the form key=value"),
        ("a --where =x", "--where: '=x' is not of the form key=value"),
        ("a --quiet=yes", "--quiet"),
        ("a -z", "unknown option -z"),
    ],
)
def test_mistakes_are_one_line_that_names_them(line: str, message: str) -> None:
    with pytest.raises(UsageError) as problem:
        read(line)
    assert message in str(problem.value)
    assert "unrolled train --help" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_help_shows_what_stands_below_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read("--help")
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("usage: unrolled train PATHS ... [options]", "Files to learn from, 100 % of them.", "-s N, --steps N"):
        assert text in shown
    for text in ("Time budget. (default: 2.0)", "Settings of char-rnn:", "Units. (default: 256)", "(default: off)"):
        assert text in shown
    assert "(default: gru)" in shown
    assert "None" not in shown


def test_examples_in_a_description_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    made = make_dataclass("Made", [("run", str | None, positional(default=None))])
    with pytest.raises(SystemExit):
        parse(
            "show", "\nShow a run " + "at length " * 9 + "\n\n  unrolled show\n  unrolled show poems", ["--help"], made
        )
    shown = capsys.readouterr().out
    assert "\n\n  unrolled show\n  unrolled show poems\n\n" in shown
    assert "usage: unrolled show [RUN] [options]" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_dataclass_made_at_run_time_has_the_texts_of_its_base(capsys: pytest.CaptureFixture[str]) -> None:
    made = make_dataclass("Made", [("width", int, field(default=7))], bases=(Base,), frozen=True)
    assert parse("train", "", ["a"], Options, made).values[1] == made(7)
    with pytest.raises(SystemExit):
        parse("train", "", ["--help"], Options, made)
    assert "Sizes:\n  --width N" in (shown := capsys.readouterr().out)
    assert "Units. (default: 7)" in shown


def test_texts_of_bases_are_found() -> None:
    assert field_docs(Config) == {"width": "Units.", "cell": "Kind of cell."}
    made = type("Made", (), {})
    assert field_docs(made) == {}


def test_one_optional_word_and_required_options() -> None:
    @dataclass(frozen=True)
    class Showing:
        name: str | None = positional(default=None)
        out: Path = field(kw_only=True)

    assert parse("show", "", ["--out", "x"], Showing).values == (Showing(None, out=Path("x")),)
    assert parse("show", "", ["n", "--out", "x"], Showing).values == (Showing("n", out=Path("x")),)
    with pytest.raises(UsageError, match="missing: --out"):
        parse("show", "", ["n"], Showing)
    assert parse("show", "", ["--out", "x", "n"], Showing).given == {"name", "out"}
    with pytest.raises(UsageError, match="unexpected 'm'"):
        parse("show", "", ["n", "m", "--out", "x"], Showing)


def test_positional_values_are_read_as_their_type() -> None:
    @dataclass(frozen=True)
    class Counting:
        first: int = positional()
        rest: tuple[float, ...] = positional(default=())

    assert parse("count", "", ["1"], Counting).values == (Counting(1),)
    assert parse("count", "", ["1", "2"], Counting).values == (Counting(1, (2.0,)),)
    with pytest.raises(UsageError, match="FIRST: 'x' is not a whole number"):
        parse("count", "", ["x"], Counting)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("a", "char-rnn"),
        ("a --system gpt", "gpt"),
        ("--system=gpt b", "gpt"),
        ("--system", "char-rnn"),
        ("-- --system x", "char-rnn"),
    ],
)
def test_one_option_can_be_read_early(line: str, value: str) -> None:
    assert peek(line.split(), "--system", "char-rnn") == value
