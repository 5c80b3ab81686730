"""The models of tables against closed forms, and through runs: trained, stopped, resumed, loaded."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo_tabular.models import LinearTable, MLPTable

MODELS = {"linear-table": LinearTable, "mlp-table": MLPTable}


def rows(count: int, seed: int = 0) -> list[tuple[float, float, str]]:
    """Features of very different sizes, and a color."""
    rng = random.Random(seed)
    return [(rng.gauss(5000, 800), rng.gauss(-0.02, 0.003), rng.choice(["blue", "red"])) for _ in range(count)]


def write(path: str, kind: str, count: int = 400) -> None:
    """A table whose target is a linear function of its columns, with noise for numbers; classes are separable."""
    rng = random.Random(1)
    lines = ["area,slope,color,target"]
    for area, slope, color in rows(count):
        score = (area - 5000) / 800 - 2 * (slope + 0.02) / 0.003 + (color == "red")
        if kind == "classes":
            if abs(score) < 0.2:
                continue  # a gap between the classes
            target = "low" if score < 0 else "high"
        else:
            target = f"{200_000 + 30_000 * score + rng.gauss(0, 5_000):.2f}"
        lines.append(f"{area:.3f},{slope:.6f},{color},{target}")
    Path(path).write_text("\n".join(lines) + "\n")


def train(model: str, kind: str, **options: Any) -> Any:
    write(f"{kind}.csv", kind)
    return zoo.run(model, dataset=f"{kind}.csv", target="target", device="cpu", plots=False, **options)


def examples(run: Any) -> tuple[torch.Tensor, torch.Tensor]:
    data = zoo.load(run.path).dataset(zoo.api._registry(), None, f"{run.path}/../numbers.csv")  # type: ignore[arg-type]  # no download
    pair: Any = data.splits["train"]
    return pair.x.double(), pair.y.double()


def test_linear_regression_is_least_squares() -> None:
    run = train("linear-table", "numbers", steps=2000, batch_size=320, out="run")
    x, y = examples(run)
    design = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    scale = design.abs().amax(dim=0)  # one-hot columns and the bias are dependent, which `gelsd` allows
    solution = torch.linalg.lstsq(design / scale, y, driver="gelsd").solution
    best = float(((design / scale @ solution - y) ** 2).mean())
    assert run.losses["train"] == pytest.approx(best, rel=1e-3)
    assert run.metrics["metrics"]["train"]["r2"] > 0.98


@pytest.mark.parametrize("model", MODELS)
def test_separable_classes_are_told_apart(model: str) -> None:
    run = train(model, "classes", steps=1500)
    assert run.metrics["metrics"]["train"]["accuracy"] == 1
    assert run.metrics["metrics"]["test"]["accuracy"] > 0.9
    assert run.config["dataset"]["classes"] == ["high", "low"]


def test_an_mlp_learns_what_no_line_can() -> None:
    rng = random.Random(2)
    lines = ["a,b,same"] + [
        f"{a:.3f},{b:.3f},{int(a * b > 0)}" for a, b in ((rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(1000))
    ]
    Path("xor.csv").write_text("\n".join(lines))
    found = {name: zoo.run(name, dataset="xor.csv", target="same", plots=False, steps=1000) for name in MODELS}
    assert found["mlp-table"].metrics["metrics"]["test"]["accuracy"] > 0.9
    assert found["linear-table"].metrics["metrics"]["train"]["accuracy"] < 0.7


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("model", MODELS)
def test_a_stopped_and_resumed_run_has_the_same_bytes(model: str, kind: str) -> None:
    more = {"settings": {"model.dropout": 0.2}} if model == "mlp-table" else {}
    train(model, kind, steps=40, schedule="constant", out="whole", **more)
    train(model, kind, steps=15, schedule="constant", out="parts", **more)
    zoo.resume("parts", steps=40, plots=False)
    for name in ("model.safetensors", "losses.csv"):
        assert Path("whole", name).read_bytes() == Path("parts", name).read_bytes()


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_alone_predicts_from_raw_rows(model: str, kind: str) -> None:
    run = train(model, kind, steps=30)
    Path(f"{kind}.csv").unlink()
    loaded = zoo.load(Path(run.path) / "model.safetensors")
    raw = torch.tensor([[5000.0, -0.02, 1, 0], [4200.0, -0.017, 0, 1]])
    output = loaded.model(raw)
    inputs, state = run.config["model"]["inputs"], loaded.model.state_dict()
    assert torch.equal(state["inputs.means"], torch.tensor(inputs["feature_means"]))
    standardized = (raw - torch.tensor(inputs["feature_means"])) / torch.tensor(inputs["feature_scales"])
    expected = loaded.model.layers(standardized)  # type: ignore[operator]  # a method
    if kind == "numbers":
        expected = expected * torch.tensor(inputs["target_scales"]) + torch.tensor(inputs["target_means"])
        assert (output - torch.tensor(inputs["target_means"])).abs().max() < 5 * inputs["target_scales"][0]
    torch.testing.assert_close(output, expected)
    assert [column["name"] for column in loaded.config["dataset"]["provides"]["columns"]] == ["area", "slope", "color"]


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("model", MODELS)
def test_initial_weights_are_those_of_the_seed(model: str, kind: str) -> None:
    sizes = {"num_classes": 3} if kind == "classes" else {"num_outputs": 2}
    make = MODELS[model]
    models = [make(num_features=400, generator=torch.Generator().manual_seed(seed), **sizes) for seed in (1, 1, 2)]
    states = [nn.utils.parameters_to_vector(model.parameters()) for model in models]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    x = torch.randn(2000, 400, generator=torch.Generator().manual_seed(3))
    for layer in models[0].hidden if isinstance(models[0], MLPTable) else ():
        x = torch.relu(layer(x)).detach()
        assert float((x**2).mean()) == pytest.approx(1, rel=0.3)  # Kaiming's weights keep the size of activations


def test_the_mlp_has_the_layers_that_are_asked_for() -> None:
    generator = torch.Generator().manual_seed(1)
    model = MLPTable(num_features=5, num_classes=3, hidden_sizes=(7, 4, 2), generator=generator)
    layers = [name for name, _ in model.named_parameters() if name.endswith("weight")]
    shapes = [tuple(model.get_parameter(name).shape) for name in layers]
    assert shapes == [(7, 5), (4, 7), (2, 4), (3, 2)]
    assert model(torch.zeros(6, 5)).shape == (6, 3)
    assert MLPTable(num_features=5, num_outputs=2, hidden_sizes=(), generator=generator).head.weight.shape == (2, 5)


WRONG: list[tuple[type[nn.Module], dict[str, Any], str]] = [
    (LinearTable, {}, "num_classes or num_outputs must be given"),
    (MLPTable, {}, "num_classes or num_outputs must be given"),
    (LinearTable, {"num_classes": 2, "feature_means": (1.0,)}, "2 columns have 1 means and 2 deviations"),
    (LinearTable, {"num_classes": 2, "feature_scales": (1.0, 0.0)}, "a standard deviation must be above 0"),
    (LinearTable, {"num_outputs": 1, "target_scales": (1.0, 2.0)}, "1 columns have 1 means and 2 deviations"),
    (MLPTable, {"num_classes": 2, "hidden_sizes": (8, 0)}, "hidden_sizes must be 1 or above, got 8, 0"),
    (MLPTable, {"num_classes": 2, "dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
]


@pytest.mark.parametrize(("model", "arguments", "line"), WRONG)
def test_what_the_models_refuse(model: type[nn.Module], arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        model(num_features=2, **arguments)


@pytest.mark.parametrize("model", MODELS)
def test_words_are_refused(model: str) -> None:
    with pytest.raises(zoo.UsageError, match=r"needs num_features|does not read text"):
        zoo.run(model, dataset="names-ssa-2018", steps=3)


def test_a_monitored_metric_that_is_no_number_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2 of a validation split whose targets are all the same."""
    monkeypatch.chdir(tmp_path)
    targets = [0.5 if 80 <= row < 90 else row / 7 for row in range(100)]
    Path("t.csv").write_text("x,y\n" + "\n".join(f"{row},{y}" for row, y in enumerate(targets)))
    options: dict[str, Any] = {"steps": 8, "validate_every": 2, "monitor": "r2", "plots": False}
    options["settings"] = {"data.target": "y", "data.shuffle_seed": None}
    with pytest.warns(UserWarning, match="r2 of the validation split is NaN or infinite after 2 steps") as told:
        zoo.run("linear-table", dataset="t.csv", **options)
    assert len([one for one in told if "r2 of" in str(one.message)]) == 1
