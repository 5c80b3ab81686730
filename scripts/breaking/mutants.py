"""Untrusted input, made from good files: for `fuzz.py`.

Everything is sampled from the `random.Random` that is passed, so the same one makes the same file.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import random
import re
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.files import canonical_json
from zoo.storage import checkpoint, config
from zoo.storage.folder import STATE_FILE

DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

# fmt: off
NUMBERS = (0, -1, 1, 2, 3, 2**31, 2**63, 2**64, 10**7, 10**12, -(10**12), 10**400, 0.5, 1e308, -0.0, 1e-320, True)
TEXTS = (
    "", "a", ".", "10000000", "1e999", "nan", "none", "\0", "\ud800", "é" * 300, "../../etc/passwd", "os:system",
    "mlp-char", "zoo-models/names", "sgd", "x" * 10_000, "zoo-models", "words.txt", "F32", "cuda:99",
)
OTHERS: tuple[Any, ...] = (
    None, [], {}, [1], [None], [[1, 2], [3]], {"a": 1}, {"tensor": "nowhere"}, {"tensor": 3}, {"tensor": []},
    {"items": [[1]]}, {"items": [[[], 1]]}, {"items": 3}, {"list": 3}, {"tuple": {}}, {"a": 1, "b": 2},
)
SIZES = (0, -1, 1, 4, 5, 10**5, 10**6, 10**7, 10**9, 10**12, 10**18, 10**400, "1000000", 3.0, True)
POOLS: dict[str, tuple[Any, ...]] = {  # what hurts under certain keys
    "dtype": (*DTYPES.values(), "I8", "F8_E4M3", "C64", "F4", "X", "", 1, None),
    "shape": ([], [0], [-1], [2**63], [2**64], [2**32, 2**32], [1.5], ["2"], [[2]], [True], None, [0, 2**62]),
    "data_offsets": ([0, 0], [0], [0, 1, 2], [8, 0], [0, 2**64], [-1, 4], [2**63, 2**63], None, [0, 10**30], "0"),
    "hidden_size": SIZES,
    "embedding_dim": SIZES,
    "context_length": SIZES,
    "vocab_size": SIZES,
    "vocabulary": ([], ["."], [".", "a", "a"], [".", "b", "a"], [".", "ab"], [".", "\ud800"], [".", 1], [".", None]),
    "milestones": ([10**400], [-1], [2, 1], [1.5], ["1"], list(range(1, 500)), [True]),
    "params": ([], [99], [0, 0], ["a"]),
}
TOKENS = (  # of JSON texts
    "NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "9" * 5000, "-0", "0x1", "'a'", '"\\ud800"', "", " ", "1.0",
    "null", "true", "[" * 2000, "[" * 980 + "]" * 980, '{"a":' * 700 + "1" + "}" * 700, '"\\u0000"',
)
LINES = (  # of files of words
    "", ".", "a.b", "\0", "\ufeff", "\u2028", "\r", "\x0c", "ab\tcd", "🙂", "\U0010ffff", "é", "e\u0301", "x" * 20_000,
    " ab ", "\x1a", "\xa0", "ab\rcd", "ß", "ſ", "٣",
)
FOREIGN = (
    b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", b"<!DOCTYPE html><html></html>",
    b"PK\x03\x04" + bytes(60), b"\x80\x02}q\x00.", b"\xff" * 64, bytes(64), b"\x02" + bytes(7) + b"{}",
)
# fmt: on


def damaged(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Random damage, as often to the first bytes of a file as to all of it."""
    data = bytearray(content)
    end = max(1, min(len(data), rng.choice([8, 200, 2000, len(data)])))
    at = rng.randrange(end)
    length = min(rng.choice([1, 1, 2, 7, 64, 1000]), len(data) - at)
    what = rng.randrange(9)
    if what <= 1:
        for place in rng.sample(range(end), min(end, rng.choice([1, 1, 1, 2, 8]))):
            data[place] ^= 1 << rng.randrange(8)
    elif what == 2:
        del data[rng.randrange(len(data) + 1) :]
    elif what == 3:
        data[at:at] = rng.randbytes(length)
    elif what == 4:
        del data[at : at + length]
    elif what == 5:
        data[at:] = other[rng.randrange(len(other)) :]  # a splice
    elif what == 6:
        data[at : at + length] = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    elif what == 7:
        data[:8] = struct.pack("<Q", rng.choice([0, 1, 2, len(data) - 8, len(data), 10**8 + 1, 2**63, 2**64 - 1]))
    else:
        data = bytearray(rng.choice([*FOREIGN, rng.randbytes(64), bytes(data) * 2, bytes(data) + b"\0"]))
    return bytes(data)


def odd(rng: random.Random, key: object) -> Any:
    """A value that a file should not have, picked for its key where there are such."""
    pool = POOLS.get(str(key))
    if pool and rng.random() < 0.8:
        return copy.deepcopy(rng.choice(pool))  # what it becomes a part of may be edited once more
    return nested(rng) if rng.random() < 0.1 else copy.deepcopy(rng.choice(rng.choice([NUMBERS, TEXTS, OTHERS])))


def nested(rng: random.Random) -> Any:
    """A value as deep as JSON may just be, or as those who walk over it may just go."""
    value: Any = 1
    depth = rng.choice([5, 30, 60, 100, 300, 450, rng.randrange(900)])
    while depth > 0:
        shape = rng.randrange(3)
        value = [[value], {"a": value}, {"items": [["a", value]]}][shape]
        depth -= 3 if shape == 2 else 1
    return value


def edited(rng: random.Random, tree: Any) -> Any:
    """A JSON value with one thing in it changed, gone, or added; the value itself is changed."""
    places, todo = [], [tree]
    while todo:
        container = todo.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        places += [(container, key) for key in keys]
        todo += [container[key] for key in keys if isinstance(container[key], dict | list)]
    if not places:
        return odd(rng, None)
    container, key = rng.choice(places)
    value, what = container[key], rng.randrange(10)
    if what == 0:
        del container[key]
    elif what == 1 and isinstance(container, dict):
        container[rng.choice([*TEXTS, "items", "__metadata__", "zoo", "factory", key])] = odd(rng, key)
    elif what == 1:
        container.insert(key, odd(rng, key))
    elif what == 2:
        other, place = rng.choice(places)
        container[key] = json.loads(json.dumps(other[place]))
    elif what <= 4 and isinstance(value, int | float):
        container[key] = rng.choice([value + 1, value - 1, -value, value * 2, str(value), [value]])
    elif what <= 4 and isinstance(value, list) and value:
        container[key] = rng.choice([value[::-1], value * 2, value[:-1], [1, *value], [value]])
    else:
        container[key] = odd(rng, key)
    return tree


def retyped(rng: random.Random, text: str) -> str:
    """JSON text with a token exchanged, or a key given twice: what no JSON value could be printed as."""
    form = r'"[^"\\]*"\s*:\s*[^,{}\[\]]+' if rng.random() < 0.3 else r'-?\d[\d.]*|"[^"\\]*"|true|false|null'
    matches = list(re.finditer(form, text))
    if not matches:
        return text + rng.choice(TOKENS)
    match = rng.choice(matches)
    twice = f"{match[0]},{match[0]}" if rng.random() < 0.7 else match[0] * 2
    return text[: match.start()] + (twice if ":" in match[0] else rng.choice(TOKENS)) + text[match.end() :]


def reheaded(rng: random.Random, content: bytes) -> bytes:
    """A checkpoint with an edited header, and the digests of the one before."""
    end = 8 + int.from_bytes(content[:8], "little")
    text = content[8:end].decode()
    if rng.random() < 0.4:
        return _file(retyped(rng, text), content[end:])
    header = json.loads(text)
    if rng.random() < 0.3:
        inner = header["__metadata__"]["zoo"]
        again = retyped(rng, inner) if rng.random() < 0.5 else json.dumps(edited(rng, json.loads(inner)))
        header["__metadata__"]["zoo"] = again
    else:
        header = edited(rng, header)
    return _file(json.dumps(header), content[end:])


def sealed(tensors: dict[str, Tensor], meta: Any) -> bytes:
    """A checkpoint with the right digests, whatever it holds: somebody who means harm can make any of these."""
    record = {"format": 1, **meta, "sha256": checkpoint.digest(tensors)} if isinstance(meta, dict) else meta
    with contextlib.suppress(ValueError, TypeError, AttributeError):  # it has values that have no digest
        rest = {key: value for key, value in record.items() if key != "meta_sha256"}
        text = canonical_json(rest).encode("utf-8", "surrogatepass")
        record["meta_sha256"] = hashlib.sha256(text).hexdigest()
    header: dict[str, Any] = {"__metadata__": {"zoo": json.dumps(record)}}
    payload = b""
    for name, tensor in tensors.items():
        start, payload = len(payload), payload + bits(tensor)
        place = {"shape": list(tensor.shape), "data_offsets": [start, len(payload)]}
        header[name] = {"dtype": DTYPES[tensor.dtype], **place}
    return _file(json.dumps(header), payload)


def bits(tensor: Tensor) -> bytes:
    """The values of a tensor, so that NaN equals itself and -0 does not equal 0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def other_tensors(rng: random.Random, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with one that is changed, gone, added, or called something else."""
    changed = dict(tensors)
    name = rng.choice(list(changed))
    tensor, what = changed[name], rng.randrange(7)
    if what == 0:
        del changed[name]
    elif what == 1:
        changed[rng.choice([*TEXTS[:4], "C", "W1", "losses", "generator", "model.", "x" * 5000])] = tensor
    elif what == 2:
        changed[name] = changed[rng.choice(list(changed))]
    elif what == 3:
        changed[name] = tensor.to(rng.choice(list(DTYPES)))
    elif what == 4:
        flat = tensor.reshape(-1)
        turned = tensor.t() if tensor.ndim == 2 else flat[:-1]
        changed[name] = rng.choice([flat, turned, tensor[None], flat[:0], flat.repeat(2), flat[-1:]]).contiguous()
    elif what == 5 and tensor.is_floating_point():
        changed[name] = torch.full_like(tensor, rng.choice([float("nan"), float("inf"), -1e4, 0.0]))
    else:
        noise = bytearray(rng.randbytes(tensor.numel() * tensor.element_size()))
        changed[name] = torch.frombuffer(noise, dtype=tensor.dtype).view(tensor.shape) if noise else tensor
    return changed


def other_words(rng: random.Random, text: str) -> bytes:
    """A file of words with lines, line ends or an encoding that are not what a learner's file has."""
    lines = text.split("\n")[: rng.choice([0, 1, 5, 6, 7, 10, 125])]
    for _ in range(rng.choice([1, 1, 3])):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
    joined = rng.choice(["\n", "\n", "\r\n", "\r", " "]).join(lines)
    return joined.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]))


def _file(header: str, payload: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + payload


def settle(run: Path) -> None:
    """Leave out of a run folder what is not the same each time: how long it took, and where its data was."""
    metrics = run / "metrics.json"
    metrics.write_text(json.dumps(config.sealed(json.loads(metrics.read_text()) | {"seconds": {"total": 0.5}})))
    stored = checkpoint.load(run / STATE_FILE)
    meta = {key: value for key, value in stored.meta.items() if key != "data"}
    (run / STATE_FILE).write_bytes(sealed(dict(sorted(stored.tensors.items())), meta))
