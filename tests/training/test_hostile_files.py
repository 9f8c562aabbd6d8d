"""Files from strangers load or raise RunError: they never crash, hang or run code."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.core.errors import RunError
from unrolled.training.checkpoints import pack_tensors, read_tensors, unpack_tensors


def hostile_tensors() -> list[bytes]:
    """Safetensors files with absurd headers."""

    def file(header: Any, data: bytes = b"", size: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if size is None else size) + text + data

    def one(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> bytes:
        return file({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, b"\0" * 4)

    huge = 2**63
    four, fact = b"\0" * 4, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    sizes = [b"", b"\0" * 7, b"\0" * 8, file(b"", size=huge), file(b"{}", size=2**64 - 1), file(b"{}", size=2**33)]
    headers = [b"[]", b"{" * 100_000, b'{"a":' * 50_000, b'{"x":\xff}', b" " * 9_000_000 + b"{}", {"x": 1}, {"x": None}]
    shapes = [[huge, 2], [0, huge, huge], [-1], [2], "1", [1.5], [True]]
    offsets = [[0, 5], [4, 0], [0, huge], [0], [-4, 0], None]
    return [
        *sizes,
        *(file(header, four) for header in headers),
        *(one(shape=shape) for shape in shapes),
        *(one(offsets=pair) for pair in offsets),
        *(one(dtype=dtype) for dtype in ("F99", "", 4, None)),
        file({"__metadata__": {"a": 1}}),
        file({"x": fact, "y": {**fact, "data_offsets": [2, 6]}}, b"\0" * 6),  # overlap
        file({"x": fact, "y": {**fact, "data_offsets": [8, 12]}}, b"\0" * 12),  # hole
    ]


@pytest.mark.parametrize("number", range(len(hostile_tensors())))
def test_hostile_tensors_are_refused(number: int, tmp_path: Path) -> None:
    content = hostile_tensors()[number]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_collected_hostile_files_are_refused(shared_data: Path) -> None:
    files = sorted((shared_data / "platform" / "hostile_examples" / "safetensors").glob("*.safetensors"))
    assert files
    for path in files:
        with pytest.raises(RunError):
            read_tensors(path)


def test_mutated_tensors_load_or_are_refused() -> None:
    good = pack_tensors({"weight": torch.ones(3, 4), "none": torch.zeros(0, 2), "step": torch.tensor(7)})
    generator = torch.Generator().manual_seed(0)
    for _ in range(3000):
        changed = bytearray(good)
        for _ in range(int(torch.randint(1, 4, (), generator=generator))):
            place = int(torch.randint(len(changed) * 2 // 3, (), generator=generator))
            changed[place] = int(torch.randint(256, (), generator=generator))
        cut = int(torch.randint(len(good) * 8, (), generator=generator))
        try:
            unpack_tensors(bytes(changed[:cut] if cut else changed), "it")
        except RunError:
            continue


def test_a_missing_folder_or_a_folder_for_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(RunError, match="missing"):
            read_tensors(path)
