"""unrolled doctor on sound, broken and hostile files."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from unrolled.api.options import SoundOptions
from unrolled.cli.arguments import field_docs
from unrolled.cli.doctor import Options, main
from unrolled.core.errors import UsageError


def test_a_report_for_people(tmp_path, capsys) -> None:
    path = tmp_path / "poems.csv"
    path.write_text("text,author\n" + "".join(f'"poem {n}, read it",{"ab"[n % 2]}\n' for n in range(40)))
    assert main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "40 records, " in shown and "field author: filled 40 times, 2 values: a (20), b (20)" in shown
    assert "split by record: " in shown
    assert "warning: too small: " in shown and shown.endswith("the warnings are worth a look.\n")


def test_one_json_object(tmp_path, capsys) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9")
    assert main([str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["findings"][0]["level"] == "error" and "byte offset 3" in report["findings"][0]["message"]


def test_many_findings_of_a_kind_are_cut_short(tmp_path, capsys) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_bytes(b"\xff")
    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert shown.count("invalid UTF-8") == 5 and "error: encoding: and 4 more" in shown


def test_names_and_text_cannot_steer_the_terminal(tmp_path, capsys) -> None:
    path = tmp_path / "a\x1b[2Jb.txt"
    path.write_text("red \x1b[31m alert \u202e\n" * 10)
    assert main([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown


def test_no_data_is_wrong_use() -> None:
    with pytest.raises(UsageError):
        main([])


def test_options_of_another_kind_of_data_are_refused(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.wav").touch()
    for words in (["--split", "0.8"], ["--validation", "a"], ["--within"]):
        with pytest.raises(UsageError, match=rf"{words[0]} is for recordings, and .*a\.txt holds none: leave it out"):
            main([str(tmp_path / "a.txt"), *words])
    with pytest.raises(UsageError, match=r"--text-field is for text, and .*a\.wav holds recordings: leave it out"):
        main([str(tmp_path / "a.wav"), "--text-field", "text"])
    with pytest.raises(UsageError, match="pass one of both"):
        main([str(tmp_path / "a.wav"), "--validation", "a", "--within"])


def test_the_split_is_asked_for_as_in_training() -> None:
    ours, theirs = field_docs(Options), field_docs(SoundOptions)
    for name in ("split", "validation", "within"):
        assert ours[name] == theirs[name] and getattr(Options, name) == getattr(SoundOptions, name)


def test_nothing_imports_torch(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "n": 1}\n')
    code = "import sys; from unrolled.cli.doctor import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "a.jsonl")]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True).returncode == 0


def test_hostile_files(shared_data, tmp_path, capsys) -> None:
    folder = shared_data / "platform/hostile_examples"
    with open(folder / "manifest.csv", newline="") as file:
        items = [row for row in csv.DictReader(file) if row["kind"] in ("text", "csv", "json")]
    assert len(items) == 6
    for item in items:
        content = (folder / item["file"]).read_bytes()
        as_records = tmp_path / f"{Path(item['file']).stem}.{'csv' if item['kind'] == 'csv' else 'jsonl'}"
        as_records.write_bytes(content)
        for path in (folder / item["file"], as_records):
            code = main([str(path), "--json", "--text-field", "formula" if "formula" in item["file"] else "text"])
            report = json.loads(capsys.readouterr().out)
            assert code == 1 or item["expect"] != "refuse", item
            assert all("\n" not in finding["message"] for finding in report["findings"])


def test_broken_json_lines(shared_data, tmp_path, capsys) -> None:
    for path in sorted((shared_data / "platform/json_test_suite/test_parsing").iterdir())[::3]:
        copy = tmp_path / f"{path.stem[:60]}.jsonl"
        copy.write_bytes(path.read_bytes())
        assert main([str(copy), "--json"]) in (0, 1)
        json.loads(capsys.readouterr().out)
