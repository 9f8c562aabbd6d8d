"""Symbols on disk: what they are, that they are kept and checked, and that they need little memory."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unrolled.codecs import make_codec
from unrolled.core.errors import DataError, RunError
from unrolled.data import encoded
from unrolled.data.corpus import SplitRule, open_corpus
from unrolled.data.encoded import ArrayFile, encode_corpus
from unrolled.data.fields import make_fields


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abcdefghi☃" * 10, encoding="utf-8")
    return open_corpus([path])


@pytest.mark.parametrize(("kind", "dtype"), [("characters", np.uint8), ("bytes", np.uint8), ("bpe", np.uint16)])
def test_plain_text_is_stored_without_begin_and_end(plain, tmp_path, kind, dtype) -> None:
    codec = make_codec(kind, plain.texts("train"), 300 if kind == "bpe" else None)
    result = encode_corpus(plain, codec, cache=tmp_path)
    assert codec.decode(result.train.symbols) == "abcdefghi☃" * 9
    assert codec.decode(result.validation.symbols) == "abcdefghi☃"
    assert result.train.symbols.dtype == dtype and isinstance(result.train.symbols, np.memmap)
    assert result.train.starts.tolist() == [0, len(result.train.symbols)]
    assert not result.train.is_records and result.train.fields.shape == (0, 0)
    assert (result.train.name, result.validation.name) == ("train", "validation")


def test_characters_of_validation_alone_are_counted(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ab" * 45 + "abxxz\nabab", encoding="utf-8")
    corpus = open_corpus([path])
    result = encode_corpus(corpus, make_codec("characters", corpus.texts("train")), cache=tmp_path)
    assert result.unknown == {"train": {}, "validation": {"\n": 1, "x": 2, "z": 1}}
    whole = encode_corpus(corpus, make_codec("characters", corpus.texts()), cache=tmp_path)
    assert whole.unknown == {"train": {}, "validation": {}}


@pytest.mark.parametrize(("name", "pack"), [("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress)])
def test_records_begin_end_and_carry_their_fields(tmp_path, name, pack) -> None:
    path = tmp_path / name
    records = [{"text": f"poem {i}", "mood": "glad" if i % 2 else "sad"} for i in range(30)]
    path.write_bytes(pack("\n".join(map(json.dumps, records)).encode()))
    corpus = open_corpus([path], fields=("mood",), split=SplitRule(0.8))
    codec = make_codec("characters", corpus.texts())
    table = make_fields(corpus)
    result = encode_corpus(corpus, codec, table, tmp_path)
    for part, documents in (
        (result.train, list(corpus.documents("train"))),
        (result.validation, list(corpus.documents("validation"))),
    ):
        assert len(documents) == len(part.starts) - 1 == len(part.fields) > 0
        for index, document in enumerate(documents):
            symbols = part.symbols[part.starts[index] : part.starts[index + 1]]
            assert symbols.tolist() == [codec.begin, *codec.encode(document.text), codec.end]
            assert part.fields[index].tolist() == table.ids(document.fields)
    assert set(result.train.fields.flatten().tolist()) == {1, 2}


def test_the_cache_is_used_and_keyed_by_all_that_matters(plain, tmp_path, monkeypatch) -> None:
    codec = make_codec("characters", plain.texts("train"))
    first = encode_corpus(plain, codec, cache=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(encoded, "write_parts", None)
        again = encode_corpus(plain, codec, cache=tmp_path)
        assert np.array_equal(first.train.symbols, again.train.symbols) and again.unknown == first.unknown
    encode_corpus(plain, make_codec("bytes", []), cache=tmp_path)
    encode_corpus(open_corpus([plain.sources[0].path], split=SplitRule(0.5)), codec, cache=tmp_path)
    assert len(list((tmp_path / "symbols").iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncate", "append", "remove", "facts", "foreign"])
def test_a_damaged_cache_is_made_again(plain, tmp_path, damage) -> None:
    codec = make_codec("characters", plain.texts("train"))
    wanted = encode_corpus(plain, codec, cache=tmp_path).train.symbols.tolist()
    (folder,) = (tmp_path / "symbols").iterdir()
    file = folder / "train_symbols.npy"
    size = file.stat().st_size
    if damage == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    if damage == "append":
        file.write_bytes(file.read_bytes() + b"x")
    if damage == "remove":
        file.unlink()
    if damage == "facts":
        (folder / "facts.json").write_text("[7]")
    if damage == "foreign":
        file.write_bytes(b"x" * file.stat().st_size)
    assert encode_corpus(plain, codec, cache=tmp_path).train.symbols.tolist() == wanted
    assert file.stat().st_size == size


def test_a_cache_that_cannot_be_written_is_named(plain, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="UNROLLED_CACHE"):
        encode_corpus(plain, make_codec("bytes", []), cache=tmp_path / "file")


def test_nothing_is_left_behind_by_a_failure(plain, tmp_path) -> None:
    plain.sources[0].path.write_text("something else")
    with pytest.raises(DataError, match="changed while it was read"):
        encode_corpus(plain, make_codec("bytes", []), cache=tmp_path)
    assert list((tmp_path / "symbols").iterdir()) == []


def test_the_default_cache_follows_the_environment(plain, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "here"))
    encode_corpus(plain, make_codec("bytes", []))
    assert (tmp_path / "here" / "symbols").is_dir()


def test_a_growing_array_file_is_what_numpy_writes(tmp_path) -> None:
    with ArrayFile(tmp_path / "grown.npy", np.dtype(np.int32), (2,)) as file:
        for rows in range(5):
            file.append(np.arange(rows * 2).reshape(rows, 2))
    loaded = np.load(tmp_path / "grown.npy", allow_pickle=False)
    np.save(tmp_path / "saved.npy", loaded)
    assert loaded.shape == (10, 2)
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


MEASURE = """
import sys, threading, time
from pathlib import Path
from unrolled.codecs import make_codec
from unrolled.data.corpus import open_corpus
from unrolled.data.encoded import encode_corpus
from unrolled.data.sampling import Streams

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024

before, peak, done = anonymous(), [0], threading.Event()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous())

threading.Thread(target=watch, daemon=True).start()
corpus = open_corpus([sys.argv[1]])
codec = make_codec("characters", corpus.texts("train"))
parts = encode_corpus(corpus, codec, cache=Path(sys.argv[2]))
sampler = Streams(parts.train, 16, 128, 0)
for step in range(0, sampler.steps_per_epoch, 1000):
    sampler.batch(step)
done.set()
print(max(peak[0], anonymous()) - before, len(parts.train.symbols))
"""


def test_one_line_of_a_hundred_megabytes_needs_little_memory(tmp_path) -> None:
    if not Path("/proc/self/status").exists() or "RssAnon" not in Path("/proc/self/status").read_text():
        pytest.skip("this system does not report anonymous memory (RssAnon in /proc/self/status)")
    path = tmp_path / "long.txt"
    with open(path, "wb") as file:
        for _ in range(100):
            file.write("né ".encode() * 250_000)
    command = [sys.executable, "-c", MEASURE, str(path), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    anonymous, symbols = map(int, result.stdout.split())
    assert symbols == 67_500_000
    assert anonymous < 60e6
