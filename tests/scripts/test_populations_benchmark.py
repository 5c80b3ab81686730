"""The parts of `scripts/benchmark.py` about populations, ranks and sizes of text: what is compared is the same."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmark
import corpus
import jax_members
import nanogpt
import numpy as np
import one_after_another
import population
import processes
import pytest
import ranks
import texts
import torch
from population import Population, Sizes

import zoo

Zoo = Callable[..., Any]
SIZES = Sizes(members=4, steps=100, commands=2, few=10, many=110)


def test_the_loop_does_the_runs_of_the_members(
    words_file: Path, tmp_path: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    run = zoo.run

    def recorded(*args: Any, **options: Any) -> Any:
        given.append(options)
        return run(*args, **{**options, "engine": "auto"})  # numba may not be installed

    monkeypatch.setattr(zoo, "run", recorded)
    monkeypatch.setattr("sys.argv", ["one_after_another.py", str(words_file), str(tmp_path / "runs"), "2", "20"])
    one_after_another.main()
    assert [options["engine"] for options in given] == ["fused", "fused"]
    words = ["--dataset", words_file, "--steps", 20, "--threads", 1, "--device", "cpu", "--no-plots"]
    for seed in (1, 2):
        assert zoo_here("run", "mlp-char", *words, "--seed", seed, "--init-seed", seed, "--out", str(seed)).code == 0
    population.assert_same_bytes(numbered(tmp_path / "runs"), Path.cwd(), [1, 2])
    with pytest.raises(AssertionError, match="member 1 of the sweep is not the run"):
        population.assert_same_bytes(numbered(tmp_path / "runs", swapped=True), Path.cwd(), [1, 2])


def numbered(runs: Path, *, swapped: bool = False) -> Path:
    """The runs 1 and 2 under the names of a sweep's members."""
    folder = runs.parent / f"sweep-{swapped}"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{3 - number if swapped else number:04}").symlink_to(runs / str(number))
    return folder


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.parametrize("variant", jax_members.VARIANTS)
def test_jax_trains_the_same_members(variant: str) -> None:
    """In a process of its own: it chooses its devices when it is imported."""
    code = (
        "import sys, json, jax_members; from pathlib import Path\n"
        f"_, weights, losses = jax_members.train(Path(sys.argv[1]), 2, 30, {variant!r})\n"
        "print(json.dumps([losses.tolist(), weights[4].tolist()]))"
    )
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(jax_members.__file__).parent)}
    script = [sys.executable, "-c", code, str(benchmark.BUNDLED)]
    done = subprocess.run(script, env=env, stdout=subprocess.PIPE, text=True, check=True)
    losses, biases = json.loads(done.stdout)
    options: dict[str, Any] = {"dataset": benchmark.BUNDLED, "engine": "autograd", "threads": 1, "device": "cpu"}
    for seed in (1, 2):
        run = zoo.run("mlp-char", steps=30, seed=seed, init_seed=seed, keep=False, **options)
        assert losses[seed - 1] == pytest.approx([*run.step_losses], rel=2e-3)
        assert biases[seed - 1] == pytest.approx(run.model.get_parameter("b2").tolist(), rel=1e-2, abs=1e-3)
    assert losses[0] != losses[1]


def test_a_sweep_is_compared_with_every_peer(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that takes 2 s to start, and 10 ms a step of all its members."""
    monkeypatch.setattr(Population, "lecture", lambda self, folder, steps=None: 2 + 0.01 * (steps or 100))
    monkeypatch.setattr(Population, "loop", lambda self, folder: 6.0)
    monkeypatch.setattr(Population, "commands", lambda self, folder, at_a_time: 24.0 / at_a_time)
    monkeypatch.setattr(Population, "jax", lambda self, variant: {"vmap": 4.0, "map": float("inf")}[variant])
    compared: list[list[int]] = []
    monkeypatch.setattr(population, "assert_same_bytes", lambda sweep, runs, numbers: compared.append([*numbers]))
    monkeypatch.setattr(population, "cores", lambda: 2)
    rows = population.throughput(Population(words_file, SIZES), 1)
    times = {(row["what"].endswith("alone"), row["peer"]): row["theirs"] / row["ours"] for row in rows}
    assert times == {
        (False, "one after another in one process"): pytest.approx(2),
        (False, "a command each, one after another"): pytest.approx(8),
        (False, "a command each, 2 at a time"): pytest.approx(4),
        (False, "jax.vmap of lax.scan"): pytest.approx(4 / 3),
        (True, "jax.vmap of lax.scan"): pytest.approx(4),
    }
    assert [row["goal"] for row in rows] == [1.8, None, None, None, 3.0]
    assert rows[0]["ours"] == pytest.approx(3 / 400)
    assert compared == [[1, 2]]


def test_the_members_of_a_grid_are_the_commands(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[Any]] = []

    def spent(words: list[Any], env: object) -> processes.Spent:
        commands.append([*words])
        return processes.Spent(1.0, 1, 1.0)

    monkeypatch.setattr(population, "spent", spent)
    one = Population(words_file, SIZES)
    one.grid_by_sweep(Path("work"))
    one.grid_by_commands(Path("work"))
    swept, commands = commands[0], commands[1:]
    models, options = swept[4], swept[swept.index("--out") + 2 :]
    given = dict(zip(options[::2], options[1::2], strict=True))
    rates, sizes = given["--lr"].split(","), given["--batch-size"].split(",")
    expected = {
        (model, lr, size, seed)
        for model in models.split(",")
        for lr in rates
        for size in sizes
        for seed in range(1, int(given["--seeds"]) + 1)
    }
    names = ("--lr", "--batch-size", "--seed")
    found = [(words[4], *(words[words.index(name) + 1] for name in names)) for words in commands]
    assert len(found) == 36
    assert {*found} == expected
    assert all(words[words.index("--seed") + 1] == words[words.index("--init-seed") + 1] for words in commands)
    assert all(words[words.index("--steps") + 1] == given["--steps"] for words in commands)


def test_what_a_member_takes_is_found_beside_its_training(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores; a member takes 70 ms of one, 60 of which train and evaluate, and 3 MB."""

    def sweep(self: Population, folder: Path, *options: Any) -> processes.Spent:
        members = 2 * options[options.index("--seeds") + 1]
        for number in range(members):
            own = folder / "sweep" / f"{number:04}"
            own.mkdir(parents=True)
            (own / "metrics.json").write_text(json.dumps({"seconds": {"train": 0.02, "eval": 0.04, "total": 9}}))
        return processes.Spent(1.5 + 0.035 * members, 10**8 + 3 * 10**6 * members, 1.0)

    monkeypatch.setattr(Population, "sweep", sweep)
    monkeypatch.setattr(population, "cores", lambda: 2)
    compare = {10: 1.0, 110: 1.4}
    monkeypatch.setattr(population, "compared", lambda one, path: compare[len([*path.iterdir()])])
    own, memory, many, comparing = population.overhead(Population(words_file, SIZES), 1)
    assert own["ours"] == pytest.approx(0.01)
    assert memory["ours"] == pytest.approx(3e6)
    assert memory["theirs"] / memory["ours"] < memory["goal"]
    assert many["ours"] == pytest.approx(1.5 + 0.035 * 110)
    assert comparing["ours"] == pytest.approx(0.4)


def test_a_command_that_fails_is_told_with_what_it_said(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        processes.spent(
            [sys.executable, "-c", "import sys; print('no data', file=sys.stderr); sys.exit(3)"], os.environ
        )
    assert capfd.readouterr().err == "no data\n"
    taken = processes.spent([sys.executable, "-c", "import time; x = b'1' * 10**8; time.sleep(0.1)"], os.environ)
    assert taken.seconds >= 0.1
    assert taken.peak > 10**8
    assert 0 < taken.processor < taken.seconds


def test_every_reader_of_a_text_finds_the_same_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    texts.make_text(text, 1)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "ROUND", 1)
    assert corpus.numpy_reads(text)["seconds"] > 0
    tokens = zoo.CorpusDataset(path=text).tokens
    ours = tokens.rows(torch.tensor([0]), len(tokens))[0].numpy() - 1  # its 0 is what stands before a text
    by_hand = np.fromfile(text.with_suffix(".bin"), np.uint8)
    assert len(ours) == 10**6
    assert np.array_equal(ours, by_hand)
    corpus.nanogpt_reads(text)
    ids, _ = nanogpt.encoded(text)
    assert np.array_equal(ids, np.fromfile(text.with_suffix(".bin"), np.uint16))
    assert np.array_equal(ids, by_hand[: len(ids)])
    taken = corpus.zoo_reads(text)
    assert taken.keys() == {"seconds", "bytes", "step"}
    assert 0 < taken["step"] < 60


def test_texts_are_the_same_each_time_and_settled(tmp_path: Path) -> None:
    for name in ("a", "b"):
        texts.make_text(tmp_path / name, 1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size == 10**6
    assert (tmp_path / "a").read_text(encoding="ascii").count("\n") > 1000


def test_sizes_of_text_have_rows_for_each_peer_that_can_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_size(megabytes: int, rounds: int) -> dict[str, dict[str, float]]:
        readers = ("zoo_reads", "warm", "numpy_reads", *(["nanogpt_reads"] if megabytes <= 100 else []))
        return {name: {"seconds": float(megabytes), "bytes": 1e6, "step": 0.05} for name in readers}

    monkeypatch.setattr(corpus, "of_size", of_size)
    rows = corpus.rows([10, 1000], 1)
    assert [(row["what"], row["peer"]) for row in rows] == [
        ("first read of 10 MB", "nanoGPT's way"),
        ("first read of 10 MB", "NumPy by hand"),
        ("its memory, beside libraries and net", "the text's size"),
        ("warm start on 10 MB", "first read"),
        ("first read of 1,000 MB", "NumPy by hand"),
        ("its memory, beside libraries and net", "the text's size"),
        ("warm start on 1,000 MB", "first read"),
        ("a step of transformer on 1,000 MB", "on 10 MB"),
    ]


def test_ranks_do_the_run_of_the_single_process(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def spent(argv: list[str], env: object) -> None:
        commands.append([*argv])
        (out := Path(argv[-1])).mkdir()
        (out / "metrics.json").write_text(json.dumps({"seconds": {"train": 4.0 / (1 + ("-2-" in out.name))}}))

    monkeypatch.setattr(ranks, "spent", spent)
    rows = ranks.rows(words_file, 1)
    assert [row["what"] for row in rows] == [
        f"training step, {net}, {count}" for net in ("transformer", "mlp-char") for count in ("1 rank", "2 ranks")
    ]
    assert [row["theirs"] / row["ours"] for row in rows] == [1, 2, 1, 2]
    for single, *others in (commands[:3], commands[3:]):
        own = single[single.index("zoo") :][:-1]
        assert all(other[other.index("zoo") :][:-1] == own for other in others)
        assert [other[other.index("torch.distributed.run") + 2] for other in others] == [
            "--nproc-per-node=1",
            "--nproc-per-node=2",
        ]


@pytest.mark.parametrize("part", benchmark.ALONE)
def test_each_long_part_has_a_script_that_takes_what_it_is_given(
    part: str, monkeypatch: pytest.MonkeyPatch, words_file: Path
) -> None:
    row = {"what": "x", "peer": "y", "theirs": 2e-3, "ours": 1e-3, "unit": "ms", "goal": 1.5}
    started: list[list[str]] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        started.append(command)
        return SimpleNamespace(stdout=json.dumps([row]))

    module: Any = {"corpus": corpus, "population": population, "ranks": ranks}[part]
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(processes, "limited", lambda threads, cores: {})
    monkeypatch.setattr(benchmark, "limited", lambda threads, cores: {})
    options = ["--megabytes", "1"] if part == "corpus" else ["--quick"]
    assert benchmark.alone(part, words_file, 1, options) == [{**row, "threads": 1}]
    monkeypatch.setattr(module, "rows", lambda *args, **kwargs: [row])
    monkeypatch.setattr("sys.argv", started[0][1:])
    module.main()
    assert Path(started[0][1]) == Path(module.__file__).resolve()
    assert f"\n{part} " in str(benchmark.__doc__)


def test_the_readme_has_the_rows_of_each_long_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"what": "a step", "threads": 1, "peer": "JAX", "theirs": 52e-6, "ours": 26e-6, "unit": "µs", "goal": 1.5}
    readme = (benchmark.HERE / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    monkeypatch.setattr(benchmark, "HERE", tmp_path)
    monkeypatch.setattr(benchmark, "about", lambda: "A processor")
    for part in benchmark.ALONE:
        benchmark.write(part, [row])
    written = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert written.count("A processor:\n\n| what |") == len(benchmark.ALONE)
    assert written.count("| a step | 1 | JAX | 52.0 µs | 26.0 µs | 2.00 | 1.5 |") == len(benchmark.ALONE)
    outside = [re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL) for text in (readme, written)]
    assert outside[0] == outside[1] != readme


def test_torch_is_left_as_it_was() -> None:
    """The helpers draw from generators of their own."""
    state = torch.get_rng_state()
    jax_members.weights_of(1)
    jax_members.batches_of(benchmark.BUNDLED, 1, 3)
    assert torch.equal(state, torch.get_rng_state())
