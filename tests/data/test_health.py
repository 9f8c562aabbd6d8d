"""What the doctor finds, fault by fault, and that it finds nothing in sound text."""

import json

import pytest

from unrolled.data import signs
from unrolled.data.health import Health, examine

PROSE = "".join(f"This is sentence number {n} of a sound and quiet book, and it says {n * n}.\n" for n in range(2000))


@pytest.fixture
def look(tmp_path):
    def write_and_examine(content: str | bytes, name: str = "a.txt") -> Health:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return examine([tmp_path / name])

    return write_and_examine


def kinds(health: Health) -> dict[str, str]:
    return {finding.kind: finding.message for finding in health.findings}


def test_sound_text_has_no_findings(look) -> None:
    health = look(PROSE)
    assert health.findings == []
    report = health.to_json()
    assert report["characters"] == len(PROSE) and report["symbols"] == len(set(PROSE))
    assert report["newlines"] == {"LF": 2000} and report["lines"] == 2000
    assert json.loads(json.dumps(report)) == report


CASES = {
    "encoding": (
        PROSE.encode() + b"caf\xe9 na\xefve",
        f"2 bytes, the first at byte offset {len(PROSE) + 3} (byte 0xE9)",
    ),
    "control characters": (PROSE + "bell\x07", "1 found, first '\\x07' in"),
    "replacement characters": (PROSE + "\nl\ufffdst", "line 2002"),
    "invisible characters": (PROSE + "zero\u200bwidth", "first '\\u200b'"),
    "mojibake": (PROSE + "Ã©tait â€œquotedâ€\x9d", "3 found, first 'Ã©'"),
    "CRLF": (PROSE.replace("\n", "\r\n"), "all 2,000 lines end with CRLF"),
    "CR": (PROSE.replace("\n", "\r"), "lines end with CR"),
    "mixed newlines": (PROSE + "one\r\n", "1 CRLF, 2,000 LF"),
    "byte order mark": ("\ufeff" + PROSE, "byte order mark"),
    "too small": ("short", "5 characters are few"),
    "long lines": (PROSE + "x" * 20_000, "1 lines above 10,000 characters, the longest 20,000"),
    "duplicate lines": (PROSE + PROSE[:40_000], "of the text stands in lines that occurred before"),
    "boilerplate": (PROSE + "*** END OF THE PROJECT GUTENBERG EBOOK ***\n", "a distributor's notice"),
    "records as text": ('{"text": "x"}\n' + PROSE, ".jsonl"),
    "unreadable": (b"", "empty"),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_fault_of_plain_text_is_found(look, kind) -> None:
    content, words = CASES[kind]
    health = look(content)
    assert words in kinds(health)[kind]
    also = {"long lines"} if kind == "CR" else {"control characters"} if kind == "mojibake" else set()
    assert set(kinds(health)) <= {kind} | also
    expected = (
        "error"
        if kind in ("encoding", "unreadable")
        else "note"
        if kind in ("byte order mark", "records as text")
        else "warning"
    )
    assert next(finding.level for finding in health.findings if finding.kind == kind) == expected


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_nothing_depends_on_where_reading_pauses(look, monkeypatch, block) -> None:
    content = "größer\r\r\r\n\r\n\ufeffÃ© \ufffd".encode() + b"\xe9\xff " + b"x" * 30 + "\ntail é".encode()
    whole = look(content).to_json()
    monkeypatch.setattr(signs, "BLOCK", block)
    pieces = look(content).to_json()
    assert pieces == whole


def records(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


LINES = PROSE.splitlines()


def sound(count: int) -> list[dict]:
    return [
        {"text": "\n".join(LINES[20 * n : 20 * n + 20]), "mood": ["glad", "sad"][n % 2], "n": n} for n in range(count)
    ]


def test_sound_records_have_no_findings(look) -> None:
    health = look(records(*sound(90)), "a.jsonl")
    assert health.findings == []
    report = health.to_json()
    assert report["records"] == 90 and report["train_records"] + report["validation_records"] == 90
    assert report["values"]["mood"] == {"filled": 90, "different": 2, "most": {"glad": 45, "sad": 45}}


def test_each_fault_of_records_is_found(look) -> None:
    rows = sound(100)
    rows[7] |= {"text": rows[3]["text"] + " "}
    rows[8] |= {"text": ""}
    rows[9] |= {"text": "ha"}
    for index, row in enumerate(rows):
        row |= {"title": "x" if index == 5 else None, "language": "en"}
        row["text"] += "\nShared with love by the poetry robot" * (20 < index < 60)
    found = kinds(look(records(*rows), "a.jsonl"))
    assert found.keys() == {
        "duplicate records", "empty records", "near-empty records", "boilerplate", "near-empty field", "constant field"
    }  # fmt: skip
    assert "1 of 99 records repeat another (a.jsonl line 8 repeats a.jsonl line 4)" in found["duplicate records"]
    assert "39 of 99 documents hold the line 'Shared with love" in found["boilerplate"]
    assert "'title' is filled in 1% of 100" in found["near-empty field"]
    assert "'language'" in found["constant field"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,a\nx\n", "line 2 has 1 cells"),
        ("a.csv", "text,a\n", "no records"),
        ("a.jsonl", "{\n", "line 1"),
        ("a.jsonl", '{"title": "x"}\n', "--text-field"),
        ("a.jsonl", b'{"text": "\xff"}\n', "byte offset 10"),
        ("a.gz", b"\x1f\x8bgarbage", "broken .gz"),
    ],
)
def test_broken_records_are_errors(look, name, content, words) -> None:
    health = look(content, name)
    assert any(finding.level == "error" and words in finding.message for finding in health.findings)


def test_one_broken_file_does_not_hide_the_others(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    (tmp_path / "b.txt").write_bytes(b"\x07" + PROSE.encode())
    health = examine([tmp_path, tmp_path / "nowhere.txt"])
    assert {"encoding", "control characters", "unreadable"} <= kinds(health).keys()
    mixed = tmp_path / "c.jsonl"
    mixed.write_text('{"text": "x"}')
    assert any("plain text" in finding.message for finding in examine([tmp_path / "b.txt", mixed]).findings)


def test_real_corpora(shared_data) -> None:
    folder = shared_data / "text"
    assert examine([folder / "tinyshakespeare.txt"]).findings == []
    assert kinds(examine([folder / "records/poems_dickinson.jsonl"])).keys() == {"constant field"}
    found = kinds(examine([folder / "records/aphorisms.jsonl"]))
    assert "570 found, first '\\u2060'" in found["invisible characters"]
