"""Corpora: records and their faults, splits, fingerprints."""

import bz2
import gzip
import hashlib
import json

import pytest

from unrolled.core.errors import DataError, UsageError
from unrolled.data.corpus import SplitRule, open_corpus
from unrolled.data.fields import make_fields


@pytest.fixture
def write(tmp_path):
    def make(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def texts(corpus, part=None) -> list[str]:
    return list(corpus.texts(part))


def test_plain_text_is_cut_once_at_its_share_of_characters(write) -> None:
    content = "äbc\r\n" * 37
    corpus = open_corpus([write("a.txt", content)])
    assert not corpus.is_records
    assert "".join(texts(corpus)) == content
    assert "".join(texts(corpus, "train")) == content[: int(0.9 * 185)]
    assert "".join(texts(corpus, "validation")) == content[int(0.9 * 185) :]
    assert next(iter(corpus.documents("validation"))).number == int(0.9 * 185)
    half = open_corpus([write("a.txt", content)], split=SplitRule(0.5))
    assert len("".join(texts(half, "train"))) == 92


def test_the_published_split_of_tiny_shakespeare(shared_data) -> None:
    facts = open_corpus([shared_data / "text/tinyshakespeare.txt"]).facts()
    assert (facts["train_characters"], facts["validation_characters"]) == (1_003_854, 111_540)
    assert facts["sources"][0]["sha256"].startswith("86c4e6aa9db7c042")


def test_several_texts_join_without_glueing_lines(write) -> None:
    files = [write("a.txt", "one"), write("b.txt", "\ufefftwo\n"), write("c.txt", "three")]
    corpus = open_corpus(files)
    assert "".join(texts(corpus)) == "one\ntwo\nthree"
    facts = corpus.facts()
    assert facts["characters"] == 13 and facts["bytes"] == 15
    assert [source["notes"] for source in facts["sources"]] == [[], ["byte order mark left out"], []]


def test_records_split_by_their_text(shared_data) -> None:
    corpus = open_corpus([shared_data / "text/records/poems_english.jsonl"])
    expected = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 10 == 0 for text in texts(corpus)]
    validation = [text for text, is_validation in zip(texts(corpus), expected, strict=True) if is_validation]
    assert texts(corpus, "validation") == validation and 50 < len(validation) < 90
    assert len(texts(corpus, "train")) + len(validation) == 704
    fifth = open_corpus([shared_data / "text/records/poems_english.jsonl"], split=SplitRule(0.8))
    assert set(validation) < set(texts(fifth, "validation")) and len(texts(fifth, "validation")) < 180


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_records_still_leave_one_on_each_side(write, count) -> None:
    for start in range(20):
        lines = [json.dumps({"text": f"record {start} {index}"}) for index in range(count)]
        corpus = open_corpus([write("a.jsonl", "\n".join(lines))])
        assert 0 < len(texts(corpus, "validation")) < count
    one = open_corpus([write("a.jsonl", '{"text": "alone"}')])
    assert texts(one, "train") == ["alone"] and not texts(one, "validation")


def test_records_keep_fields_and_lines_in_every_format(write) -> None:
    rows = [("Ünder\nway", "a"), ("=1+1", "b"), ('say "x", y', "")]
    table = "text,author\r\n" + "".join('"{}",{}\r\n'.format(text.replace('"', '""'), author) for text, author in rows)
    for name, content in [
        ("a.csv", table),
        ("b.csv", "\ufeff" + table),
        ("c.csv", table.replace(",", ";").replace("x; y", "x, y").replace('"x"";', '"x"",')),
        ("d.tsv", table.replace(",", "\t").replace("\t y", ", y")),
        ("e.jsonl", "".join(json.dumps({"text": text, "author": author}) + "\n\n" for text, author in rows)),
    ]:
        documents = list(open_corpus([write(name, content)]).documents())
        assert [(document.text, document.fields["author"]) for document in documents] == rows, name
        assert [document.number for document in documents] == ([1, 3, 5] if name == "e.jsonl" else [2, 4, 5])


PACKED = {
    "a.csv": 'author,text,year\nAnn,"O, sea",1801\nBob,"a\n☃",1802\n',
    "a.tsv": 'author\ttext\tyear\nAnn\tO, sea\t1801\nBob\t"a\n☃"\t1802\n',
    "a.jsonl": '{"author": "Ann", "text": "O, sea", "year": 1801}\n{"year": 1802, "text": "a\\n☃", "author": "Bob"}\n',
}


@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".GZ", gzip.compress), (".bz2", bz2.compress)]
)
@pytest.mark.parametrize("name", PACKED)
def test_packed_records_keep_their_fields(write, name, ending, pack) -> None:
    path = write(name + ending, pack(PACKED[name].encode()))
    for given in (path, path.parent):  # a folder takes only what it knows to be text
        corpus = open_corpus([given], fields=("author", "year"), split=SplitRule(1.0))
        assert corpus.is_records and set(corpus.columns) == {"author", "year"}
        found = [(text, fields["author"], str(fields["year"])) for text, fields, _, _ in corpus.documents()]
        assert found == [("O, sea", "Ann", "1801"), ("a\n☃", "Bob", "1802")]
        assert make_fields(corpus).resolve({"author": "Bob", "year": "1801"}) == [2, 1]


def test_another_text_field_can_be_named(write) -> None:
    path = write("a.csv", "poem,author\nO,x\n")
    assert texts(open_corpus([path], text_field="poem")) == ["O"]
    with pytest.raises(DataError, match=r"line 2 has no 'text' among its fields poem, author: pass --text-field"):
        open_corpus([path])


def test_records_without_text_are_counted_and_left_out(write) -> None:
    corpus = open_corpus([write("a.jsonl", '{"text": ""}\n{"text": null}\n{"text": " \\n"}\n{"text": "x"}\n')])
    assert texts(corpus) == ["x"] and corpus.facts()["empty_records"] == 3


BROKEN = {
    "ragged.csv": ("text,a\nx,1\ny\n", "line 3 has 1 cells, the header 2"),
    "multi.csv": ('text,a\n"x\ny",1\ny\n', "line 4 has 1 cells, the header 2"),
    "wide.csv": ("text,a\nx,1,2\n", "line 2 has 3 cells"),
    "open.csv": ('text,a\nx,1\n"y,2\nz,3\n', "line 3 is not a csv row"),
    "quote.csv": ('text,a\n"x"y,2\n', "line 2 is not a csv row"),
    "only_header.csv": ("text,a\n", "no records"),
    "twice.csv": ("text,text\nx,y\n", "line 1 is no header"),
    "cr.csv": ("text,a\rx,1\r", "line 1 is not a csv row"),
    "half.jsonl": ('{"text": "x"}\n{"text": "y"\n', "line 2, column"),
    "list.jsonl": ("[1]\n", "line 1 holds list"),
    "twice.jsonl": ('{"text": "x", "text": "y"}\n', "line 1 is not JSON .*'text' comes twice"),
    "nan.jsonl": ('{"text": "x", "score": NaN}\n', "NaN"),
    "deep.jsonl": ('{"text": ' + "[" * 200_000 + "\n", "line 1 is not JSON"),
    "number.jsonl": ('{"text": "x", "n": ' + "9" * 5000 + "}\n", "line 1 is not JSON"),
    "surrogate.jsonl": ('{"text": "x \\ud83d"}\n', "line 1 holds half of a surrogate"),
    "wrong.jsonl": ('{"text": 7}\n', "line 1: field 'text' holds int"),
    "none.jsonl": ('{"title": "x"}\n', "line 1 has no 'text' among its fields title"),
    "nothing.jsonl": ("\n\n", "no records"),
    "empty.jsonl": ('{"text": ""}\n', "1 records without text"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_records_are_refused_with_file_and_line(write, name) -> None:
    content, words = BROKEN[name]
    with pytest.raises(DataError, match=words) as caught:
        open_corpus([write(name, content)])
    assert name in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_mixed_kinds_and_unknown_fields_are_refused(write) -> None:
    records, plain = write("a.jsonl", '{"text": "x", "author": "y"}'), write("b.txt", "text")
    with pytest.raises(DataError, match=r"a\.jsonl holds records and .*b\.txt plain text"):
        open_corpus([records, plain])
    with pytest.raises(UsageError, match="fields are author"):
        open_corpus([records], fields=("mood",))
    with pytest.raises(UsageError, match="plain text has no fields"):
        open_corpus([plain], fields=("mood",))
    with pytest.raises(UsageError, match="field 'text' is the text itself"):
        open_corpus([records], fields=("text",))
    with pytest.raises(UsageError, match="fields are author; for several, repeat --fields"):
        open_corpus([records], fields=("author,mood",))
    with pytest.raises(UsageError, match=r"split 1\.5"):
        SplitRule(1.5)


def test_the_fingerprint_follows_content_split_and_fields_but_not_the_path(write) -> None:
    content = '{"text": "x", "a": 1}\n{"text": "y", "a": 2}\n'
    first = open_corpus([write("a.jsonl", content)]).fingerprint()
    assert open_corpus([write("b.jsonl", content)]).fingerprint() == first
    changed = {
        open_corpus([write("c.jsonl", content.replace("y", "z"))]).fingerprint(),
        open_corpus([write("a.jsonl", content)], fields=("a",)).fingerprint(),
        open_corpus([write("a.jsonl", content)], split=SplitRule(1)).fingerprint(),
    }
    assert len(changed | {first}) == 4
    assert json.loads(json.dumps(open_corpus([write("a.jsonl", content)]).facts()))["records"] == 2


def test_fields_of_real_poems(shared_data) -> None:
    corpus = open_corpus([shared_data / "text/records/poems_dickinson.jsonl"], fields=("author", "theme", "series"))
    table = make_fields(corpus)
    assert table.sizes == (2, 5, 4)
    assert table.describe(table.resolve("author=Dickinson")) == {"author": "Emily Dickinson"}
    assert table.describe(table.resolve({"theme": "love", "series": "2"})) == {"theme": "Love", "series": "2"}
