"""Folders that may not be written and disks that fill up, as the operating system itself refuses them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.conftest import SMALL
from tests.end_to_end.test_bad_input import one_line

NOBODY = 65534


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """The superuser may write everywhere, so give that right up for a while."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("the superuser of this machine may not act as another user")
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes of any file fail in the middle, as on a disk that fills up."""
    resource = pytest.importorskip("resource", reason="this system has no limits of file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can read, which the ancestors of tmp_path do not allow."""
    folder = Path(tempfile.mkdtemp(prefix="unrolled-test-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def published(public: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run `plain` where nobody may write."""
    shutil.copytree(runs / "plain", public / "runs" / "plain")
    for path in public.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (public / "cache").mkdir()
    (public / "cache").chmod(0o777)
    monkeypatch.setenv("UNROLLED_CACHE", str(public / "cache"))
    return public / "runs"


def test_nothing_new_is_begun_in_a_read_only_folder(unrolled, published, book) -> None:
    text = published.parent / "book.txt"
    shutil.copy(book, text)
    text.chmod(0o444)
    words = ["--steps", 2, "--quiet", *SMALL]
    with as_ordinary_user():
        one_line(unrolled("train", text, "--runs", published, *words), 1, str(published), "writable")
        one_line(unrolled("train", text, "--runs", published / "new", *words), 1, str(published), "writable")
        one_line(unrolled("train", "--resume", "plain", "--runs", published), 1, str(published))
        one_line(unrolled("runs", "remove", "plain", "--yes", "--runs", published), 1, str(published))
    assert (published / "plain" / "model.safetensors").is_file()


def test_a_read_only_run_is_of_use(unrolled, published) -> None:
    before = unrolled("generate", "plain", "--runs", published, "--length", 20, "--seed", 5)
    with as_ordinary_user():
        found = unrolled("generate", "plain", "--runs", published, "--length", 20, "--seed", 5)
        several = unrolled("generate", "plain", "--runs", published, "--length", 20, "--samples", 2)
        listed = unrolled("runs", "--runs", published)
    assert found.code == 0 and found.out == before.out and "cannot keep samples" in found.err
    assert several.code == 0 and several.out.count("--- sample") == 2 and "cannot keep samples" in several.err
    assert listed.code == 0 and "plain" in listed.out


def test_a_file_that_cannot_be_written_whole_leaves_no_litter(unrolled, book, tmp_path) -> None:
    words = ["train", book, "--runs", tmp_path, "--name", "x", "--steps", 5, "--quiet", *SMALL]
    unrolled("train", book, "--runs", tmp_path, "--name", "other", "--steps", 5, "--quiet", *SMALL)  # fills the cache
    with no_file_above(8_000):
        one_line(unrolled(*words), 1, "too large")
    assert not list(tmp_path.glob("x/checkpoints/*"))
    assert unrolled(*words).code == 0
    assert unrolled("generate", "x", "--runs", tmp_path, "--length", 5).code == 0
