"""Every option and every kind of setting with every awkward value: accepted, or refused in one line with exit code 2.

Nothing is "unexpected", and what is refused leaves no folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
import zoo.runs.runner
from zoo import UsageError
from zoo.cli import COMMANDS
from zoo.errors import suggest
from zoo.numbers import divergence, show_loss, show_value
from zoo.options.declaration import declared
from zoo.options.run import ResumeOptions, RunOptions
from zoo.plugin.manager import load_plugins
from zoo.training.loop import train

DIGITS = "9" * 5000
TEXTS = {
    **{
        text: text
        for text in ("nan", "inf", "-inf", "1e39", "1e400", "-1", "0", "-0.0", "true", "", " ", "٣", "1_0", "0x10")
    },
    **{f"2**{power}": str(2**power) for power in (31, 63, 64)},
    "5,000 digits": DIGITS,
    "5,000 digits and a point": f"{DIGITS}.5",
    "NUL": "\0",
    "lone surrogate": "\udc80",
    "two lines": "1\n2",
}
VALUES = {
    "nan": math.nan,
    "inf": math.inf,
    "1e39": 1e39,
    "-1": -1,
    "0": 0,
    **{f"2**{power}": 2**power for power in (31, 63, 64)},
    "5,000 digits": 10**5000,
    "true": True,
    "empty": "",
    "text": "5",
    "bytes": b"5",
    "list": [10**5000],
    "complex": 1j,
    "path": Path("x"),
}
OPTIONS = [
    name for name, one in declared(RunOptions).items() if name not in ("out", "settings", "plots", "offline", "compile")
]
SETTINGS = ("model.hidden_size", "model.context_length", "data.shuffle_seed", "data.split", "optimizer.momentum")
LARGEST = 1 << 28  # bytes; what this machine is said to have


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with little memory, on which no run takes more than one step."""
    for module in ("zoo.memory", "zoo.runs.prepare"):
        monkeypatch.setattr(f"{module}.memory_bytes", lambda: LARGEST)

    def one_step(training: Any, steps: int, **options: Any) -> None:
        train(training, min(steps, 1))
        training.step = steps

    monkeypatch.setattr(zoo.runs.runner, "train", one_step)


def assert_in_one_line(outcome: Any) -> None:
    assert outcome.code in (0, 2), outcome.err
    assert "unexpected" not in outcome.err
    assert "Traceback" not in outcome.err
    if outcome.code:
        assert outcome.err.count("\n") == 1
        assert len(outcome.err) < 1000 or "device" in outcome.err or DIGITS[:400] in outcome.err
        assert not Path("out").exists()


@pytest.mark.parametrize("value", TEXTS)
@pytest.mark.parametrize("option", [*OPTIONS, *SETTINGS])
def test_an_awkward_text_is_accepted_or_refused(option: str, value: str, zoo_here: Zoo, words_file: Path) -> None:
    known = declared(RunOptions)
    flag = [f"{known[option].flag}={TEXTS[value]}"] if option in known else ["--set", f"{option}={TEXTS[value]}"]
    given = {"--steps": 3, "--dataset": words_file, "--device": "cpu", "--batch-size": 4}
    rest = [part for name, one in given.items() if not flag[0].startswith(f"{name}=") for part in (name, one)]
    small = [] if option.startswith("model.") else ["--set", "model.hidden_size=3"]
    optimizer = ["--optimizer", "sgd-momentum"] if option.startswith("optimizer.") else []
    command = ["run", "mlp-char", *rest, *flag, *small, *optimizer, "--no-plots", "--quiet", "--out", "out"]
    assert_in_one_line(zoo_here(*command))


RESUMED = [name for name, one in declared(ResumeOptions).items() if one.type is not bool]


@pytest.mark.parametrize("value", TEXTS)
@pytest.mark.parametrize("option", RESUMED)
def test_an_awkward_text_for_a_resumption_is_accepted_or_refused(
    option: str, value: str, zoo_here: Zoo, run: Path
) -> None:
    one = declared(ResumeOptions)[option]
    steps = [] if option == "steps" else ["--steps", 6]
    outcome = zoo_here("resume", run, *steps, f"{one.flag}={TEXTS[value]}", "--no-plots", "--quiet")
    assert outcome.code in (0, 2) or (outcome.code == 1 and value == "2**64"), outcome.err
    assert "unexpected" not in outcome.err


OTHERS = {
    "sample": ("--number", "--temperature", "--top-k", "--seed", "--prefix", "--dataset"),
    "eval": ("--device", "--dataset"),
    "plot": ("--dims", "--format"),
    "list": ("--sort",),
}


@pytest.mark.parametrize("value", [value for value in TEXTS if not value.startswith("2**")])
@pytest.mark.parametrize(("command", "option"), [(c, option) for c, options in OTHERS.items() for option in options])
def test_an_awkward_text_for_another_command_is_accepted_or_refused(
    command: str, option: str, value: str, zoo_here: Zoo, run: Path
) -> None:
    outcome = zoo_here(command, *([] if command == "list" else [run]), f"{option}={TEXTS[value]}")
    assert outcome.code in (0, 1, 2)
    assert "unexpected" not in outcome.err


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("option", [*OPTIONS, *SETTINGS])
def test_an_awkward_value_in_python_is_accepted_or_refused(option: str, value: str, words_file: Path) -> None:
    given: dict[str, Any] = {"dataset": words_file, "steps": 3, "batch_size": 4, "device": "cpu"}
    settings: dict[str, Any] = {} if option.startswith("model.") else {"model.hidden_size": 3}
    if option in SETTINGS:
        settings[option] = VALUES[value]
    else:
        given[option] = VALUES[value]
    if option.startswith("optimizer."):
        given["optimizer"] = "sgd-momentum"
    error = None
    try:
        zoo.run("mlp-char", **given, settings=settings, out="out", plots=False)
    except zoo.ZooError as caught:
        error = caught
    assert error is None or isinstance(error, UsageError)
    assert error is None or (len(str(error)) < 1000 and not Path("out").exists())


ENVIRONMENT = ("ZOO_TIMEOUT", "ZOO_CACHE", "ZOO_MIRROR", "ZOO_OFFLINE", "ZOO_PLUGINS", "ZOO_STRICT_PLUGINS")


@pytest.mark.parametrize("value", [value for value in TEXTS if value not in ("NUL", "lone surrogate")])
@pytest.mark.parametrize("variable", ENVIRONMENT)
def test_an_awkward_environment_is_accepted_or_refused(
    variable: str, value: str, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, TEXTS[value])
    if variable == "ZOO_MIRROR":
        monkeypatch.setenv("ZOO_OFFLINE", "0")
    command = ["run", "mlp-char", "--steps", 3, "--device", "cpu", "--batch-size", 4, "--set", "model.hidden_size=3"]
    assert_in_one_line(zoo_here(*command, "--no-plots", "--quiet", "--out", "out"))


# Unknown names


def names() -> list[tuple[str, list[str]]]:
    """Every name that a person types, with all those of its kind."""
    registry = load_plugins()[0]
    kinds = {kind.kind: kind.names() for kind in registry.kinds()}
    kinds |= {f"preset of {entry.spec.name}": list(entry.spec.presets) for entry in registry.models}
    kinds |= {f"{name} of a run": list(one.option.choices) for name, one in declared(RunOptions).items()}
    kinds |= {"commands": list(COMMANDS), "settings": [name.partition(".")[2] for name in SETTINGS]}
    return [(name, known) for known in kinds.values() for name in known]


CHANGES: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "a capital": str.title,
    "underscores": lambda name: name.replace("-", "_"),
    "spaces": lambda name: name.replace("-", " "),
    "space around": lambda name: f" {name} ",
    "full name": lambda name: f"zoo-models/{name.upper()}",
    "another's full name": lambda name: f"other/{name}",
    "doubled letter": lambda name: name + name[-1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_nearest_name_is_suggested(change: str) -> None:
    wrong = [
        (name, answer)
        for name, known in names()
        if name not in (f"{name}{name[-1]}",)
        and not (answer := suggest(CHANGES[change](name), known)).startswith(f"did you mean {name!r}")
    ]
    assert not wrong
    assert len(names()) > 50


@pytest.mark.parametrize("name", ["adamW", "AdamW", "ADAMW", "Adam-W", "adam_w", "zoo-models/AdamW"])
def test_adamw_is_not_taken_for_adam(name: str, zoo_here: Zoo) -> None:
    assert zoo_here("run", "mlp-char", "--optimizer", name).err.endswith("did you mean 'adamw'?\n")


# Numbers that are shown


@pytest.mark.parametrize(
    ("loss", "text"), [(2.12451, "2.1245"), (27.0, "27.0000"), (999_999.0, "999999.0000"), (6.04e31, "6.04e+31")]
)
def test_large_losses_are_shown_with_an_exponent(loss: float, text: str) -> None:
    assert show_loss(loss) == text


@pytest.mark.parametrize(
    "value", [10**5000, [10**5000], DIGITS, "x" * 10**6, b"x" * 1000], ids=lambda value: type(value).__name__
)
def test_long_values_are_shown_short(value: object) -> None:
    assert len(show_value(value)) < 100


def test_a_run_that_diverged_is_remarked_on(zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.runs.runner, "train", train)
    command = ["run", "mlp-char", "--dataset", words_file, "--steps", 3, "--device", "cpu", "--no-plots", "--quiet"]
    well = zoo_here(*command, "--out", "well", "--set", "model.scaled_init=true")
    assert (well.code, well.err) == (0, "")
    diverged = zoo_here(*command, "--out", "diverged", "--lr", "1e30", "--json")
    assert "training diverged: its loss of " in diverged.err
    assert "e+3" in diverged.err
    assert diverged.result["losses"]["train"] > 1e20


@pytest.mark.parametrize(
    ("loss", "first", "remarked"), [(2.1, 27.0, False), (5.0, 27.0, False), (3.31, 3.3, False), (40.0, 27.0, True)]
)
def test_divergence_is_worse_than_the_start_and_than_guessing(loss: float, first: float, remarked: bool) -> None:
    assert (divergence(loss, first, 27) is not None) == remarked


def test_a_warm_up_longer_than_the_run_is_refused(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "mlp-char", "--steps", 5, "--warmup", 10)
    assert (outcome.code, "--warmup 10 is longer than the" in outcome.err) == (2, True)


def test_a_negative_shuffle_seed_is_refused_except_in_an_old_config(zoo_here: Zoo, words_file: Path) -> None:
    assert "would shuffle as 1 does" in zoo_here("run", "mlp-char", "--set", "data.shuffle_seed=-1").err
    words = zoo.TextDataset.from_file(words_file)
    with pytest.raises(UsageError, match="shuffle_seed"):
        zoo.TextDataset(words.words, shuffle_seed=-1)
    old = words.arranged(split=None, shuffle_seed=-1)  # as a config is read
    assert list(old.splits["train"]) == list(words.arranged(split=None, shuffle_seed=1).splits["train"])


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf", "1e400", DIGITS])
def test_losses_that_are_no_numbers_are_damage(loss: str, zoo_here: Zoo, run: Path) -> None:
    (run / "losses.csv").write_text(f"step,loss\n0,{loss}\n")
    outcome = zoo_here("plot", run, "loss")
    assert (outcome.code, outcome.err.count("\n"), "is damaged" in outcome.err) == (1, 1, True)
