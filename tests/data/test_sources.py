"""Which files become sources, and how each kind of broken file is refused."""

import bz2
import gzip
import os
from pathlib import Path

import pytest

from unrolled.codecs import make_codec
from unrolled.core.errors import DataError
from unrolled.data import reading
from unrolled.data.reading import blocks, lines
from unrolled.data.sources import find_sources, survey


def names(sources) -> list[str]:
    return [source.path.name for source in sources]


def test_files_folders_and_globs_come_in_order_and_once(tmp_path) -> None:
    for name in ("b.txt", "a.md", "deep/er/c.py", ".hidden.txt", ".git/config", "z.TXT"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text\n")
    assert names(find_sources([tmp_path])) == ["a.md", "b.txt", "z.TXT", "c.py"]
    assert names(find_sources([tmp_path / "z.TXT", tmp_path])) == ["z.TXT", "a.md", "b.txt", "c.py"]
    assert names(find_sources([str(tmp_path / "**/*.[mp]?")])) == ["a.md", "c.py"]
    assert names(find_sources([tmp_path / ".hidden.txt"])) == [".hidden.txt"]


def test_a_name_with_glob_signs_is_a_name_first(tmp_path) -> None:
    (tmp_path / "poem[1].txt").write_text("one")
    (tmp_path / "poem1.txt").write_text("two")
    assert names(find_sources([tmp_path / "poem[1].txt"])) == ["poem[1].txt"]


def test_links_are_followed_and_a_loop_of_them_ends(tmp_path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.txt").write_text("text")
    (tmp_path / "linked").symlink_to(elsewhere)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    (tmp_path / "in" / "again.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "in" / "gone.txt").symlink_to(tmp_path / "nowhere")
    sources, skipped = survey([tmp_path])
    assert names(sources) == ["a.txt", "far.txt"] and skipped == {"broken link": 1}


def test_what_is_no_text_is_passed_over_in_folders_and_refused_by_name(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / "c.dat").write_bytes(b"caf\xe9 caf\xe9")
    (tmp_path / "d.txt").write_bytes(b"")
    sources, skipped = survey([tmp_path])
    assert names(sources) == ["a.txt"] and skipped == {"binary": 2, "empty": 1}
    for name, words in [("b.png", "NUL byte at offset 8"), ("c.dat", "0xE9 at offset 3"), ("d.txt", "empty")]:
        with pytest.raises(DataError, match=words):
            find_sources([tmp_path / name])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_wide_encodings_are_named_with_their_remedy(tmp_path, encoding) -> None:
    (tmp_path / "a.txt").write_text("text", encoding=encoding)
    with pytest.raises(DataError, match=f"iconv -f {encoding.upper()} -t UTF-8"):
        find_sources([tmp_path / "a.txt"])


def test_nothing_found_is_an_error(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, words in [
        ("nowhere.txt", "no such file"),
        ("*.nothing", "no file matches"),
        ("empty", "no text in it"),
        ("pipe", "not a regular file"),
    ]:
        with pytest.raises(DataError, match=words) as caught:
            find_sources([tmp_path / path])
        assert path in str(caught.value)
    with pytest.raises(DataError):
        find_sources([])


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_file_without_rights_is_an_error(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        find_sources([tmp_path / "a.txt"])


TEXT = "zwölf\r\nBoxkämpfer 🌳\rjagen\n\n\u2028Viktor\x0b" * 5


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
def test_pieces_join_to_the_text_with_its_newlines(tmp_path, monkeypatch, block) -> None:
    monkeypatch.setattr(reading, "BLOCK", block)
    content = TEXT.encode()
    for name, data in [("a.txt", content), ("a.gz", gzip.compress(content)), ("a.bz2", bz2.compress(content))]:
        (tmp_path / name).write_bytes(data)
        (source,) = find_sources([tmp_path / name])
        assert "".join(blocks(source.path, source.compression)) == TEXT
        found = list(lines(source.path, source.compression))
        assert [line for _, line in found] == [line + "\n" for line in TEXT.split("\n")[:-1]] + [TEXT.split("\n")[-1]]
        assert [number for number, _ in found] == list(range(1, len(found) + 1))


def test_blocks_begin_with_lines_or_words(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 10)
    (tmp_path / "a.txt").write_text("one\n\ntwo three four five\nsix")
    assert list(blocks(tmp_path / "a.txt", "")) == ["one\n", "\ntwo three four", " five", "\nsix"]


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_symbols_do_not_depend_on_blocks(tmp_path, monkeypatch, shared_data, kind) -> None:
    text = (shared_data / "text/tinyshakespeare.txt").read_text()[:30_000] + "a  b \n\n c\r\nd" * 99
    (tmp_path / "a.txt").write_bytes(text.encode())
    codec = make_codec(kind, [text], 500)
    monkeypatch.setattr(reading, "BLOCK", 997)
    pieces = [symbol for block in blocks(tmp_path / "a.txt", "") for symbol in codec.encode(block).tolist()]
    assert pieces == codec.encode(text).tolist()


@pytest.mark.parametrize("block", [1, 4, 1 << 20])
@pytest.mark.parametrize(
    ("content", "offset"),
    [(b"good \xe9 bad", 5), (b"ab\xf0\x9f\x8c", 2), (b"\xef\xbb\xbfa\xc0\xaf", 4), (b"a\xed\xa0\x80", 1)],
)
def test_broken_utf8_is_refused_with_its_place(tmp_path, monkeypatch, block, content, offset) -> None:
    monkeypatch.setattr(reading, "BLOCK", block)
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.txt: invalid UTF-8 at byte offset {offset} .*iconv"):
        list(blocks(path, ""))


def test_broken_packing_is_refused(tmp_path) -> None:
    whole = gzip.compress(os.urandom(5000).hex().encode())
    for name, data in [("a.gz", whole[:2000]), ("b.gz", b"plain"), ("c.bz2", b"plain"), ("d.xz", b"plain")]:
        path = tmp_path / f"text.txt{Path(name).suffix}"
        path.write_bytes(data)
        with pytest.raises(DataError, match=path.name):
            (source,) = find_sources([path])
            list(blocks(source.path, source.compression))


def test_an_endless_line_of_a_record_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 100)
    monkeypatch.setattr(reading, "BLOCK", 10)
    (tmp_path / "a.jsonl").write_text("{}\n" + "x" * 200)
    with pytest.raises(DataError, match="line 2 is longer than 100"):
        list(lines(tmp_path / "a.jsonl", ""))
