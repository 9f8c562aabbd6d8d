"""Fields as ids: values, bins of numbers, what users may write, what strangers may not."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.data.corpus import open_corpus
from unrolled.data.fields import BINS, FieldTable, label_of, make_field, make_fields


def table_of(**values: list) -> FieldTable:
    return FieldTable(tuple(make_field(name, Counter(map(label_of, items))) for name, items in values.items()))


def test_ids_start_at_one_and_zero_is_unspecified() -> None:
    table = table_of(author=["b", "a", None, ""], year=[1950, 1900.0, "1850", []])
    assert table.ids({"author": "a", "year": 1950}) == [1, 3]
    assert table.ids({"author": None}) == [0, 0] and table.ids({"author": "new", "year": 7}) == [0, 0]
    assert table.sizes == (3, 4)
    assert table.fields[1].values == ("1850", "1900", "1950")
    assert table.describe([2, 0]) == {"author": "b"}


def test_lists_count_by_their_first_item_and_truth_by_its_name() -> None:
    assert [label_of(value) for value in (["x", "y"], [], [["z"]], True, 3.0, 2.5)] == [
        "x",
        "",
        "z",
        "true",
        "3",
        "2.5",
    ]
    with pytest.raises(DataError, match="cannot condition"):
        label_of({"a": 1})


def test_many_numbers_become_bins_of_equal_weight() -> None:
    years = list(range(1800, 2000))
    table = table_of(year=years)
    assert table.sizes == (BINS + 1,)
    counts = np.bincount([table.ids({"year": year})[0] for year in years])
    assert counts[0] == 0 and counts[1:].min() >= 11 and counts[1:].max() <= 14
    assert table.resolve("year=1950") == table.ids({"year": 1950})
    assert table.resolve("year=1") == [1] and table.resolve("year=3000") == [BINS]
    assert table.describe(table.resolve("year=1800")) == {"year": "1800 to 1812"}
    assert table.describe(table.resolve("year=1812"))["year"].startswith("1812 to ")
    assert table.ids({"year": "unknown"}) == [0]
    with pytest.raises(UsageError, match="'late' is not known: choose one of 1800 to 1812"):
        table.resolve("year=late")


@settings(deadline=None)
@given(st.lists(st.integers(-50, 1000), min_size=1, max_size=300))
def test_every_number_has_a_bin_that_holds_it(numbers) -> None:
    table = table_of(score=numbers)
    for number in numbers:
        (found,) = table.ids({"score": number})
        assert 0 < found < table.sizes[0]
    again = FieldTable.from_json(json.loads(json.dumps(table.to_json())))
    assert again == table


def test_a_value_may_be_shortened_while_it_fits_only_one() -> None:
    table = table_of(author=["Emily Dickinson", "Emily Brontë", "Walt Whitman", "Whit"], year=[1950, 1960])
    assert table.resolve("author=dickinson") == table.resolve({"author": "Emily Dickinson"}) == [2, 0]
    assert table.resolve("author=whit") == [4, 0]
    assert table.resolve("year=1950.0") == [0, 1]
    for where, words in [
        ("author=emily", "fits 2 values: choose one of Emily Brontë, Emily Dickinson"),
        ("author=", "not known: choose one of Emily Brontë"),
        ("author=Poe", "'Poe' is not known: choose one of"),
        ("mood=sad", "field 'mood' is not known to this model: its fields are author, year"),
        ("sad", "FIELD=VALUE"),
    ]:
        with pytest.raises(UsageError, match=words):
            table.resolve(where)
    with pytest.raises(UsageError, match="without fields"):
        FieldTable().resolve("a=b")


def test_fields_that_cannot_condition_are_refused() -> None:
    with pytest.raises(UsageError, match="5000 different values"):
        table_of(title=[f"title {index}" for index in range(5000)])
    with pytest.raises(UsageError, match="empty in every"):
        table_of(mood=[None, ""])


def test_a_field_of_objects_is_refused_with_its_place(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"poem {i}", "n": {"a": i}}) + "\n" for i in range(9)))
    with pytest.raises(DataError, match=r"a\.jsonl: line \d, field 'n': an object"):
        make_fields(open_corpus([path], fields=("n",)))


def test_values_come_from_the_training_part_alone(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"poem {i}", "n": f"v{i}"}) + "\n" for i in range(60)))
    corpus = open_corpus([path], fields=("n",))
    table = make_fields(corpus)
    assert all(table.ids(document.fields) > [0] for document in corpus.documents("train"))
    assert all(table.ids(document.fields) == [0] for document in corpus.documents("validation"))


GOOD = {"name": "a", "values": ["x"], "edges": []}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"fields": None},
        {"fields": [None]},
        {"fields": [{"name": "a"}]},
        {"fields": [GOOD, GOOD]},
        {"fields": [GOOD | {"name": 7}]},
        {"fields": [GOOD | {"values": [7]}]},
        {"fields": [GOOD | {"values": ["x", "x"]}]},
        {"fields": [GOOD | {"edges": [1, 2]}]},
        {"fields": [GOOD | {"values": [], "edges": [1]}]},
        {"fields": [GOOD | {"values": [], "edges": [2, 1]}]},
        {"fields": [GOOD | {"values": [], "edges": [1, float("nan")]}]},
        {"fields": [GOOD | {"values": []}]},
    ],
)
def test_a_strange_table_is_refused(data) -> None:
    with pytest.raises(RunError):
        FieldTable.from_json(data)
