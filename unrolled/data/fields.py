"""Fields of records as ids that condition a model: author, year, mood. Id 0 is always "unspecified".

A field has one id per value. A field of numbers with more than 32 different values has at most 16 bins that hold about
equally many records. Of a list, such as tags, the first item counts. Null, "" and [] are unspecified.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.data.corpus import PartName

MOST_VALUES = 4096  # different values of a field that is not made of numbers
MOST_NUMBERS = 32  # different numbers that are still values each
BINS = 16


@dataclass(frozen=True)
class Field:
    """One field: `values` in order of id from 1, or the `edges` between and at both ends of bins of numbers."""

    name: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of ids, with 0."""
        return 1 + (len(self.edges) - 1 if self.edges else len(self.values))

    def labels(self) -> tuple[str, ...]:
        """A name for each id from 1."""
        if not self.edges:
            return self.values
        return tuple(f"{low:g} to {high:g}" for low, high in pairwise(self.edges))

    def find(self, label: str) -> int:
        """The id of a label, 0 if there is none."""
        if self.edges:
            number = as_number(label)
            return 0 if number is None else 1 + int(np.searchsorted(self.edges[1:-1], number, side="right"))
        return self.values.index(label) + 1 if label in self.values else 0


@dataclass(frozen=True)
class FieldTable:
    """The fields chosen for conditioning and the ids of their values."""

    fields: tuple[Field, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The chosen fields."""
        return tuple(field.name for field in self.fields)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of ids of each field, with 0 for unspecified: the height of an embedding table."""
        return tuple(field.size for field in self.fields)

    def ids(self, fields: dict[str, Any]) -> list[int]:
        """One id per chosen field of a record; a value that is not known is unspecified."""
        return [field.find(label_of(fields.get(field.name))) for field in self.fields]

    def resolve(self, where: Mapping[str, str] | str) -> list[int]:
        """Ids for {"author": "Dickinson"}, or for one condition "author=Dickinson"; 0 for fields that are not named.

        A value may be shortened to any part that only one value has; capitals do not matter.
        Raises: UsageError for an unknown field or value, with those that are known.
        """
        if isinstance(where, str):
            name, equals, value = where.partition("=")
            if not equals:
                raise UsageError(f"condition {where!r} is not of the form FIELD=VALUE: write author=Dickinson")
            where = {name: value}
        ids = [0] * len(self.fields)
        for name, value in where.items():
            if name not in self.names:
                known = ", ".join(self.names) or "none, it was trained without fields"
                raise UsageError(f"field {name!r} is not known to this model: its fields are {known}")
            index = self.names.index(name)
            ids[index] = resolve_value(self.fields[index], value)
        return ids

    def describe(self, ids: Sequence[int]) -> dict[str, str]:
        """The labels of the ids that are not 0."""
        return {
            field.name: field.labels()[number - 1]
            for field, number in zip(self.fields, ids, strict=True)
            if 0 < number < field.size
        }

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return {"fields": [{"name": f.name, "values": list(f.values), "edges": list(f.edges)} for f in self.fields]}

    @staticmethod
    def from_json(data: Any) -> "FieldTable":
        """The inverse of to_json; the data may come from a stranger.

        Raises: RunError if it is anything else.
        """
        entries = data.get("fields", []) if isinstance(data, dict) else None
        if not isinstance(entries, list) or not all(is_field(entry) for entry in entries):
            raise RunError("the field table must list fields with a name and values or edges: take its run again")
        fields = [Field(entry["name"], tuple(entry["values"]), tuple(map(float, entry["edges"]))) for entry in entries]
        if len({field.name for field in fields}) < len(fields):
            raise RunError("the field table names a field twice: take its run again")
        return FieldTable(tuple(fields))


@runtime_checkable
class Described(Protocol):
    """Data with fields: documents of text or tracks of sound, each with a mapping `fields` and a `source`."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields chosen for conditioning."""
        ...

    def documents(self, part: PartName | None = None) -> Iterable[Any]:
        """The documents of one part, or of all."""
        ...


def make_fields(corpus: Described) -> FieldTable:
    """The table of the corpus's chosen fields, with the values of its training part."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in corpus.fields}
    for document in corpus.documents("train") if counts else ():
        for name, counter in counts.items():
            try:
                counter[label_of(document.fields.get(name))] += 1
            except DataError as error:
                raise DataError(f"{document.source}: line {document.number}, field {name!r}: {error}") from None
    return FieldTable(tuple(make_field(name, counter) for name, counter in counts.items()))


def make_field(name: str, counts: Counter[str]) -> Field:
    """Values, or bins of numbers, for one field."""
    del counts[""]
    numbers = {label: as_number(label) for label in counts}
    if counts and None not in numbers.values():
        if len(counts) > MOST_NUMBERS:
            return Field(name, edges=quantile_edges((numbers[label], count) for label, count in counts.items()))
        return Field(name, tuple(sorted(counts, key=lambda label: numbers[label] or 0.0)))
    if len(counts) > MOST_VALUES:
        raise UsageError(
            f"field {name!r} has {len(counts)} different values, at most {MOST_VALUES} can condition a model: "
            f"choose a field whose values repeat"
        )
    if not counts:
        raise UsageError(f"field {name!r} is empty in every training record: leave it out")
    return Field(name, tuple(sorted(counts)))


def quantile_edges(counted: Iterable[tuple[float | None, int]]) -> tuple[float, ...]:
    """The ends of at most 16 bins with about equally many records, the outermost at the extremes."""
    values, counts = zip(*sorted((value or 0.0, count) for value, count in counted), strict=True)
    reached = np.cumsum(counts)
    wanted = np.arange(1, BINS) * reached[-1] / BINS
    inner = {values[index] for index in np.searchsorted(reached, wanted)} - {values[0], values[-1]}
    return (float(values[0]), *sorted(map(float, inner)), float(values[-1]))


def label_of(value: Any) -> str:
    """A value as text: whole numbers without a point, "" for what is unspecified, the first item of a list."""
    while isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        raise DataError(f"an object ({str(value)[:40]}) cannot condition a model: choose a field of texts or numbers")
    return str(value)


def as_number(label: str) -> float | None:
    """The finite number that a label writes, None if it writes none."""
    try:
        number = float(label)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def resolve_value(field: Field, value: str) -> int:
    """The id of a value as a user writes it."""
    exact = field.find(value) or field.find(label_of(as_number(value)))
    if exact:
        return exact
    labels = [label.casefold() for label in field.labels()]
    same = [number for number, label in enumerate(labels, 1) if label == value.casefold()]
    near = same or [number for number, label in enumerate(labels, 1) if value and value.casefold() in label]
    if len(near) == 1:
        return near[0]
    shown = [field.labels()[number - 1] for number in near] or field.labels()
    what = f"fits {len(near)} values" if near else "is not known"
    listed = ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
    raise UsageError(f"{field.name}={value!r} {what}: choose one of {listed}")


def is_field(entry: Any) -> bool:
    """Whether JSON describes a field."""
    if not isinstance(entry, dict) or not {"name", "values", "edges"} <= entry.keys():
        return False
    name, values, edges = entry["name"], entry["values"], entry["edges"]
    if not isinstance(name, str) or not isinstance(values, list) or not isinstance(edges, list):
        return False
    numeric = all(isinstance(edge, (int, float)) and math.isfinite(edge) for edge in edges)
    texts = all(isinstance(value, str) for value in values) and len(set(values)) == len(values)
    return texts and numeric and sorted(edges) == edges and len(edges) != 1 and bool(values) != bool(edges)
