"""Running text to tokens: every character, whatever the chunks in which a file is read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from zoo.data.corpus import dataset as of_dataset
from zoo.data.corpus import encoding
from zoo.data.corpus.tokens import TokensInFile, TokensInMemory

TEXTS = {
    "lines": "To be, or not.\nTo be.\n\n  That is\n",
    "two bytes": "é" * 7 + "a" + "ü.\n",
    "three bytes": "a€b€€\n語",
    "four bytes": "😀a😀\n.",
    "mixed": "aé€😀\r\nb😀€é\ra\r\n\r\nz",
    "returns": "\r\r\n\ra\r",
    "mark": "\ufeffa\ufeffb",
    "last return": "aé\r",
}


class Words:
    """A tokenizer of whole words and spaces; unknown ones are 0."""

    vocab_size = 4

    def encode(self, text: str) -> list[int]:
        return [{"to": 1, " ": 2, "\n": 3}.get(part, 0) for part in text.replace("\n", " \n ").split(" ") if part]

    def decode(self, ids: list[int]) -> str:
        return "".join(["?", "to", " ", "\n"][i] for i in ids)


def reference(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def tokens_of(dataset: zoo.CorpusDataset) -> list[int]:
    import torch

    rows = dataset.tokens.rows(torch.arange(-1, len(dataset)), 1)
    found: list[int] = rows.flatten().tolist()
    assert found[0] == 0
    return found[1:]


def decoded(dataset: zoo.CorpusDataset) -> str:
    vocabulary = dataset.vocabulary
    assert vocabulary is not None
    return "".join(vocabulary.itos[token] for token in tokens_of(dataset))


@pytest.mark.parametrize("chunk", range(1, 12))
@pytest.mark.parametrize("name", TEXTS)
def test_chunks_cut_characters_and_line_ends_without_harm(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CHUNK", chunk)
    dataset = zoo.CorpusDataset(TEXTS[name], split=(0.4, 0.8))
    assert decoded(dataset) == reference(TEXTS[name])
    assert list(dataset.vocabulary or ()) == ["", *sorted(set(reference(TEXTS[name])))]


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 7, 1 << 20])
@pytest.mark.parametrize(
    ("content", "byte", "value"),
    [
        (b"a\xff\r\nbc", 1, 0xFF),
        (b"ab\xff\rbc", 2, 0xFF),
        (b"abc\xffdef", 3, 0xFF),
        (b"ab\xe2\x82", 2, 0xE2),
        (b"\xef\xbb\xbfab\xc3(", 5, 0xC3),
        (b"a\r\nb\r\n\x80", 6, 0x80),
        ("é\r\n€".encode() + b"\xf0\x9f\r\n", 7, 0xF0),
        ("é€😀".encode() + "ü".encode("latin-1"), 9, 0xFC),
    ],
)
def test_invalid_utf8_names_its_first_byte(
    content: bytes, byte: int, value: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CHUNK", chunk)
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(zoo.DataError) as caught:
        zoo.CorpusDataset(path=path)
    assert str(caught.value) == f"{path}: is not UTF-8 text (byte {byte} is 0x{value:02x}): convert it to UTF-8"


@pytest.mark.parametrize("chunk", [2, 1 << 20])
def test_binary_files_are_refused(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK", chunk)
    with pytest.raises(zoo.DataError, match="byte 5 is 0"):
        list(encoding.pieces(io.BytesIO(b"abcde\0f\0")))


@pytest.mark.parametrize("stored", ["memory", "cache"])
@pytest.mark.parametrize(
    ("characters", "dtype"),
    [
        *[(1, "uint8"), (254, "uint8"), (255, "uint8")],
        *[(256, "uint16"), (65534, "uint16"), (65535, "uint16"), (65536, "uint32")],
    ],
)
def test_tokens_have_the_smallest_type(
    characters: int, dtype: str, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token 0 is one more than the characters."""
    codes = [code for code in range(1, characters + 3000) if not 0xD800 <= code < 0xE000 and chr(code) != "\r"]
    text = "".join(map(chr, codes[:characters])) * (1 if characters > 20 else 20)
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    monkeypatch.setattr(of_dataset, "LARGE", 0 if stored == "cache" else 1 << 30)
    dataset = zoo.CorpusDataset(path=path)
    assert dataset.vocab_size == characters + 1
    assert decoded(dataset) == text
    if stored == "cache":
        assert isinstance(dataset.tokens, TokensInFile)
        assert dataset.tokens.dtype == dtype == encoding.smallest(characters + 1)
        header = dataset.tokens.offset
        assert dataset.tokens.path.stat().st_size == header + (len(text) + 1) * np.dtype(dtype).itemsize
    else:
        assert isinstance(dataset.tokens, TokensInMemory)


@pytest.mark.parametrize("stored", ["memory", "cache"])
def test_ids_of_a_tokenizer_are_shifted_by_one(stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_dataset, "LARGE_FOR_TOKENIZERS", 0 if stored == "cache" else 1 << 30)
    path = tmp_path / "text.txt"
    path.write_text("to be\nto to\n" * 5)
    dataset = zoo.CorpusDataset(path=path, tokenizer=Words())
    assert tokens_of(dataset) == [i + 1 for i in Words().encode(path.read_text())]
    assert dataset.vocabulary is None
    assert dataset.vocab_size == 5
    assert dataset.tokenizer_info == {"name": "Words", "vocab_size": 4}
    assert repr(dataset).endswith("5 tokens>")


@pytest.mark.parametrize("chunk", [1, 3, 17, 1 << 20])
def test_a_tokenizer_gets_whole_lines_however_the_file_is_read(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join("word " * (n % 5) + "é\n" for n in range(60)) + "x" * 70
    monkeypatch.setattr(encoding, "TEXT", 20)
    monkeypatch.setattr(encoding, "LONGEST_TEXT", 50)
    wanted = list(encoding.texts(io.BytesIO(text.encode())))
    monkeypatch.setattr(encoding, "CHUNK", chunk)
    found = list(encoding.texts(io.BytesIO(text.encode())))
    assert found == wanted
    assert "".join(found) == text
    assert all(part.endswith("\n") for part in found if len(part) < 50 and part is not found[-1])
    assert max(map(len, found)) <= 50


@pytest.mark.parametrize("ids", [[4], [-1], [0.5], [True], ["a"], [[1]]])
def test_ids_that_cannot_be_are_refused(ids: Sequence[Any]) -> None:
    class Wrong(Words):
        def encode(self, text: str) -> list[Any]:
            return list(ids)

    with pytest.raises(zoo.PluginError, match=r"tokenizer Wrong made the id .*: ids are from 0 to 3"):
        zoo.CorpusDataset("to be", tokenizer=Wrong())


@pytest.mark.parametrize("size", [None, 0, 2.0, "4"])
def test_what_is_no_tokenizer_is_refused(size: object) -> None:
    class Wrong(Words):
        vocab_size: Any = size

    with pytest.raises(zoo.PluginError, match="vocab_size"):
        zoo.CorpusDataset("to be", tokenizer=Wrong())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, zoo.UsageError, "either text= or path="),
        ({"text": "ab", "path": "x"}, zoo.UsageError, "either text= or path="),
        ({"text": ""}, zoo.DataError, "is empty"),
        ({"text": "\ufeff"}, zoo.DataError, "is empty"),
        ({"text": "abc"}, zoo.DataError, "leave the val split empty"),
        ({"text": b"abc"}, zoo.DataError, "text must be str, not bytes"),
        ({"text": "ab\ud800"}, zoo.DataError, "character 2"),
        ({"text": "ab" * 9, "split": (0.9, 1.1)}, zoo.UsageError, "0.9,1.0 for no test split"),
        ({"text": "ab" * 9, "split": (0.9, 0.9)}, zoo.UsageError, "two increasing fractions"),
        ({"text": "ab" * 9, "evaluate": 0}, zoo.UsageError, "data.evaluate"),
        ({"text": "ab" * 9, "evaluate": 1.5}, zoo.UsageError, "data.evaluate"),
        ({"path": "nowhere.txt"}, zoo.DataError, "cannot read nowhere.txt: No such file"),
        ({"path": "."}, zoo.DataError, "cannot read"),
    ],
)
def test_mistakes_are_one_line(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        zoo.CorpusDataset(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_splits_are_by_position_and_numpy_numbers_will_do() -> None:
    given: dict[str, Any] = {"split": (np.float64(0.9), np.float64(1.0)), "evaluate": np.int64(7)}
    dataset = zoo.CorpusDataset("abcdefghij" * 10, **given)
    assert dataset.splits == {"train": range(90), "val": range(90, 100)}
    assert dataset.evaluated == {"train": 7, "val": 7}
    again = dataset.arranged(split=(0.5, 0.75))
    assert again.splits == {"train": range(50), "val": range(50, 75), "test": range(75, 100)}
    assert again.evaluated is None
    assert dataset.splits.keys() == {"train", "val"}
