"""The weights that plugins ship: their losses, their cards and their metrics."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import make_weights
import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo import CheckpointError, ModelSpec, UsageError
from zoo.cli.state import State
from zoo.data.download import fetcher
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.storage import checkpoint, loading
from zoo.storage.shipped import ShippedMetrics, bits, shipped_metrics, shipped_weights, weights_path
from zoo.training.evaluation import evaluate_splits

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


Zoo = Callable[..., Any]

SHIPPING = make_weights.shipping()
NEAR = 1e-4  # nats: the summation order depends on the processor
ROUNDED = 0.5e-4  # a card has four digits
MOST_BYTES = 5_000_000

_ROW = re.compile(r"^\| (train|val|test)(, unseen words)? \| [\d,]+ \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


def card_losses(card: str) -> dict[str, tuple[float, float]]:
    """The losses of a card in nats and bits, by row."""
    return {f"{split}{new}": (float(nats), float(in_bits)) for split, new, nats, in_bits in _ROW.findall(card)}


def check_stated(weights: Path, registry: Registry) -> None:
    """The weights have the losses that their card and their metrics state."""
    loaded = loading.load(weights, registry)
    data = loaded.dataset(registry, fetcher(offline=True))
    losses = {name: one.loss for name, one in evaluate_splits(loaded.model, loaded.examples(data)).items()}
    novel = {name: one.loss for name, one in evaluate_splits(loaded.model, loaded.novel_examples(data)).items()}
    measured: dict[str, float] = {**losses} | {f"{split}, unseen words": loss for split, loss in novel.items()}
    stated = card_losses(weights.with_suffix(".md").read_text())
    assert {name: nats for name, (nats, _) in stated.items()} == pytest.approx(measured, abs=NEAR + ROUNDED)
    assert {name: in_bits for name, (_, in_bits) in stated.items()} == pytest.approx(
        {name: bits(loss) for name, loss in measured.items()}, abs=bits(NEAR) + ROUNDED
    )
    known = json.loads(weights.with_suffix(".json").read_text())
    assert known["losses"] == pytest.approx(losses, abs=NEAR)
    assert known["novel"]["losses"] == pytest.approx(novel, abs=NEAR)
    assert (known["model"], known["parameters"]) == (
        loaded.entry.spec.name,
        loaded.config["model"]["parameters"],
    )


def check_names_no_paths_of_the_machine(weights: Path) -> None:
    """Card and metrics name no path of the machine they were made on and no image that is not shipped."""
    for suffix in (".md", ".json"):
        text = weights.with_suffix(suffix).read_text()
        assert not re.search(r"run_dir|/tmp|/home|/root|--out|!\[", text), text


# What zoo ships. Run `python scripts/weights/make_weights.py` whenever a preset `tuned` changes.


@pytest.mark.parametrize("name", SHIPPING)
def test_shipped_weights_have_the_losses_that_their_card_states(name: str, registry: Registry) -> None:
    check_stated(shipped_weights(SHIPPING[name]), registry)


@pytest.mark.parametrize("name", SHIPPING)
def test_shipped_weights_are_of_the_preset_as_it_is(name: str, registry: Registry) -> None:
    spec = SHIPPING[name].spec
    loaded = loading.load(name, registry)
    known = shipped_metrics(SHIPPING[name])
    assert known is not None
    assert (known.dataset, known.preset) == ("names-ssa-2018", "tuned")
    preset = spec.presets["tuned"]
    trained = loaded.checked.options
    assert trained.steps == (preset.steps or spec.steps)
    assert trained.batch_size == (preset.batch_size or spec.batch_size)
    assert trained.lr == (preset.lr or spec.lr)
    for key, value in preset.settings.items():
        section, _, name_of = key.partition(".")
        if section == "model":
            assert loaded.checked.hyperparameters[name_of] == value
    assert loaded.checked.data_settings["shuffle_seed"] == 42


@pytest.mark.parametrize("name", SHIPPING)
def test_shipped_weights_sample_offline_and_always_the_same(name: str, zoo_here: Zoo) -> None:
    outcomes = [zoo_here("sample", name, "-n", 10, "--seed", 1, "--offline", "--json") for _ in range(2)]
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert outcomes[0].out == outcomes[1].out
    assert outcomes[0].result["counts"] is not None


@pytest.mark.parametrize("name", SHIPPING)
def test_pretrained_models_have_the_shipped_tensors(name: str) -> None:
    tensors = load_file(shipped_weights(SHIPPING[name]))
    state = zoo.create_model(name, pretrained=True).state_dict()
    assert state.keys() >= tensors.keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", SHIPPING)
def test_shipped_cards_name_no_paths_of_the_machine(name: str) -> None:
    check_names_no_paths_of_the_machine(shipped_weights(SHIPPING[name]))


def test_shipped_weights_are_small_and_nothing_else_lies_beside_them() -> None:
    weights = [weights_path(entry) for entry in SHIPPING.values()]
    files = {path.with_suffix(suffix) for path in weights for suffix in make_weights.SUFFIXES}
    assert {path for folder in {path.parent for path in weights} for path in folder.glob("*")} == files
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


# The script that makes them


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights made by the script: a few steps of `mlp-bn`, and all of `ngram`."""
    folder = tmp_path_factory.mktemp("made") / "weights"
    assert make_weights.main(["ngram", "mlp-bn", "--steps", "5", "--into", str(folder)]) == 0
    return folder


def test_script_writes_weights_card_and_metrics_of_each(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {
        f"{name}{suffix}" for name in ("ngram", "mlp-bn") for suffix in (".safetensors", ".md", ".json")
    }


@pytest.mark.parametrize("name", ["ngram", "mlp-bn"])
def test_script_states_the_losses_of_what_it_made(made: Path, name: str, registry: Registry) -> None:
    check_stated(made / f"{name}.safetensors", registry)
    check_names_no_paths_of_the_machine(made / f"{name}.safetensors")


def test_script_writes_a_card_with_how_to_load_and_reproduce(made: Path) -> None:
    card = (made / "mlp-bn.md").read_text()
    assert 'zoo.load("mlp-bn")' in card
    assert 'load_file("mlp-bn.safetensors")' in card
    assert "model.safetensors" not in card
    assert "`python scripts/weights/make_weights.py mlp-bn`" in card
    assert "$ zoo run zoo-models/mlp-bn --dataset zoo-models/names-ssa-2018" in card
    assert "--set data.shuffle_seed=42" in card


def test_script_writes_metrics_that_are_read_back(
    made: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.syspath_prepend(made.parent)
    spec = ModelSpec("mlp-bn", "nowhere:Net", weights=f"{made.name}:mlp-bn.safetensors")
    known = shipped_metrics(Entry(spec, registry.models.get("mlp-bn").plugin))
    raw = json.loads((made / "mlp-bn.json").read_text())
    assert known == ShippedMetrics(
        dataset="names-ssa-2018",
        preset="tuned",
        parameters=raw["parameters"],
        steps=5,
        seconds=raw["seconds"]["train"],
        losses=raw["losses"],
        novel=raw["novel"]["losses"],
        sha256=raw["dataset"]["sha256"],
        metrics=raw["metrics"]["val"],
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["ngram", "--steps", "5"], "say --into DIR"),
        (["ngram", "nothing"], "no such weights are shipped of nothing"),
    ],
)
def test_script_refuses_invalid_arguments(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make_weights.main(arguments)
    assert caught.value.code == 2
    assert error in capsys.readouterr().err


def test_script_fails_when_the_weights_are_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = tmp_path / "large.safetensors"
    large.write_bytes(bytes(MOST_BYTES + 1))
    assert make_weights.report({"large": large}, []) == 1
    assert "too large: 5,000,001 bytes, of 5,000,000" in capsys.readouterr().err
    large.write_bytes(bytes(MOST_BYTES))
    assert make_weights.report({"large": large}, []) == 0
    assert make_weights.report({"large": large}, ["small"]) == 1
    assert "not made: small" in capsys.readouterr().err


# Metrics of shipped weights

METRICS: dict[str, Any] = {
    "model": "net",
    "dataset": {"name": "names-ssa-2018", "sha256": "0" * 64, "examples": {"train": 8, "val": 1, "test": 1}},
    "parameters": 1234,
    "steps": 500,
    "losses": {"train": 2.0, "val": 2.1, "test": 2.2},
    "seconds": {"train": 1.5},
}
NOVEL = {"examples": {"val": 1, "test": 1}, "losses": {"val": 2.3, "test": None}}

Shop = Callable[..., Entry[ModelSpec]]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """`shop("net", metrics)`: an entry of a package that ships an empty weights file and metrics."""
    package = tmp_path / "site" / "zoo_shop"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(package.parent)

    def entry(name: str, metrics: str | bytes | Mapping[str, Any] | None = None, **fields: Any) -> Entry[ModelSpec]:
        (package / "weights" / f"{name}.safetensors").touch()
        if metrics is not None:
            content = json.dumps(metrics) if isinstance(metrics, Mapping) else metrics
            content = content.encode() if isinstance(content, str) else content
            (package / "weights" / f"{name}.json").write_bytes(content)
        fields = {"weights": f"zoo_shop:weights/{name}.safetensors", **fields}
        return Entry(ModelSpec(name, "zoo_shop.net:Net", **fields), Plugin("shop", "zoo-shop", "1.0"))

    return entry


def test_metrics_are_those_of_the_run(shop: Shop) -> None:
    known = shipped_metrics(shop("net", METRICS))
    losses = {"train": 2.0, "val": 2.1, "test": 2.2}
    sha256 = METRICS["dataset"]["sha256"]
    assert known == ShippedMetrics("names-ssa-2018", None, 1234, 500, 1.5, losses, {}, sha256)


def test_metrics_include_the_preset_and_the_losses_on_unseen_words_if_given(shop: Shop) -> None:
    known = shipped_metrics(shop("net", {**METRICS, "preset": "tuned", "novel": NOVEL}))
    assert known is not None
    assert (known.preset, known.novel) == ("tuned", {"val": 2.3})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        b"\xff\xfe",
        "[" * 100_000,
        json.dumps(METRICS)[:-9],
        {**METRICS, "model": "another"},
        {**METRICS, "dataset": "names"},
        {**METRICS, "dataset": {"name": "\ud800"}},
        {**METRICS, "dataset": {"name": "\x1b[31m"}},
        {**METRICS, "parameters": True},
        {**METRICS, "parameters": "1234"},
        {**METRICS, "steps": -1},
        {**METRICS, "losses": {"train": 2.0, "val": 2.1}},
        {**METRICS, "losses": {**METRICS["losses"], "val": float("nan")}},
        {**METRICS, "losses": {**METRICS["losses"], "val": float("inf")}},
        {**METRICS, "losses": {**METRICS["losses"], "val": 10**400}},
        json.dumps(METRICS).replace("1234", "9" * 5000),
        {**METRICS, "seconds": 1.5},
        {**METRICS, "preset": 3},
        {**METRICS, "novel": 2.3},
        {**METRICS, "novel": {"losses": {"val": "2.3"}}},
    ],
    ids=str,
)
def test_damaged_metrics_are_none(shop: Shop, content: Any) -> None:
    assert shipped_metrics(shop("net", content)) is None


SPREAD = {"seeds": 10, "sd": 0.0056, "preset": "tuned", "dataset": "names", "sha256": "a" * 64}


def test_metrics_say_how_much_the_loss_varies_with_the_seed(shop: Shop) -> None:
    known = shipped_metrics(shop("net", {**METRICS, "over_seeds": SPREAD}))
    assert known is not None
    assert known.over_seeds is not None
    assert known.over_seeds._asdict() == SPREAD


@pytest.mark.parametrize(
    "wrong", [{"seeds": 1}, {"seeds": "10"}, {"sd": -0.1}, {"sd": float("nan")}, {"dataset": None}, {"sha256": 7}]
)
def test_a_spread_that_cannot_be_is_a_damaged_file(shop: Shop, wrong: dict[str, Any]) -> None:
    assert shipped_metrics(shop("net", {**METRICS, "over_seeds": {**SPREAD, **wrong}})) is None


def test_metrics_of_missing_weights_are_none(shop: Shop, tmp_path: Path) -> None:
    assert shipped_metrics(shop("net")) is None
    assert shipped_metrics(shop("net", METRICS, weights=None)) is None
    assert shipped_metrics(shop("net", METRICS, weights="zoo_nowhere:net.safetensors")) is None
    assert shipped_metrics(shop("net", METRICS, weights="zoo_shop.sub:net.safetensors")) is None  # whose import raises
    entry = shop("net", METRICS)
    assert shipped_metrics(entry) is not None
    shipped_weights(entry).unlink()
    assert shipped_metrics(entry) is None


def test_a_folder_in_place_of_the_metrics_is_none(shop: Shop) -> None:
    entry = shop("net")
    shipped_weights(entry).with_suffix(".json").mkdir()
    assert shipped_metrics(entry) is None


def test_missing_weights_are_an_error(shop: Shop) -> None:
    with pytest.raises(UsageError, match="ships no weights: train it with 'zoo run net'"):
        shipped_weights(shop("net", weights=None))
    for weights in ("zoo_shop:nowhere.safetensors", "zoo_nowhere:net.safetensors", "zoo_shop.sub:net.safetensors"):
        with pytest.raises(CheckpointError, match=f"{weights}, are missing from zoo-shop 1.0"):
            shipped_weights(shop("net", weights=weights))


def test_a_package_in_several_folders_ships_from_any_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}" / "zoo_parts").mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path / f"{number}")
    weights = tmp_path / "1" / "zoo_parts" / "net.safetensors"  # of the two, the later on the path
    weights.touch()
    spec = ModelSpec("net", "zoo_parts.net:Net", weights="zoo_parts:net.safetensors")
    assert shipped_weights(Entry(spec, Plugin("parts", "zoo-parts", "1.0"))) == weights


def test_files_of_a_run_are_all_that_a_plugin_needs_to_ship(
    shop: Shop, finished_run: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    """As plugins/README.md has it: `cp run/model.safetensors ...`, `cp run/metrics.json ...`."""
    entry = shop("mlp-char", (finished_run / "metrics.json").read_bytes())
    shutil.copy(finished_run / "model.safetensors", shipped_weights(entry))
    both = Registry()
    for kind in registry.kinds():
        for known in kind:
            next(other for other in both.kinds() if other.kind == kind.kind).add(known)
    both.models.add(entry)
    monkeypatch.setattr(State, "registry", both)
    assert len(zoo_here("sample", "zoo-shop/mlp-char", "-n", 3, "--json").result["samples"]) == 3
    listed = {model["name"]: model for model in zoo_here("list", "models", "--json").result["models"]}
    run = json.loads((finished_run / "metrics.json").read_text())
    assert listed["zoo-shop/mlp-char"]["figures"]["losses"]["nats"] == run["losses"]


# Lists


@pytest.fixture
def three_models(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Three models: two with metrics, one of these on unseen words too, and one without metrics."""
    registry = Registry()
    losses = {"train": 1.9, "val": 2.0, "test": 2.1}
    good = {**METRICS, "model": "good", "losses": losses, "preset": "tuned", "novel": NOVEL}
    registry.models.add(shop("good", good, summary="The better one"))
    registry.models.add(shop("fast", {**METRICS, "model": "fast", "parameters": 12, "seconds": {"train": 0.25}}))
    registry.models.add(shop("bare", summary="Without metrics"))
    registry.datasets.add(Entry(zoo.DatasetSpec("words", "nowhere:words"), Plugin("shop", "zoo-shop", "1.0")))
    monkeypatch.setattr(State, "registry", registry)
    return registry


def rows(out: str) -> list[list[str]]:
    """The lines of the first table, as words."""
    return [line.split() for line in out.split("\n\n")[0].splitlines()]


def test_list_of_models_shows_every_metric(zoo_here: Zoo, three_models: Registry) -> None:
    outcome = zoo_here("list", "models")
    assert (outcome.code, outcome.err) == (0, "")
    assert rows(outcome.out) == [
        ["models", "parameters", "val", "loss", "unseen", "words", "seconds", "from"],
        ["bare", "Without", "metrics", "-", "-", "-", "-", "zoo-shop", "1.0"],
        ["fast", "12", "2.1000", "-", "0.2", "zoo-shop", "1.0"],
        ["good", "The", "better", "one", "1,234", "2.0000", "2.3000", "1.5", "zoo-shop", "1.0"],
    ]
    assert "Losses in nats" in outcome.out
    assert "validation split of names-ssa-2018; unseen words:" in outcome.out


def test_list_of_everything_shows_only_the_loss(zoo_here: Zoo, three_models: Registry) -> None:
    outcome = zoo_here("list")
    assert rows(outcome.out)[0] == ["models", "val", "loss", "from"]
    assert rows(outcome.out)[3] == ["good", "The", "better", "one", "2.0000", "zoo-shop", "1.0"]
    assert "Losses in nats" in outcome.out
    assert "unseen words" not in outcome.out
    assert "words" in outcome.out.split("datasets")[1]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["bare", "fast", "good"]),
        ("loss", ["good", "fast", "bare"]),
        ("unseen-words", ["good", "bare", "fast"]),
        ("new-words", ["good", "bare", "fast"]),  # its former name
        ("parameters", ["fast", "good", "bare"]),
        ("seconds", ["fast", "good", "bare"]),
    ],
)
def test_list_sorts_models_by_any_metric_and_those_without_last(
    zoo_here: Zoo, three_models: Registry, order: str, names: list[str]
) -> None:
    assert [row[0] for row in rows(zoo_here("list", "models", "--sort", order).out)[1:]] == names
    assert [row[0] for row in rows(zoo_here("list", "--sort", order).out)[1:]] == names
    assert [model["name"] for model in zoo_here("list", "--sort", order, "--json").result["models"]] == names


def other_data(name: str, digest: str = "1") -> dict[str, Any]:
    return {**METRICS, "dataset": {**METRICS["dataset"], "name": name, "sha256": digest * 64}}


@pytest.mark.parametrize("arguments", [["list", "models"], ["list"]], ids=["models", "all"])
@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["bare", "digits", "fast", "good", "words"]),
        ("loss", ["digits", "good", "fast", "words", "bare"]),
        ("unseen-words", ["digits", "good", "words", "bare", "fast"]),
        ("parameters", ["fast", "digits", "words", "good", "bare"]),
    ],
)
def test_losses_of_different_data_are_never_sorted_into_one_column(
    zoo_here: Zoo, three_models: Registry, shop: Shop, order: str, names: list[str], arguments: list[str]
) -> None:
    better = {"losses": {"train": 0.1, "val": 0.2, "test": 0.3}, "parameters": 100}
    better["novel"] = {"losses": {"val": 0.2, "test": 0.3}}
    three_models.models.add(shop("digits", {**other_data("digits"), **better, "model": "digits"}))
    three_models.models.add(shop("words", {**other_data("names-ssa-2018"), **better, "model": "words"}))
    out = zoo_here(*arguments, "--sort", order).out
    assert [row[0] for row in rows(out)[1:]] == names
    data = {row[0]: " ".join(row) for row in rows(out)}
    assert "data" in data["models"].split()
    assert "digits (11111111)" in data["digits"]
    assert "names-ssa-2018 (11111111)" in data["words"]  # another file of the same name
    assert f"names-ssa-2018 ({METRICS['dataset']['sha256'][:8]})" in data["good"]
    assert "Those of different data do not compare: --sort keeps them apart." in out


def test_list_shows_losses_in_bits(zoo_here: Zoo, three_models: Registry) -> None:
    out = zoo_here("list", "models", "--bits").out
    assert rows(out)[3][5:7] == [f"{bits(2.0):.4f}", f"{bits(2.3):.4f}"] == ["2.8854", "3.3182"]
    assert "Losses in bits" in out


def test_list_as_json_has_losses_in_nats_and_bits(zoo_here: Zoo, three_models: Registry) -> None:
    models = {model["name"]: model for model in zoo_here("list", "--json").result["models"]}
    assert models["bare"]["figures"] is None
    assert models["good"]["figures"] == {
        "dataset": "names-ssa-2018",
        "preset": "tuned",
        "parameters": 1234,
        "steps": 500,
        "seconds": 1.5,
        "losses": {
            "nats": {"train": 1.9, "val": 2.0, "test": 2.1},
            "bits": {"train": bits(1.9), "val": bits(2.0), "test": bits(2.1)},
        },
        "novel": {"nats": {"val": 2.3}, "bits": {"val": bits(2.3)}},
        "metrics": {},
    }
    assert "figures" not in zoo_here("list", "--json").result["datasets"][0]


def test_list_of_models_without_metrics_has_no_columns_for_them(
    zoo_here: Zoo, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    registry.models.add(shop("bare", summary="Without metrics"))
    monkeypatch.setattr(State, "registry", registry)
    for arguments in ([], ["--sort", "loss"], ["--bits"]):
        assert zoo_here("list", "models", *arguments).out == (
            "models                     from\nbare     Without metrics   zoo-shop 1.0\n"
        )


@pytest.mark.parametrize(
    ("arguments", "option"), [(["--sort", "loss"], "--sort loss"), (["--bits"], "--bits")], ids=["sort", "bits"]
)
@pytest.mark.parametrize("kind", ["datasets", "optimizers"])
def test_only_models_can_be_sorted_by_metrics(zoo_here: Zoo, kind: str, arguments: list[str], option: str) -> None:
    outcome = zoo_here("list", kind, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"zoo: error: {option} is for models, and {kind} have no metrics: 'zoo list models {option}'\n"
    )


def test_an_unknown_order_is_one_line(zoo_here: Zoo) -> None:
    outcome = zoo_here("list", "models", "--sort", "beauty")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert "'beauty' is not one of 'name', 'loss'" in outcome.err


# `zoo info`


class Net(torch.nn.Module):
    """Replaces a model whose package cannot be imported."""


@pytest.mark.parametrize("vocabulary", [None, [".", "a", "b"]], ids=["numbers", "text"])
def test_info_advises_to_sample_where_that_is_possible(
    vocabulary: list[str] | None, zoo_here: Zoo, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = _importable(shop("net", METRICS))
    checkpoint.save(shipped_weights(entry), {}, {"config": {"dataset": {"vocabulary": vocabulary}}})
    registry = Registry()
    registry.models.add(entry)
    monkeypatch.setattr(State, "registry", registry)
    use = f"zoo {'predict' if vocabulary is None else 'sample'} net, zoo eval net"
    assert f"Use them: {use}\n" in zoo_here("info", "net").out


def test_info_describes_the_weights_and_how_to_use_them(
    zoo_here: Zoo, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    registry.models.add(_importable(shop("good", {**METRICS, "model": "good", "preset": "tuned", "novel": NOVEL})))
    registry.models.add(_importable(shop("bare")))
    registry.models.add(_importable(shop("none", weights=None)))
    monkeypatch.setattr(State, "registry", registry)
    out = zoo_here("info", "good").out
    assert (
        "Comes with weights trained on names-ssa-2018, preset tuned: 1,234 parameters, 500 steps in 1.5 s\n"
        "Their validation loss is 2.1000 nats (3.0297 bits), and 2.3000 over unseen words\n"
        "Use them: zoo sample good, zoo eval good\n"
    ) in out
    assert "Comes with trained weights: zoo sample zoo-shop/bare" in zoo_here("info", "zoo-shop/bare").out
    assert "weights" not in zoo_here("info", "none").out
    for name, has_weights, has_metrics in [("good", True, True), ("bare", True, False), ("none", False, False)]:
        [found] = zoo_here("info", name, "--json").result["found"]
        assert (found["weights"], found["figures"] is not None) == (has_weights, has_metrics)


def _importable(entry: Entry[ModelSpec]) -> Entry[ModelSpec]:
    spec = entry.spec
    return Entry(ModelSpec(spec.name, Net, lr=0.1, weights=spec.weights), entry.plugin)
