"""What is measured of one machine, for what `hundred_machines.py` works out.

    python measuring.py steps NET TEXT | all_reduce RANK STORE ROUNDS | coordinator FOLDER | ...  # one figure

Each figure has a process of its own. Most are processor time of one thread, and each is the smallest of its rounds,
because other programs may use the machine. What waits, for another rank or the disk, is timed by the clock, in many
short rounds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarking"))

from processes import as_installed, spent
from texts import MEGABYTE, make_text

BUNDLED = Path(__file__).resolve().parents[2] / "plugins" / "zoo_lecture" / "data" / "names-ssa-2018.txt"
NETS = {  # what `zoo run` is told, and the sizes of a batch that are measured
    "mlp-char": (("mlp-char", None), (1, 4, 16, 32, 64, 128, 256)),
    "gru": (("gru", "tuned"), (1, 4, 16, 32, 64, 128)),
    "transformer": (("transformer", "shakespeare"), (1, 2, 4, 8, 12, 24)),
}
GRADIENTS = (4, 1_000, 47_588, 250_000, 1_000_000, 4_000_000, 16_000_000)  # bytes; that of mlp-char is 47,588
ROUNDS = 7
SHORT_ROUNDS = 100  # of what waits
STEPS = 20_000  # of a member
FEW, MANY, SWEEPS = 20, 220, 3  # members of one step, and sweeps of them
TEXT_MB = 100
ZOO = (sys.executable, "-m", "zoo")


def measure(parts: Sequence[str] = ()) -> dict[str, Any]:
    """The figures of these parts, as `figures.json` has them; by default of all."""
    os.environ.update({**as_installed(), "OMP_NUM_THREADS": "1", "ZOO_OFFLINE": "1", "ZOO_PLUGINS": ""})
    return {"about": about()} | {name: PARTS[name]() for name in parts or PARTS}


def in_folder(part: Callable[[Path], Any]) -> Callable[[], Any]:
    """A part that is given an empty folder of its own."""

    def measured() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            return part(Path(folder))

    return measured


def about() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


@in_folder
def nets(work: Path) -> dict[str, Any]:
    """What `steps` measures, of each net."""
    make_text(work / "text.txt", 1)
    return {net: own_process("steps", net, work / "text.txt") for net in NETS}


def own_process(*words: object) -> Any:
    """What a function of this module returns, in a process of its own."""
    script = [sys.executable, "-W", "ignore", __file__, *map(str, words)]
    return json.loads(subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True).stdout)


def steps(net: str, text: str) -> dict[str, Any]:
    """Seconds of a training step by `autograd`, one thread, over the examples of a batch; and the parameters."""
    import torch

    from zoo.options.run import RunOptions
    from zoo.plugin.manager import load_plugins
    from zoo.runs.clock import Clock
    from zoo.runs.observer import Observer
    from zoo.runs.plan import make_plan
    from zoo.runs.prepare import prepare
    from zoo.training.loop import Training, train

    torch.set_num_threads(1)
    (model, preset), batches = NETS[net]
    registry, data = load_plugins()[0], text if preset == "shakespeare" else BUNDLED
    given: dict[str, Any] = {"preset": preset, "dataset": str(data), "engine": "autograd", "threads": 1}
    given |= {"device": "cpu", "precision": "float32"}
    trainings: dict[str, Training] = {}
    for batch in batches:
        plan = make_plan(registry, RunOptions(model, batch_size=batch, **given))
        trainings[str(batch)] = prepare(plan, torch.device("cpu"), Observer(), Clock()).new_training()

    def seconds(training: Training) -> float:
        before, started = training.step, time.process_time()
        while time.process_time() - started < 0.15:
            train(training, training.step + 8)
        return (time.process_time() - started) / (training.step - before)

    own = make_plan(registry, RunOptions(model, **given))
    parameters = sum(p.numel() for p in trainings[str(batches[0])].model.parameters())
    taken = in_turn({batch: partial(seconds, training) for batch, training in trainings.items()})
    return {"preset": own.options.preset, "batch": own.batch_size, "parameters": parameters, "step_s": taken}


def in_turn(measures: Mapping[str, Callable[[], float]], rounds: int | None = None) -> dict[str, float]:
    """The smallest of what each returns, all taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds or ROUNDS):
        for name, one in measures.items():
            taken[name].append(one())
    return {name: min(values) for name, values in taken.items()}


@in_folder
def two_ranks(work: Path) -> dict[str, float]:
    """Seconds in which two ranks add up so many bytes over loopback, by gloo."""
    script = [sys.executable, __file__, "all_reduce"]
    with subprocess.Popen([*script, "1", work / "store", str(SHORT_ROUNDS)], stdout=subprocess.DEVNULL):
        return dict(own_process("all_reduce", 0, work / "store", SHORT_ROUNDS))


def all_reduce(rank: str, store: str, rounds: str) -> dict[str, float]:
    """What one of the two ranks takes."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
    tensors = {str(size): torch.zeros(size // 4) for size in GRADIENTS}

    def seconds(tensor: torch.Tensor) -> float:
        times = 10 if tensor.nbytes < MEGABYTE else 2
        distributed.barrier()
        started = time.perf_counter()
        for _ in range(times):
            distributed.all_reduce(tensor)
        return (time.perf_counter() - started) / times

    taken = in_turn({name: partial(seconds, tensor) for name, tensor in tensors.items()}, int(rounds))
    distributed.destroy_process_group()
    return taken


@in_folder
def start(work: Path) -> dict[str, float]:
    """Processor time of Python, `import torch` and a `zoo run` of one step; and the files that this opens."""
    env = dict(os.environ)
    run = [*ZOO, "run", "mlp-char", "--dataset", BUNDLED, "--steps", 1, "--engine", "fused", "--no-plots", "--quiet"]
    seconds = in_turn(
        {
            "python_s": lambda: spent([sys.executable, "-c", "pass"], env).processor,
            "torch_s": lambda: spent([sys.executable, "-c", "import torch"], env).processor,
            "run_s": lambda: spent([*run, "--out", tempfile.mkdtemp(dir=work)], env).processor,
        }
    )
    return {**seconds, **own_process("imported")}


def imported(engine: str = "fused") -> dict[str, int]:
    """How many files Python and the linker have opened to train with an engine, and their bytes."""
    import zoo

    zoo.run("mlp-char", dataset=str(BUNDLED), steps=1, engine=engine, device="cpu", keep=False)
    mapped = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    attributes = [vars(module) for module in [*sys.modules.values()] if hasattr(module, "__dict__")]
    own = {each.get("__cached__") or each.get("__file__") for each in attributes}
    names = mapped | {name for name in own if isinstance(name, str)}
    files = [Path(name) for name in names if name.startswith("/") and Path(name).is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


@in_folder
def reading(work: Path) -> dict[str, float]:
    """Seconds from the file of names to tensors; bytes of running text that are read and encoded in a second."""
    path = work / "long.txt"
    make_text(path, TEXT_MB)
    time.sleep(3)  # a file that was changed just now is read again
    seconds = in_turn({"names_s": lambda: own_process("names"), "text_s": lambda: own_process("encoded", path)})
    return {"names_s": seconds["names_s"], "text_bytes_a_second": TEXT_MB * MEGABYTE / seconds["text_s"]}


def names() -> float:
    """The second time, when all modules are there."""
    import zoo
    from zoo.data.loading import encode

    def read() -> float:
        started = time.process_time()
        encode(zoo.TextDataset.from_file(BUNDLED), "windows", 3)
        return time.process_time() - started

    return [read() for _ in range(2)][1]


def encoded(path: str) -> float:
    """A text that is not in the cache, when all modules are there."""
    import zoo

    def read(text: Path) -> float:
        started = time.process_time()
        zoo.CorpusDataset(path=text)
        return time.process_time() - started

    with tempfile.TemporaryDirectory() as cache:
        os.environ["ZOO_CACHE"] = cache
        small = Path(cache, "small.txt")
        make_text(small, 1)
        return [read(text) for text in (small, Path(path))][1]


@in_folder
def member(work: Path) -> dict[str, float]:
    """A member of a sweep of `mlp-char`, and what it costs beside its training."""
    sweep = [*ZOO, "sweep", "mlp-char", "--dataset", BUNDLED, "--engine", "fused", "--device", "cpu", "--quiet"]
    spent([*sweep, "--seeds", 2, "--steps", STEPS, "--out", work / "sweep"], dict(os.environ))
    folder = next((work / "sweep").glob("*/metrics.json")).parent
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    train = [own_process("trained", seed) for seed in range(1, ROUNDS + 1)]
    beside = own_process("coordinator", work)
    return {
        "steps": STEPS,
        "train_s": min(train),
        "spread": statistics.pstdev(train) / statistics.mean(train),
        "own_s": beside["workers_s"],
        "coordinator_s": beside["own_s"],
        "files": len(files),
        "bytes": sum(map(len, files.values())),
        "disk_s": min(written(files, work / f"written-{number}") for number in range(SHORT_ROUNDS)),
    }


def trained(seed: str) -> float:
    """Processor time of the training of a member, without the first steps, in which `fused` may be compiled."""
    import zoo

    given: dict[str, Any] = {"dataset": str(BUNDLED), "engine": "fused", "device": "cpu", "threads": 1, "keep": False}

    def seconds(steps: int) -> float:
        started = time.process_time()
        zoo.run("mlp-char", steps=steps, seed=int(seed), init_seed=int(seed), **given)
        return time.process_time() - started

    _, one, all_of_them = (seconds(steps) for steps in (1, 1, STEPS))
    return all_of_them - one


def coordinator(folder: str) -> dict[str, float]:
    """Processor time of one step for a member more: of the process that leads its sweep, and of the workers."""
    import zoo

    given: dict[str, Any] = {"dataset": str(BUNDLED), "steps": 1, "engine": "fused", "device": "cpu", "plots": False}

    def swept(members: int, number: int) -> tuple[float, float]:
        of_whom = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        before = [processor_time(who) for who in of_whom]
        zoo.sweep("mlp-char", seeds=members, out=Path(folder, f"{members}-{number}"), jobs=2, **given)
        own, workers = (processor_time(who) - then for who, then in zip(of_whom, before, strict=True))
        return own, workers

    swept(1, 0)  # after which all modules are there
    taken = [(swept(FEW, number), swept(MANY, number)) for number in range(SWEEPS)]
    few, many = ([min(values) for values in zip(*sweeps, strict=True)] for sweeps in zip(*taken, strict=True))
    own, workers = (max(0.0, (more - less) / (MANY - FEW)) for less, more in zip(few, many, strict=True))
    return {"own_s": own, "workers_s": workers}


def processor_time(who: int) -> float:
    """Seconds, of this process or of its children that have ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def written(files: Mapping[str, bytes], folder: Path, times: int = 5) -> float:
    """Seconds in which such files are written to a folder of their own, each by a temporary one, as a run does."""
    from zoo.files import write_bytes

    started = time.perf_counter()
    for number in range(times):
        own = folder / str(number)
        own.mkdir(parents=True)
        for name, data in files.items():
            write_bytes(own / name, data)
    return (time.perf_counter() - started) / times


FIGURES: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (steps, all_reduce, imported, names, encoded, trained, coordinator)
}

PARTS: dict[str, Callable[[], Any]] = {
    "nets": nets,
    "all_reduce_s": two_ranks,
    "start": start,
    "read": reading,
    "member": member,
}

if __name__ == "__main__":
    print(json.dumps(FIGURES[sys.argv[1]](*sys.argv[2:])))
