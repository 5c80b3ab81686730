"""Nets that read pictures and rows, in the browser: what is drawn or typed gives torch's numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import OpenPage
from net_pages import offer_specs, part_of, write_page
from torch import Tensor, nn

import zoo
from zoo.reports.net.tensors import picture_size

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "a\u202eb", "&amp;", "x" * 90]
DATA = torch.randn(60, 144, generator=torch.Generator().manual_seed(1))


class CNN(nn.Module):
    """Logits (B, K) of pictures (B, 1, S, S): convolutions, pooling, batch norm."""

    def __init__(self, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
            self.layers = nn.Sequential(*layers, nn.Conv2d(4, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
            self.head = nn.Linear(16, num_classes)
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(x))
        return logits


class Flat(nn.Module):
    """Numbers (B, O), or logits, of inputs (B, ...)."""

    def __init__(
        self,
        num_features: int,
        num_classes: int | None = None,
        num_outputs: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_features, num_classes or num_outputs or 1, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight / 10


def dataset(shape: tuple[int, ...], classes: list[str] | None = None, outputs: int = 0, **more: Any) -> Any:
    x = DATA[:, : torch.Size(shape).numel()].reshape(60, *shape)
    y = torch.arange(60) % len(classes) if classes else DATA[:, :outputs] if outputs else None
    parts = [slice(0, 40), slice(40, 50), slice(50, 60)]
    return lambda: zoo.TensorDataset(
        *((x[part], y[part]) if y is not None else x[part] for part in parts), classes=classes, **more
    )


Train = Callable[..., Path]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Train:
    """`train("a", CNN, dataset(...))`: a run of two steps in the folder `a`."""

    def run(name: str, model: Any, data: Any) -> Path:
        settings: Any = {"optimizer": "sgd", "steps": 2, "batch_size": 8, "lr": 0.01}
        offer_specs(monkeypatch, zoo.ModelSpec("net", model, dataset="some", **settings), zoo.DatasetSpec("some", data))
        zoo.run("net", device="cpu", plots=False, out=tmp_path / name)
        return tmp_path / name

    return run


def number(text: str) -> float:
    return float(text.replace(",", ""))


def settled(page: Any) -> None:
    page.evaluate("Promise.all([...zoo.net.parts.values()].map((part) => part.net.last))")


def bars(part: Any) -> dict[str, float]:
    names, shown = part.locator(".bars .name").all_inner_texts(), part.locator(".percent").all_inner_texts()
    return {name: float(one.strip("<>\u00a0%")) / 100 for name, one in zip(names, shown, strict=True)}


def compare(part: Any, probabilities: Tensor, names: list[str]) -> None:
    found = bars(part)
    assert found.keys() == set(names)
    shown = torch.tensor([found[name] for name in names]).double()
    torch.testing.assert_close(shown, probabilities, rtol=0, atol=6e-4)


@pytest.mark.parametrize("shape", [(1, 12, 12), (12, 12), (144,), (1, 6, 9)])
def test_a_picture_is_drawn(shape: tuple[int, ...], train: Train, tmp_path: Path, open_page: OpenPage) -> None:
    """With the mouse and with keys; also of a picture of the data, and of nothing."""
    names = [f"class {n}" for n in range(4)]
    run = train("run", CNN if len(shape) == 3 and shape[1] == shape[2] else Flat, dataset(shape, names))
    loaded = zoo.load(run)
    page = open_page(write_page(tmp_path / "page.html", run))
    part, canvas = page.locator("#net .part"), page.locator(".drawing")

    def pixels() -> Tensor:
        settled(page)
        values = page.evaluate("Array.from([...zoo.net.parts.values()][0].drawing.pixels)")
        return torch.tensor(values).view(1, *shape)

    def check() -> Tensor:
        x = pixels()
        compare(part, loaded.predict(x).probabilities[0], names)
        return x

    examples = DATA[40:50, : torch.Size(shape).numel()]
    first = check()
    assert any(torch.equal(first[0], x.reshape(shape)) for x in examples)  # one of the data
    page.get_by_role("button", name="Clear").click()
    assert len(set(check().flatten().tolist())) == 1
    height, width = picture_size(shape) or (0, 0)
    box: Any = canvas.bounding_box()
    page.mouse.move(box["x"] + 1.5 * box["width"] / width, box["y"] + 2.5 * box["height"] / height)
    page.mouse.down()
    page.mouse.move(box["x"] + 4.5 * box["width"] / width, box["y"] + 2.5 * box["height"] / height)
    page.mouse.up()
    drawn = check().view(height, width)
    inked = (drawn != drawn[0, 0]).nonzero().tolist()
    assert inked == [[2, column] for column in range(1, 5)]
    page.get_by_role("button", name="Clear").click()
    canvas.focus()
    for key in ("ArrowUp", "ArrowRight", "Space"):
        page.keyboard.press(key)
    drawn = check().view(height, width)
    assert (drawn != drawn[0, 0]).nonzero().tolist() == [[height // 2 - 1, width // 2 + 1]]
    assert canvas.get_attribute("aria-valuetext") == f"row {height // 2}, column {width // 2 + 2}, drawn"
    page.get_by_role("button", name=re.compile("^example 2, of class class 1$")).click()
    assert any(torch.equal(check()[0], x.reshape(shape)) for x in examples)


def test_names_of_classes_are_text_whatever_they_are(train: Train, tmp_path: Path, open_page: OpenPage) -> None:
    run = train("run", Flat, dataset((1, 12, 12), HOSTILE))
    for width in (1280, 390):
        page = open_page(write_page(tmp_path / "page.html", run), width=width)
        settled(page)
        assert sorted(bars(page.locator("#net .part"))) == sorted(HOSTILE)
        assert page.locator("#net img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def table(path: Path, target: str) -> Path:
    """Rows of numbers and of a color, with a target of classes or a number."""
    rows = ["area,color,<b>odd</b>,target"]
    for i, values in enumerate(DATA.tolist()):
        area, odd = 5000 + 800 * values[0], values[1]
        goal = f"{area / 100 + 10 * (i % 3):.2f}" if target == "number" else ["low", "high"][area > 5000]
        rows.append(f"{area:.1f},{['blue', 'red', 'tan'][i % 3]},{odd:.3f},{goal}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("model", ["mlp-table", "linear-table"])
@pytest.mark.parametrize("target", ["number", "class"])
def test_a_row_is_typed(model: str, target: str, tmp_path: Path, open_page: OpenPage) -> None:
    data = table(tmp_path / "rows.csv", target)
    run = zoo.run(model, dataset=data, target="target", device="cpu", steps=20, plots=False, out=tmp_path / "run")
    loaded = zoo.load(run.path)
    page = open_page(write_page(tmp_path / "page.html", run.path))
    part = page.locator("#net .part")
    assert part.locator(".fields label span").all_inner_texts() == ["area", "color", "<b>odd</b>"]
    means = loaded.checked.provides["feature_means"]
    assert float(part.locator(".field").first.input_value()) == pytest.approx(means[0], rel=1e-3)

    def check(area: float, color: int, odd: float) -> None:
        settled(page)
        wanted = loaded.predict(torch.tensor([[area, *(float(color == n) for n in range(3)), odd]]))
        if target == "class":
            compare(part, wanted.probabilities[0], ["high", "low"])
        else:
            assert part.locator("dt").inner_text() == "target"
            assert number(part.locator(".predicted").inner_text()) == pytest.approx(float(wanted), rel=2e-5)

    part.get_by_label("area").fill("5432.5")
    part.get_by_label("color").select_option(label="red")
    part.get_by_label("<b>odd</b>").fill("-1.5")
    check(5432.5, 1, -1.5)
    part.get_by_label("area").fill("1e3")
    check(1000, 1, -1.5)
    part.get_by_label("area").fill("")
    assert part.locator(".told").inner_text() == "Every field needs a number."
    assert part.locator(".bars.empty, .predicted:has-text('–')").count() == 1
    part.get_by_role("button", name="Reset").click()
    assert float(part.get_by_label("area").input_value()) == pytest.approx(means[0], rel=1e-3)


def test_a_table_needs_no_data_to_be_asked(tmp_path: Path, open_page: OpenPage) -> None:
    data = table(tmp_path / "rows.csv", "number")
    zoo.run("mlp-table", dataset=data, target="target", device="cpu", steps=2, plots=False, out=tmp_path / "run")
    data.unlink()
    page = open_page(write_page(tmp_path / "page.html", tmp_path / "run"))
    settled(page)
    assert page.locator(".field").count() == 3
    assert number(page.locator(".predicted").inner_text())


def test_rows_without_names(train: Train, tmp_path: Path, open_page: OpenPage) -> None:
    run = train("run", Flat, dataset((3,), outputs=2))
    page = open_page(write_page(tmp_path / "page.html", run))
    settled(page)
    assert page.locator(".fields label span").all_inner_texts() == ["feature 1", "feature 2", "feature 3"]
    values = [float(field.input_value()) for field in page.locator(".field").all()]
    wanted = zoo.load(run).predict(torch.tensor([values]))[0].tolist()
    found = [number(text) for text in page.locator(".predicted").all_inner_texts()]
    assert found == pytest.approx(wanted, rel=1e-4)


class Reading(Flat):
    """Takes another way where the first number is large."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if float(x.flatten()[0]) < 0 else 2 * y


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "colors": (Flat, dataset((3, 4, 4), ["a", "b"]), "reads inputs of shape (3, 4, 4), for which the page has no"),
    "long": (Flat, dataset((120,), outputs=1), "reads inputs of shape (120,)"),
    "itself": (Flat, dataset((3,)), "predicts its own input"),
    "reading": (Reading, dataset((3,), outputs=2), "does not compute the same for every input"),
    "outputs": (Flat, dataset((3,), outputs=21), "predicts 21 numbers, and the page shows up to 20"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_page_has_no_fields_for_is_said(name: str, train: Train) -> None:
    model, data, said = REFUSED[name]
    assert said in part_of(train("run", model, data)).values["missing"]


def test_whole_numbers_are_no_picture(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tokens(nn.Module):
        def __init__(self, num_classes: int, generator: torch.Generator) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(9, num_classes, generator=generator))

        def forward(self, x: Tensor) -> Tensor:
            return self.table[x].mean(1)

    def tokens() -> zoo.TensorDataset:
        x, y = DATA[:, :8].abs().long() % 9, torch.arange(60) % 2
        return zoo.TensorDataset((x[:40], y[:40]), (x[40:50], y[40:50]), (x[50:], y[50:]))

    assert "reads whole numbers" in part_of(train("run", Tokens, tokens)).values["missing"]


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        *(((1, 28, 28), (28, 28)), ((8, 8), (8, 8)), ((64,), (8, 8)), ((1, 64, 2), (64, 2)), ((4096,), (64, 64))),
        *(((49,), None), ((65,), None), ((4225,), None), ((1, 65, 8), None), ((3, 8, 8), None), ((1, 8), None)),
        *(((1, 1, 8, 8), None), ((), None)),
    ],
)
def test_shapes_of_pictures(shape: tuple[int, ...], sides: tuple[int, int] | None) -> None:
    assert picture_size(shape) == sides
