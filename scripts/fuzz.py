"""Feed zoo damaged and hostile files: each must load as what it states, or be refused with zoo's own error.

    python scripts/fuzz.py [--checkpoints 1000000] [--texts 100000] [--seed 1] [--processes 2]
    python scripts/fuzz.py --seed 1 --only c123        one input again, with its traceback

Inputs are made from the files of a tiny run: half are damaged at random, half are edited where it hurts, and many of
those are given the right digests again, for what lies behind them. Any other exception, a wrong tensor, more than 10
seconds, or more memory than twice the file and 64 MiB is a failure; its bytes are kept as `fuzz-c123.bin`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo import checkpoint, loading, state, verify
from zoo.building import build_model, build_optimizer, seeded
from zoo.data import encode
from zoo.errors import ZooError
from zoo.files import canonical_json
from zoo.manager import load_plugins
from zoo.resuming import ResumeOptions, plan_resumption
from zoo.run_folder import STATE_FILE, WEIGHTS_FILE, read_losses
from zoo.training import Training, train

LIMIT_S = 10.0
EXTRA_BYTES = 64 << 20
SIZES = {"model.hidden_size": 3, "model.embedding_dim": 2}
DTYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip

NUMBERS = (0, -1, 1, 2, 3, 2**31, 2**63, 2**64, 10**7, 10**12, -(10**12), 10**400, 0.5, 1e308, -0.0, 1e-320, True)
TEXTS = ("", "a", ".", "10000000", "1e999", "nan", "none", "\0", "\ud800", "é" * 300, "../../etc/passwd", "os:system",
         "mlp-char", "zoo-models/names", "sgd", "x" * 10_000, "zoo-models", "words.txt", "F32", "cuda:99")  # fmt: skip
OTHERS = (None, [], {}, [1], [None], [[1, 2], [3]], {"a": 1}, {"tensor": "nowhere"}, {"tensor": 3}, {"tensor": []},
          {"items": [[1]]}, {"items": [[[], 1]]}, {"items": 3}, {"list": 3}, {"tuple": {}}, {"a": 1, "b": 2})  # fmt: skip
BIG = (0, -1, 1, 4, 5, 10**5, 10**6, 10**7, 10**9, 10**12, 10**18, 10**400, "1000000", 3.0, True)
POOLS: dict[str, tuple[Any, ...]] = {
    "dtype": (*DTYPES.values(), "I8", "F8_E4M3", "C64", "F4", "X", "", 1, None),
    "shape": ([], [0], [-1], [2**63], [2**64], [2**32, 2**32], [1.5], ["2"], [[2]], [True], None, [0, 2**62]),
    "data_offsets": ([0, 0], [0], [0, 1, 2], [8, 0], [0, 2**64], [-1, 4], [2**63, 2**63], None, [0, 10**30], "0"),
    "hidden_size": BIG,
    "embedding_dim": BIG,
    "context_length": BIG,
    "vocab_size": BIG,
    "vocabulary": ([], ["."], [".", "a", "a"], [".", "b", "a"], [".", "ab"], [".", "\ud800"], [".", 1], [".", None]),
    "milestones": ([10**400], [-1], [2, 1], [1.5], ["1"], list(range(1, 500)), [True]),
    "params": ([], [99], [0, 0], ["a"]),
}
TOKENS = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "9" * 5000, "-0", "0x1", "'a'", '"\\ud800"', "", " ", "1.0",
          "null", "true", "[" * 2000, "[" * 980 + "]" * 980, '{"a":' * 700 + "1" + "}" * 700, '"\\u0000"')  # fmt: skip
LINES = ("", ".", "a.b", "\0", "\ufeff", "\u2028", "\r", "\x0c", "ab\tcd", "🙂", "\U0010ffff", "é", "e\u0301", "x" * 20_000,
         " ab ", "\x1a", "\xa0", "ab\rcd", "ß", "ſ", "٣")  # fmt: skip
FOREIGN = (b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", b"<!DOCTYPE html><html></html>",
           b"PK\x03\x04" + bytes(60), b"\x80\x02}q\x00.", b"\xff" * 64, bytes(64), b"\x02" + bytes(7) + b"{}")  # fmt: skip


class WrongError(AssertionError):
    """Something loaded, and is not what the file states."""


class HangError(BaseException):
    """An input took too long. No `Exception`, so that nothing on the way takes it for a plugin's."""


# Making inputs


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
        return rng.choice(pool)
    if rng.random() < 0.1:
        value: Any = 1
        for _ in range(rng.choice([5, 100, 300, 450, rng.randrange(900)])):
            value = rng.choice([[value], {"a": value}, {"items": [["a", value]]}])
        return value
    return rng.choice(rng.choice([NUMBERS, TEXTS, OTHERS]))


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
        container[key] = json.loads(json.dumps(other[place])) if other is not container else value
    elif what <= 4 and isinstance(value, int | float):
        container[key] = rng.choice([value + 1, value - 1, -value, value * 2, str(value), float(value)])
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


def file_of(header: str, payload: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + payload


def reheaded(rng: random.Random, content: bytes) -> bytes:
    """A checkpoint with an edited header, and the digests of the one before."""
    end = 8 + int.from_bytes(content[:8], "little")
    text = content[8:end].decode()
    if rng.random() < 0.4:
        return file_of(retyped(rng, text), content[end:])
    header = json.loads(text)
    if rng.random() < 0.3:
        inner = header["__metadata__"]["zoo"]
        again = retyped(rng, inner) if rng.random() < 0.5 else json.dumps(edited(rng, json.loads(inner)))
        header["__metadata__"]["zoo"] = again
    else:
        header = edited(rng, header)
    return file_of(json.dumps(header), content[end:])


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
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, len(payload)],
        }
    return file_of(json.dumps(header), payload)


def bits(tensor: Tensor) -> bytes:
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
        shapes = [flat, tensor.t() if tensor.ndim == 2 else flat[:-1], tensor[None], flat[:0], flat.repeat(2), flat[-1:]]
        changed[name] = rng.choice(shapes).contiguous()
    elif what == 5 and tensor.is_floating_point():
        changed[name] = torch.full_like(tensor, rng.choice([float("nan"), float("inf"), -1e30, 0.0]))
    else:
        noise = bytearray(rng.randbytes(tensor.numel() * tensor.element_size()))
        changed[name] = torch.frombuffer(noise, dtype=tensor.dtype).view(tensor.shape) if noise else tensor
    return changed


# Checking them


@dataclass
class Tally:
    """What became of a share of the inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")  # ms, input
    extra_bytes: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)  # what went wrong: the inputs
    examples: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)  # of each: input, traceback, bytes

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.slowest = max(self.slowest, other.slowest)
        self.extra_bytes = max(self.extra_bytes, other.extra_bytes)
        for what, labels in other.failures.items():
            self.failures.setdefault(what, []).extend(labels)
            self.examples.setdefault(what, other.examples[what])


class Fuzzer:
    """Makes inputs and checks them, in the current folder. Input `c5` or `t5` of a seed is always the same."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.content = b""  # of the input at hand
        self.registry = load_plugins()[0]
        letters = "abeln"
        Path("words.txt").write_text("\n".join(a + b + c for a in letters for b in letters for c in letters))
        with seeded(1):
            zoo.run("mlp-char", dataset="words.txt", device="cpu", steps=4, out="run", plots=False, settings=SIZES)
            self.loaded = loading.load("run", self.registry)
            self.data = zoo.TextDataset.from_file("words.txt")
            self.examples = encode(self.data, "windows", self.loaded.model.context_length)["train"]  # type: ignore[arg-type]
            adam = self.training(torch.optim.Adam)
            train(adam, 4)
            state.save(Path("adam"), adam, self.loaded.config)
        many = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in DTYPES}
        checkpoint.save(Path("many"), {**many, "empty": torch.zeros(0, 2), "scalar": torch.tensor(0.5)}, {"config": {}})
        self.state = state.load(Path("run", STATE_FILE))
        self.plan = plan_resumption(self.registry, self.state, Path("run"), ResumeOptions(steps=9))
        names = {"model": Path("run", WEIGHTS_FILE), "sgd": Path("run", STATE_FILE), "adam": Path("adam"), "many": Path("many")}
        self.files = {name: path.read_bytes() for name, path in names.items()}
        self.stored = {name: checkpoint.load(path) for name, path in names.items()}
        self.sums = {stored.meta["sha256"]: stored.tensors for stored in self.stored.values()}
        self.made: dict[str, dict[str, Tensor]] = {}  # the tensors of the input at hand, by their digest
        self.texts = {name: Path("run", name).read_bytes() for name in ("config.json", "losses.csv", "metrics.json")}
        self.texts["words.txt"] = Path("words.txt").read_bytes()
        Path("empty").mkdir()

    def check(self, label: str) -> str:
        """Make and check an input; what became of it. Raises whatever zoo raises beside its own errors."""
        rng = random.Random(f"{self.seed} {label}")  # text, so that near seeds are not alike
        try:
            return self._checkpoint(rng) if label[0] == "c" else self._text(rng)
        except ZooError as error:
            str(error)
            return type(error).__name__

    def _checkpoint(self, rng: random.Random) -> str:
        base = rng.choices(["model", "sgd", "adam", "many"], [5, 2, 2, 1])[0]
        how = rng.random()
        if how < 0.5:
            self.content, deep = damaged(rng, self.files[base], self.files[rng.choice(list(self.files))]), 0.2
        elif how < 0.7:
            self.content, deep = reheaded(rng, self.files[base]), 0.3
        else:
            tensors, meta = self.stored[base].tensors, json.loads(json.dumps(self.stored[base].meta))
            for _ in range(rng.choice([1, 1, 2, 3])):
                if rng.random() < 0.35 and tensors:
                    tensors = other_tensors(rng, tensors)
                else:
                    meta = edited(rng, meta)
            self.made = {checkpoint.digest(tensors): tensors}
            self.content, deep = sealed(tensors, meta), 0.9
        path = Path("mutant.safetensors")
        path.write_bytes(self.content)
        checks = {"model": [self._model], "many": [self._open]}.get(base, [self._state, self._resume, self._restore])
        check = rng.choice(checks) if rng.random() < deep else self._open
        if rng.random() < 0.03:
            check = self._verify
        check(path, rng)
        return "loaded"

    def _open(self, path: Path, rng: random.Random) -> None:
        self._compare(checkpoint.load(path).tensors, path)

    def _compare(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Tensors must be those whose digest the file states, to the last bit."""
        meta = json.loads(json.loads(self.content[8 : 8 + int.from_bytes(self.content[:8], "little")])["__metadata__"]["zoo"])
        true = self.made.get(meta["sha256"]) or self.sums.get(meta["sha256"])
        if true is None or true.keys() != tensors.keys():
            raise WrongError("it loaded with a digest that is not its own")
        for name, tensor in tensors.items():
            same = tensor.dtype == true[name].dtype and tensor.shape == true[name].shape
            if not same or bits(tensor) != bits(true[name]):
                raise WrongError(f"the tensor {name!r} is another than the one whose digest is stated")

    def _model(self, path: Path, rng: random.Random) -> None:
        loaded = loading.load(path, self.registry)
        self._compare(loaded.model.state_dict(), path)
        if loaded.model.training or loaded.checked.vocabulary is None:
            raise WrongError("it loaded, but not as a model of text for use")
        if rng.random() < 0.2:
            loaded.sample(1)

    def _state(self, path: Path, rng: random.Random) -> state.TrainingState:
        found = state.load(path)
        self._compare(found.tensors, path)
        if len(found.losses) != found.step:
            raise WrongError("it has other losses than steps")
        return found

    def _resume(self, path: Path, rng: random.Random) -> None:
        options = ResumeOptions(steps=rng.choice([None, 9]), allow_changes=rng.random() < 0.5)
        self._sound(plan_resumption(self.registry, self._state(path, rng), Path("empty"), options))

    def _restore(self, path: Path, rng: random.Random) -> None:
        found = self._state(path, rng)
        training = self.training(torch.optim.Adam if "exp_avg" in str(found.tensors.keys()) else None)
        found.restore(training)
        if {name: bits(t) for name, t in training.model.state_dict().items()} != {
            name: bits(t) for name, t in found.weights.items()
        }:
            raise WrongError("the weights are not those of the state")
        with seeded(1):
            found.restore_global_generators(torch.device("cpu"))
            train(training, found.step + 1)

    def _verify(self, path: Path, rng: random.Random) -> None:
        if not all(finding.whole for finding in verify.verify(path, self.registry)):
            raise ZooError

    def _sound(self, plan: Any) -> None:
        numbers = (plan.steps, plan.batch_size, plan.lr, plan.schedule.gamma)
        if not all(0 < number < float("inf") for number in numbers) or plan.model != self.plan.model:
            raise WrongError(f"a plan that cannot be: {plan}")

    def _text(self, rng: random.Random) -> str:
        name = rng.choices(list(self.texts), [4, 1, 1, 4])[0]
        text, how = self.texts[name], rng.random()
        if how < 0.5:
            self.content = damaged(rng, text, self.texts[rng.choice(list(self.texts))])
        elif name == "words.txt":
            lines = text.decode().split("\n")[: rng.choice([0, 1, 5, 6, 7, 10, 125])]
            for _ in range(rng.choice([1, 1, 3])):
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
            joined = rng.choice(["\n", "\n", "\r\n", "\r", " "]).join(lines)
            self.content = joined.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]))
        elif name == "losses.csv" or how < 0.75:
            self.content = retyped(rng, text.decode()).encode()
        else:
            self.content = json.dumps(edited(rng, json.loads(text))).encode()
        if name == "words.txt":
            Path("mutant.txt").write_bytes(self.content)
            self._words(zoo.TextDataset.from_file("mutant.txt"), rng)
            return "loaded"
        path = Path("run", name)
        path.write_bytes(self.content)
        try:
            self._beside(path, rng)
        finally:
            path.write_bytes(text)
        return "loaded"

    def _beside(self, path: Path, rng: random.Random) -> None:
        """A run folder in which one file is not as it was."""
        if rng.random() < 0.15:
            self._verify(path.parent, rng)
        if path.name == "losses.csv":
            losses = read_losses(path)
            if [line.split(",")[0] for line in self.content.decode().split()[1:]] != [str(i) for i in range(len(losses))]:
                raise WrongError("its steps were read wrongly")
        elif path.name == "metrics.json":
            plan_resumption(self.registry, self.state, path.parent, ResumeOptions())
        else:
            allow = rng.random() < 0.5
            plan = plan_resumption(self.registry, self.state, path.parent, ResumeOptions(steps=9, allow_changes=allow))
            self._sound(plan)
            if not allow and plan != self.plan:
                raise WrongError("a change was let through")

    def _words(self, data: zoo.TextDataset, rng: random.Random) -> None:
        lines = {line.strip() for line in self.content.decode("utf-8-sig").split("\n")}
        if not lines.issuperset(data.words) or not all(data.words):
            raise WrongError("words were made up")
        reads: Any = rng.choice(["windows", "sequences"])
        for name, part in encode(data, reads, 3).items():
            words = data.splits[name]
            rows, columns = (sum(map(len, words)) + len(words), 3) if reads == "windows" else (len(words), data.max_length)
            if tuple(part.x.shape) != (rows, columns) or not 0 <= int(part.x.max()) < len(data.vocabulary):
                raise WrongError(f"the {name} split was encoded wrongly")

    def training(self, optimizer: Callable[..., Any] | None) -> Training:
        """A fresh training of the net, by the optimizer of the run or another."""
        model = build_model(self.loaded.entry, {**self.loaded.checked.hyperparameters, **self.loaded.checked.inputs}, 1)
        own = self.registry.optimizers.get("sgd")
        made = optimizer(model.parameters()) if optimizer else build_optimizer(own, model, 0.1, {})
        return Training(model, made, self.examples, 4, 0.1, zoo.Schedule(), torch.Generator().manual_seed(1))


# Many of them


def hang(number: int, frame: object) -> None:
    raise HangError(f"more than {LIMIT_S:g} s")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fuzz(fuzzer: Fuzzer, labels: Iterable[str], report: Callable[[str], None] = lambda label: None) -> Tally:
    """Check inputs one after the other, each within its limits of time and memory."""
    for label in (f"{kind}{-number}" for kind in "ct" for number in range(1, 31)):
        with contextlib.suppress(Exception):
            fuzzer.check(label)  # what is imported and cached once is no input's doing
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory, where it can be, starts from here
    tally, base = Tally(), peak_bytes()
    previous = signal.signal(signal.SIGALRM, hang)
    try:
        for label in labels:
            report(label)
            peak, started = peak_bytes(), time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
            try:
                tally.outcomes[fuzzer.check(label)] += 1
                extra = peak_bytes() - base
                if extra > 2 * len(fuzzer.content) + EXTRA_BYTES and peak_bytes() > peak:
                    raise WrongError("it took more memory than it may")
            except (Exception, HangError) as error:
                note_failure(tally, label, error, fuzzer.content)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            tally.slowest = max(tally.slowest, (1000 * (time.perf_counter() - started), label))
        tally.extra_bytes = peak_bytes() - base
    finally:
        signal.signal(signal.SIGALRM, previous)
    return tally


def note_failure(tally: Tally, label: str, error: BaseException, content: bytes) -> None:
    """Count a failure under what went wrong and where in zoo, and keep the first of each as an example."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}zoo{os.sep}" in f.filename]
    where = f" in {Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
    what = f"{type(error).__name__}{where}: {re.sub('[0-9]+', '#', str(error))[:60]}"
    tally.outcomes["failed"] += 1
    tally.failures.setdefault(what, []).append(label)
    text = "".join(traceback.format_exception(error, limit=-12))
    tally.examples.setdefault(what, (label, text, content))


def labels_of(counts: dict[str, int], part: int, parts: int) -> Iterable[str]:
    """Every so manieth input of each kind."""
    return (f"{kind}{number}" for kind, count in counts.items() for number in range(part, count, parts))


def work(seed: int, counts: dict[str, int], part: int, parts: int, folder: str, answers: Any, at: Any) -> None:
    """One process's share."""
    torch.set_num_threads(1)
    Path(folder, str(part)).mkdir()
    os.chdir(Path(folder, str(part)))

    def report(label: str) -> None:
        at.value = label.encode()

    answers.put(fuzz(Fuzzer(seed), labels_of(counts, part, parts), report))


def share_out(seed: int, counts: dict[str, int], parts: int, folder: str) -> Tally:
    """Check all inputs in several processes, watching over each: it may die, or hang where no signal reaches it."""
    context = multiprocessing.get_context("spawn")
    answers: Any = context.SimpleQueue()
    places = [context.Array("c", 32, lock=False) for _ in range(parts)]
    workers = [
        context.Process(target=work, args=(seed, counts, part, parts, folder, answers, places[part]), daemon=True)
        for part in range(parts)
    ]
    for worker in workers:
        worker.start()
    tally, left, seen = Tally(), set(range(parts)), [(b"", time.monotonic())] * parts
    while left:
        time.sleep(0.2)
        while not answers.empty():
            tally.add(answers.get())
        for part in list(left):
            label, since = bytes(places[part].value), time.monotonic()
            if label != seen[part][0]:
                seen[part] = (label, since)
            elif since - seen[part][1] > 6 * LIMIT_S:
                workers[part].kill()
            if workers[part].exitcode is not None:
                left.remove(part)
                if workers[part].exitcode:
                    error = WrongError(f"the process died or had to be killed: {workers[part].exitcode}")
                    note_failure(tally, label.decode() or "warm-up", error, b"")
    while not answers.empty():
        tally.add(answers.get())
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=1_000_000)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", metavar="INPUT", help="make and check one input, as c123 or t123")
    args = parser.parse_args()
    here, started = Path.cwd(), time.perf_counter()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        if args.only:
            os.chdir(folder)
            fuzzer = Fuzzer(args.seed)
            try:
                print(args.only, fuzzer.check(args.only))
            finally:
                (here / f"fuzz-{args.only}.bin").write_bytes(fuzzer.content)
                os.chdir(here)
            return
        tally = share_out(args.seed, {"c": args.checkpoints, "t": args.texts}, args.processes, folder)
    seconds = time.perf_counter() - started
    print_result(tally, seconds, args.seed, here)
    sys.exit(1 if tally.failures else 0)


def print_result(tally: Tally, seconds: float, seed: int, here: Path) -> None:
    """What became of the inputs, and each failure with how to have it again."""
    for what, labels in tally.failures.items():
        label, text, content = tally.examples[what]
        (here / f"fuzz-{label}.bin").write_bytes(content)
        print(f"{what}\n{text}{len(labels)} inputs, the first: --seed {seed} --only {label}\n")
    count = tally.outcomes.total()
    print(f"{count:,} inputs in {seconds:.0f} s, {count / seconds:,.0f} a second: ", end="")
    print(", ".join(f"{number:,} {what}" for what, number in tally.outcomes.most_common()))
    print(f"slowest {tally.slowest[0]:.0f} ms ({tally.slowest[1]}), {tally.extra_bytes / (1 << 20):.0f} MiB more at most")


if __name__ == "__main__":
    main()
