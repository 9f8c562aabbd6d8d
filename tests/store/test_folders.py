"""Run folders: names, publication, damage, locks."""

import contextlib
import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unrolled.core.errors import RunError, UnrolledError, UsageError
from unrolled.core.files import sha256
from unrolled.store import folders
from unrolled.store.configs import RunConfig
from unrolled.store.folders import MODEL, PUBLISHED, RunFolder, check_name, create_run, find_run, list_runs

CONFIG = RunConfig("char-rnn", {"width": 4})


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "9", "x" * 64, "unrolled"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


BAD = ["", ".", "..", ".hidden", "-x", "a/b", "../x", "a\\b", "a b", "a\n", "é", "x" * 65, "a\x00", "unrolled.db-wal"]


@pytest.mark.parametrize("name", BAD)
def test_bad_names_are_refused_before_anything_is_written(runs: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a run"):
        create_run(runs, name, "char-rnn")
    assert list(runs.iterdir()) == []


def test_free_names_are_readable_and_count_up(runs: Path) -> None:
    names = [create_run(runs, None, "char-rnn", data).name for data in ("", "", "a/Tiny Shakespeare!.txt.gz", "ü.txt")]
    assert names == ["char-rnn-1", "char-rnn-2", "tiny-shakespeare-char-rnn-1", "char-rnn-3"]


def test_a_taken_name_is_refused(run: RunFolder, runs: Path) -> None:
    with pytest.raises(RunError, match=r"exists already: choose another --name"):
        create_run(runs, "one", "char-rnn")


def test_a_folder_left_by_a_killed_start_is_taken_over(runs: Path) -> None:
    (runs / "x").mkdir(parents=True)
    assert create_run(runs, "x", "char-rnn").name == "x"


@pytest.mark.parametrize(
    ("code", "error"), [(errno.EROFS, RunError), (errno.EACCES, RunError), (errno.ENOSPC, OSError)]
)
def test_folders_that_cannot_be_written(runs: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: Any) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(runs))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(error) as problem:
        create_run(runs, None, "char-rnn")
    if error is RunError:
        assert "--runs" in str(problem.value)


def test_runs_below_a_file_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot create a run"):
        create_run(tmp_path / "file" / "runs", None, "char-rnn")


def test_runs_are_found_by_name_and_by_path(run: RunFolder, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = runs.parent / "elsewhere" / "two"
    shutil.copytree(run.path, copy)
    assert find_run("one", runs).path == run.path
    assert find_run(str(copy)).config() == run.config()
    assert find_run(copy).verify() == run.verify()
    monkeypatch.chdir(copy.parent)
    for name in ("./two/", "./two"):
        assert find_run(name).path == Path("two")
    assert find_run("../runs/one").verify() == run.verify()
    monkeypatch.chdir(runs.parent)
    assert find_run("one").path == Path("runs/one")
    assert [found.name for found in list_runs(runs)] == ["one"]


def test_a_missing_run_names_the_nearest(run: RunFolder, runs: Path) -> None:
    with pytest.raises(RunError, match=r"no such run: did you mean one\?"):
        find_run("onne", runs)
    with pytest.raises(RunError, match="there are one"):
        find_run("shakespeare", runs)
    with pytest.raises(RunError, match="train one first"):
        find_run("x", runs.parent / "none")


@pytest.mark.parametrize("name", ["..", "../..", "runs/..", "one/../one", "runs/.hidden", "", ".", "/"])
def test_dots_in_paths_are_refused(run: RunFolder, runs: Path, name: str) -> None:
    with pytest.raises(UsageError):
        find_run(name, runs)


def test_links_to_runs_are_refused(run: RunFolder, runs: Path) -> None:
    (runs / "two").symlink_to(run.path)
    for name in ("two", str(runs / "two")):
        with pytest.raises(RunError, match="is a link"):
            find_run(name, runs)
    assert [found.name for found in list_runs(runs)] == ["one"]
    with pytest.raises(RunError, match="exists already"):
        create_run(runs, "two", "char-rnn")


def test_a_folder_that_is_no_run_is_refused(runs: Path) -> None:
    (runs / "x").mkdir(parents=True)
    with pytest.raises(RunError, match=r"holds no config\.json"):
        find_run("x", runs)


def test_published_files_carry_their_hashes(run: RunFolder) -> None:
    assert run.verify() == {name: sha256(run.path / name) for name in PUBLISHED}
    assert run.model_sha256() == sha256(run.model)
    assert {path.name for path in run.path.iterdir()} == {*PUBLISHED, "manifest.json"}


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "foreign": lambda path: path.write_bytes(b"other weights"),
    "missing": lambda path: path.unlink(),
    "link": lambda path: (path.rename(path.parent.parent / "away"), path.symlink_to(path.parent.parent / "away")),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "codec.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_named(run: RunFolder, name: str, damage: str) -> None:
    DAMAGE[damage](run.path / name)
    with pytest.raises(RunError, match=name.replace(".", r"\.")) as problem:
        run.verify()
    assert "copy the run again" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_the_card_may_be_edited(run: RunFolder) -> None:
    (run.path / "card.md").write_text("licence: CC0")
    run.verify()


MANIFESTS = ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "files": {"model.safetensors": 3}}', '{"schema": 2}']


@pytest.mark.parametrize("content", MANIFESTS)
def test_a_damaged_manifest_is_named(run: RunFolder, content: str) -> None:
    (run.path / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest\.json"):
        run.verify()


def test_an_unpublished_run_says_so(runs: Path) -> None:
    folder = create_run(runs, "x", "char-rnn")
    folder.write_config(CONFIG)
    assert folder.config() == CONFIG
    with pytest.raises(RunError, match="no usable model yet"):
        folder.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 7, "unrolled": "3.0"}, r"newer unrolled 3\.0"),
        ({"wdth": 1}, "unknown setting 'wdth'"),
        ({"system": 3}, "system: expected text"),
    ],
)
def test_configs_are_checked(run: RunFolder, change: dict[str, Any], message: str) -> None:
    data = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(RunError, match=message):
        run.config()


def test_a_new_config_of_a_published_run_keeps_it_usable(run: RunFolder) -> None:
    run.write_config(CONFIG)
    assert run.config() == CONFIG
    run.verify()


CALLS = ("replace", "rename", "fsync")


class Cut(BaseException):
    """Stands for a kill: no handler for ordinary errors may see it."""


def publish_new(folder: RunFolder) -> None:
    folder.publish(lambda path: path.write_bytes(b"new" * 50), CONFIG, {"kind": "new"}, "# new\n")


def test_a_publication_cut_at_any_file_call_leaves_the_old_or_the_new(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every k-th call is the last that is made; then the folder is opened again as if by another process."""
    template = run.path.with_name("template")
    shutil.copytree(run.path, template)
    states: list[int] = []
    for last in range(100):
        shutil.rmtree(run.path)
        shutil.copytree(template, run.path)
        count = 0

        def counted(name: str, last: int = last) -> Any:
            real = getattr(os, name)

            def call(*arguments: Any, **keywords: Any) -> Any:
                nonlocal count
                count += 1
                if count > last:
                    raise Cut
                return real(*arguments, **keywords)

            return call

        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, counted(name))
            patch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing up
            try:
                publish_new(run)
                break
            except Cut:
                pass
        run.verify()
        states.append(run.config().config["width"])
        assert (run.codec()["kind"] == "new") == (states[-1] == 4)
        publish_new(run)  # and whatever was left lying about is no hindrance
        run.verify()
    assert states == sorted(states)
    assert set(states) == {3, 4}


def test_a_publication_that_fails_leaves_the_old_and_no_litter(run: RunFolder) -> None:
    def fill_the_disk(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    before = run.verify()
    with pytest.raises(OSError, match="space"):
        run.publish(fill_the_disk, CONFIG, {}, "")
    assert run.verify() == before
    assert {path.name for path in run.path.iterdir()} == {*PUBLISHED, "manifest.json"}


def test_a_link_in_place_of_a_staged_folder_is_left_alone(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    (run.path / ".publish").symlink_to(tmp_path / "staged")
    run.verify()
    (run.path / MODEL).write_bytes(b"other")
    with pytest.raises(RunError, match=r"altered|truncated"):
        run.verify()
    assert (tmp_path / "staged").is_dir()


def test_readers_beside_a_publisher_see_the_old_or_the_new(run: RunFolder) -> None:
    """Runs are loaded while they train."""
    code = (
        "import sys, time; from pathlib import Path; from unrolled.store.configs import RunConfig\n"
        "from unrolled.store.folders import RunFolder\n"
        "for width in range(40):\n"
        "    RunFolder(Path(sys.argv[1])).publish(lambda path: path.write_bytes(b'%d' % width * 1000),"
        " RunConfig('char-rnn', {'width': width}), {'kind': str(width)}, '')\n"
        "    time.sleep(0.01)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(run.path)]) as publisher:
        while publisher.poll() is None:
            assert set(run.verify()) == set(PUBLISHED)
            run.config()
    assert publisher.returncode == 0
    assert run.config().config == {"width": 39}


def test_a_slow_reader_never_takes_away_what_is_staged_next(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader has found a staged folder, and moves on only when the publisher has staged another."""
    write = folders.write_folder
    monkeypatch.setattr(folders.RunFolder, "_settle", lambda folder: None)
    publish_new(run)  # staged, and then cut short
    monkeypatch.undo()
    real = folders.sync

    def stage(folder: Path) -> None:
        (folder / "card.md").write_text("staged next")

    def publish_meanwhile(path: Path) -> None:
        real(path)
        monkeypatch.setattr(folders, "sync", real)
        (run.path / ".publish").rmdir()
        write(run.path / ".publish", stage)

    monkeypatch.setattr(folders, "sync", publish_meanwhile)
    run.verify()
    assert (run.path / ".publish" / "card.md").read_text() == "staged next"


def test_what_a_killed_publication_staged_is_cleared_away_by_the_next(run: RunFolder) -> None:
    (run.path / "..publish.12345.tmp").mkdir()
    (run.path / "..publish.12345.tmp" / MODEL).write_bytes(b"half")
    publish_new(run)
    assert {path.name for path in run.path.iterdir()} == {*PUBLISHED, "manifest.json"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["config.json", "manifest.json", "codec.json"]),
    place=st.floats(0, 1),
    junk=st.binary(max_size=8) | st.sampled_from([b"{", b'"', b"9" * 400, b"null", b"\xff", b"[" * 5000]),
)
def test_mutated_files_give_the_one_kind_of_error(run: RunFolder, name: str, place: float, junk: bytes) -> None:
    path = run.path / name
    whole = path.read_bytes()
    at = int(place * len(whole))
    path.write_bytes(whole[:at] + junk + whole[at + min(len(junk), 8) :])
    try:
        for read in (run.config, run.codec, run.verify, run.model_sha256):
            with contextlib.suppress(RunError):
                read()
    finally:
        path.write_bytes(whole)


def test_two_trainings_of_one_name_at_once(runs: Path) -> None:
    """The second is refused with the process id of the first; when that is killed, the name is free again."""
    code = (
        "import sys, time; from pathlib import Path; from unrolled.store.folders import create_run\n"
        "folder = create_run(Path(sys.argv[1]), 'x', 'char-rnn')\n"
        "with folder.lock(): print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(runs)], stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "locked\n"
            for attempt in (
                lambda: create_run(runs, "x", "char-rnn"),
                lambda: RunFolder(runs / "x").lock().__enter__(),
            ):
                with pytest.raises(RunError, match=f"trained by process {first.pid}: .*--name"):
                    attempt()
            with pytest.raises(RunError, match=str(first.pid)):
                RunFolder(runs / "x").remove()
        finally:
            first.kill()
    with create_run(runs, "x", "char-rnn").lock():
        pass


def take(arguments: tuple[str, int]) -> str:
    try:
        return create_run(Path(arguments[0]), None, "gpt").name
    except UnrolledError as problem:
        return str(problem)


def test_many_trainings_without_a_name_never_share_one(runs: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        names = pool.map(take, [(str(runs), number) for number in range(12)])
    assert sorted(names) == sorted(f"gpt-{number}" for number in range(1, 13))


def test_removal_leaves_what_links_point_to(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (run.path / "checkpoints").symlink_to(tmp_path / "precious")
    assert run.size() < 10_000
    run.remove()
    assert not run.path.exists()
    assert (tmp_path / "precious" / "file").exists()
    assert MODEL not in os.listdir(run.path.parent)
