"""Feed zoo damaged and hostile files: each must load as what it states, or be refused with zoo's own error.

    python scripts/breaking/fuzz.py [--checkpoints 1000000] [--texts 100000] [--seed 1] [--processes 2]
    python scripts/breaking/fuzz.py --seed 1 --only c123        one input again, with its traceback

Inputs are made from the files of a tiny run: half are damaged at random, half are edited where it hurts, and most of
those are given the right digests again, for what lies behind them. Any other exception, a wrong tensor, more than 10
seconds, or more memory than twice the file and 64 MiB is a failure; its bytes are kept as `fuzz-c123.bin`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mutants import DTYPES, bits, damaged, edited, other_tensors, other_words, reheaded, retyped, sealed, settle
from torch import Tensor

import zoo
from zoo.data.loading import encode
from zoo.errors import CheckpointError, ZooError
from zoo.options.run import ResumeOptions
from zoo.plugin.manager import load_plugins
from zoo.runs.plan import RunPlan
from zoo.runs.resuming import plan_resumption
from zoo.storage import checkpoint, loading, losses, state, verify
from zoo.storage.folder import STATE_FILE, WEIGHTS_FILE
from zoo.training.building import build_model, build_optimizer, seeded
from zoo.training.loop import Training, train

PACKAGE = Path(zoo.__file__).resolve().parent
LIMIT_S = 10.0
EXTRA_BYTES = 64 << 20
SETTINGS = {"model.hidden_size": 3, "model.embedding_dim": 2}


class WrongError(AssertionError):
    """Something loaded, and is not what the file states; or took more than it may."""


class HangError(BaseException):
    """An input took too long. No `Exception`, so that nothing on the way takes it for a plugin's."""


class Fuzzer:
    """Makes inputs and checks them, in the current folder. `c5` and `t5` of a seed are always the same two inputs."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.content = b""  # of the input at hand
        self.made: dict[str, dict[str, Tensor]] = {}  # its tensors, by their digest, if it was given one
        self.registry = load_plugins()[0]
        letters = "abeln"
        Path("words.txt").write_text("\n".join(a + b + c for a in letters for b in letters for c in letters))
        with seeded(1):
            zoo.run("mlp-char", dataset="words.txt", device="cpu", steps=4, out="run", plots=False, settings=SETTINGS)
            settle(Path("run"))
            self.loaded = loading.load("run", self.registry)
            self.examples = encode(zoo.TextDataset.from_file("words.txt"), "windows", 3)["train"]
            adam = self._training(torch.optim.Adam)
            train(adam, 4)
            state.save(Path("adam"), adam, self.loaded.config)
        many = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in DTYPES}
        checkpoint.save(Path("many"), {**many, "empty": torch.zeros(0, 2), "scalar": torch.tensor(0.5)}, {"config": {}})
        Path("empty").mkdir()
        self.state = state.load(Path("run", STATE_FILE))
        self.plan = plan_resumption(self.registry, self.state, Path("run"), ResumeOptions(steps=9))[0]
        paths = {"weights": Path("run", WEIGHTS_FILE), "sgd": Path("run", STATE_FILE), "adam": Path("adam")}
        paths["many"] = Path("many")
        self.files = {name: path.read_bytes() for name, path in paths.items()}
        self.stored = {name: checkpoint.load(path) for name, path in paths.items()}
        self.true = {stored.meta["sha256"]: stored.tensors for stored in self.stored.values()}
        self.texts = {name: Path("run", name).read_bytes() for name in ("config.json", "losses.csv", "metrics.json")}
        self.texts["words.txt"] = Path("words.txt").read_bytes()
        for label in (f"{kind}-{number}" for kind in "ct" for number in range(50)):
            with contextlib.suppress(Exception):
                self.check(label)  # to warm up: what is imported and cached once is no input's doing

    def check(self, label: str) -> str:
        """Make and check an input; what became of it. Raises whatever zoo raises beside its own errors."""
        rng = random.Random(f"{self.seed} {label}")  # text, so that near seeds are not alike
        try:
            self._checkpoint(rng) if label[0] == "c" else self._text(rng)
        except ZooError as error:
            str(error)
            return type(error).__name__
        return "loaded"

    def _checkpoint(self, rng: random.Random) -> None:
        base = rng.choices(list(self.files), [5, 2, 2, 1])[0]
        self.content, self.made = self.files[base], {}
        how = rng.random()
        with contextlib.suppress(RecursionError):  # two edits may make it deeper than JSON can be
            if how < 0.5:
                self.content = damaged(rng, self.files[base], self.files[rng.choice(list(self.files))])
            elif how < 0.7:
                self.content = reheaded(rng, self.files[base])
            else:
                self._seal(base, rng)
        path = Path("mutant.safetensors")
        path.write_bytes(self.content)
        checks = {"weights": [self._weights], "many": [self._open]}
        deep = checks.get(base, [self._state, self._resume, self._restore])
        check = rng.choice(deep) if rng.random() < (0.2 if how < 0.7 else 0.9) else self._open
        (self._verify if rng.random() < 0.06 else check)(path, rng)

    def _seal(self, base: str, rng: random.Random) -> None:
        tensors = dict(sorted(self.stored[base].tensors.items()))  # safetensors reads them in any order
        meta = json.loads(json.dumps(self.stored[base].meta))
        for _ in range(rng.choice([1, 1, 2, 3])):
            if rng.random() < 0.35 and tensors:
                tensors = other_tensors(rng, tensors)
            else:
                meta = edited(rng, meta)
        self.content, self.made = sealed(tensors, meta), {checkpoint.digest(tensors): tensors}

    def _open(self, path: Path, rng: random.Random) -> None:
        self._compare(checkpoint.load(path).tensors)

    def _compare(self, tensors: dict[str, Tensor]) -> None:
        """Tensors must be those whose digest the file states, to the last bit."""
        header = json.loads(self.content[8 : 8 + int.from_bytes(self.content[:8], "little")])
        stated = json.loads(header["__metadata__"]["zoo"])["sha256"]
        true = {**self.true, **self.made}.get(stated)
        if true is None or true.keys() != tensors.keys():
            raise WrongError("it loaded with a digest that is not its own")
        for name, tensor in tensors.items():
            same = tensor.dtype == true[name].dtype and tensor.shape == true[name].shape
            if not same or bits(tensor) != bits(true[name]):
                raise WrongError(f"the tensor {name!r} is another than the one whose digest is stated")

    def _weights(self, path: Path, rng: random.Random) -> None:
        loaded = loading.load(path, self.registry)
        self._compare(loaded.model.state_dict())
        if loaded.model.training:
            raise WrongError("the model is not in evaluation mode")
        if rng.random() < 0.2:
            loaded.sample(1)

    def _state(self, path: Path, rng: random.Random) -> state.TrainingState:
        found = state.load(path)
        self._compare(found.tensors)
        if len(found.losses) != found.step:
            raise WrongError("it has other losses than steps")
        return found

    def _resume(self, path: Path, rng: random.Random) -> None:
        options = ResumeOptions(steps=rng.choice([None, 9]), allow_changes=rng.random() < 0.5)
        self._sound(plan_resumption(self.registry, self._state(path, rng), Path("empty"), options)[0])

    def _restore(self, path: Path, rng: random.Random) -> None:
        """A state that is taken must also let training go on: an optimizer looks at its state no earlier."""
        found = self._state(path, rng)
        training = self._training(torch.optim.Adam if "exp_avg" in str(list(found.tensors)) else None)
        found.restore(training)
        weights = training.model.state_dict()
        if any(bits(weights[name]) != bits(tensor) for name, tensor in found.weights.items()):
            raise WrongError("the weights are not those of the state")
        with seeded(1):
            found.restore_global_generators(torch.device("cpu"))
            train(training, found.step + 1)

    def _verify(self, path: Path, rng: random.Random) -> None:
        for finding in verify.verify(path, self.registry):
            if not finding.intact:
                raise CheckpointError(finding.text)

    def _sound(self, plan: RunPlan) -> None:
        numbers = (plan.steps, plan.batch_size, plan.lr, plan.schedule.gamma)
        if not all(0 < number < float("inf") for number in numbers) or plan.model != self.plan.model:
            raise WrongError(f"a plan that cannot be: {plan}")

    def _text(self, rng: random.Random) -> None:
        name = rng.choices(list(self.texts), [4, 1, 1, 4])[0]
        text, how = self.texts[name], rng.random()
        if how < 0.5:
            self.content = damaged(rng, text, self.texts[rng.choice(list(self.texts))])
        elif name == "words.txt":
            self.content = other_words(rng, text.decode())
        elif name == "losses.csv" or how < 0.75:
            self.content = retyped(rng, text.decode()).encode()
        else:
            self.content = json.dumps(edited(rng, json.loads(text))).encode()
        if name == "words.txt":
            self._words(rng)
            return
        path = Path("run", name)
        path.write_bytes(self.content)
        try:
            self._beside(path, rng)
        finally:
            path.write_bytes(text)

    def _beside(self, path: Path, rng: random.Random) -> None:
        """A run folder in which one file is not as it was."""
        if rng.random() < 0.15:
            self._verify(path.parent, rng)
        if path.name == "losses.csv":
            if len(losses.read_losses(path)) > len(self.content.split()):
                raise WrongError("losses were made up")
        elif path.name == "metrics.json":
            plan_resumption(self.registry, self.state, path.parent, ResumeOptions())
        else:
            allow = rng.random() < 0.5
            options = ResumeOptions(steps=9, allow_changes=allow)
            plan, _ = plan_resumption(self.registry, self.state, path.parent, options)
            self._sound(plan)
            if not allow and plan != self.plan:
                raise WrongError("a change was let through")

    def _words(self, rng: random.Random) -> None:
        path = Path("mutant.txt")
        path.write_bytes(self.content)
        data = zoo.TextDataset.from_file(path)
        lines = re.split("\n" if b"\n" in self.content else "\r", self.content.decode("utf-8-sig"))
        if not {line.removeprefix("\ufeff").strip() for line in lines}.issuperset(data.words) or not all(data.words):
            raise WrongError("words were made up")
        windows = rng.random() < 0.5
        for name, part in encode(data, "windows" if windows else "sequences", 3).items():
            words = data.splits[name]
            shape = (sum(map(len, words)) + len(words), 3) if windows else (len(words), data.max_length)
            if part.x.shape != shape or not 0 <= int(part.x.max()) < len(data.vocabulary):
                raise WrongError(f"the {name} split was encoded wrongly")

    def _training(self, optimizer: Callable[..., Any] | None) -> Training:
        """A fresh training of the net, with the run's optimizer or another."""
        model = build_model(self.loaded.entry, {**self.loaded.checked.hyperparameters, **self.loaded.checked.inputs}, 1)
        sgd = self.registry.optimizers.get("sgd")
        new: Any = lambda net: optimizer(net.parameters()) if optimizer else build_optimizer(sgd, net, 0.1, {})  # noqa: E731
        options = (self.examples, 4, 0.1, zoo.Schedule(), torch.Generator().manual_seed(1))
        return Training(model, new(model), *options, new_optimizer=new)


# Many of them


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

    def fail(self, label: str, error: BaseException, content: bytes) -> None:
        """Count a failure under what went wrong and where in zoo."""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if PACKAGE in Path(f.filename).parents]
        where = f" in {Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
        what = f"{type(error).__name__}{where}: {re.sub('[0-9]+', '#', str(error))[:60]}"
        self.outcomes["failed"] += 1
        self.failures.setdefault(what, []).append(label)
        text = "".join(traceback.format_exception(error, limit=-12))
        self.examples.setdefault(what, (label, text, content))


def fuzz(fuzzer: Fuzzer, labels: Iterable[str], report: Callable[[str], None] = lambda label: None) -> Tally:
    """Check inputs one after the other, each within its limits of time and memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory, where it can be, starts from here
    tally, base = Tally(), peak_bytes()
    previous = signal.signal(signal.SIGALRM, _hang)
    for label in labels:
        report(label)
        before, started = peak_bytes(), time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        try:
            try:
                outcome = fuzzer.check(label)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if peak_bytes() > max(before, base + 2 * len(fuzzer.content) + EXTRA_BYTES):
                raise WrongError("it took more memory than it may")
            tally.outcomes[outcome] += 1
        except (Exception, HangError) as error:
            tally.fail(label, error, fuzzer.content)
        tally.slowest = max(tally.slowest, (1000 * (time.perf_counter() - started), label))
    signal.signal(signal.SIGALRM, previous)
    tally.extra_bytes = peak_bytes() - base
    return tally


def _hang(number: int, frame: object) -> None:
    raise HangError(f"more than {LIMIT_S:g} s")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def share_out(seed: int, counts: dict[str, int], parts: int, folder: str) -> Tally:
    """Check all inputs in several processes, watching over each: it may die, or hang where no signal reaches it."""
    context = multiprocessing.get_context("spawn")
    answers: Any = context.SimpleQueue()
    places = [context.Array("c", 32, lock=False) for _ in range(parts)]
    jobs = [(seed, counts, part, parts, folder, answers, places[part]) for part in range(parts)]
    workers = [context.Process(target=_work, args=job, daemon=True) for job in jobs]
    for worker in workers:
        worker.start()
    tally, left, seen = Tally(), set(range(parts)), [(b"", time.monotonic())] * parts
    while left or not answers.empty():
        time.sleep(0.2)
        while not answers.empty():
            tally.add(answers.get())
        for part in list(left):
            label, now = bytes(places[part].value), time.monotonic()
            if label != seen[part][0]:
                seen[part] = (label, now)
            elif now - seen[part][1] > 6 * LIMIT_S:
                workers[part].kill()
            if workers[part].exitcode is not None:
                left.remove(part)
                if workers[part].exitcode:
                    error = WrongError(f"its process died or was killed: exit code {workers[part].exitcode}")
                    tally.fail(label.decode() or "warm-up", error, b"")
    return tally


def _work(seed: int, counts: dict[str, int], part: int, parts: int, folder: str, answers: Any, place: Any) -> None:
    """One process's share: every so manieth input of each kind."""
    torch.set_num_threads(1)
    Path(folder, str(part)).mkdir()
    os.chdir(Path(folder, str(part)))
    labels = (f"{kind}{number}" for kind, count in counts.items() for number in range(part, count, parts))

    def report(label: str) -> None:
        place.value = label.encode()

    answers.put(fuzz(Fuzzer(seed), labels, report))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=1_000_000)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", metavar="INPUT", help="make and check one input, as c123 or t123")
    args = parser.parse_args()
    here, started = Path.cwd(), time.perf_counter()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a new folder is made in it
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        if args.only:
            os.chdir(folder)
            only(Fuzzer(args.seed), args.only, here)
            return
        tally = share_out(args.seed, {"c": args.checkpoints, "t": args.texts}, args.processes, folder)
    print_result(tally, time.perf_counter() - started, args.seed, here)
    sys.exit(1 if tally.failures else 0)


def only(fuzzer: Fuzzer, label: str, here: Path) -> None:
    """Check one input, with nothing caught, and keep its bytes."""
    try:
        print(label, fuzzer.check(label))
    finally:
        os.chdir(here)
        (here / f"fuzz-{label}.bin").write_bytes(fuzzer.content)


def print_result(tally: Tally, seconds: float, seed: int, here: Path) -> None:
    """What became of the inputs, and each failure with how to have it again."""
    for what, labels in tally.failures.items():
        label, text, content = tally.examples[what]
        (here / f"fuzz-{label}.bin").write_bytes(content)
        print(f"{what}\n{text}{len(labels)} inputs, the first: --seed {seed} --only {label}\n")
    count, extra_mib = tally.outcomes.total(), tally.extra_bytes / (1 << 20)
    print(f"{count:,} inputs in {seconds:.0f} s, {count / seconds:,.0f} a second: ", end="")
    print(", ".join(f"{number:,} {what}" for what, number in tally.outcomes.most_common()))
    print(f"slowest {tally.slowest[0]:.0f} ms ({tally.slowest[1]}), at most {extra_mib:.0f} MiB more memory")


if __name__ == "__main__":
    main()
