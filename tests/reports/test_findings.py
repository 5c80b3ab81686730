"""What a report finds in a model: samples, the hardest and easiest, confusion."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from reading import read, split
from trained_plugin import NAMES, train

import zoo
from zoo.reports.sections import confusion, samples, words
from zoo.reports.showing import label, number, one_in, percent, sign
from zoo.training.prediction.judging import Classes


def test_sampled_words_are_sorted_by_where_they_are_found(finished_run: Path) -> None:
    part = samples.make(read(finished_run, 1))
    assert part is not None
    groups = part.values["groups"]
    run = read(finished_run)
    train_words, val, test = (set(split(run, name)) for name in ("train", "val", "test"))
    expected = Counter(zoo.load(finished_run).sample(samples.WORDS, seed=1))
    found = {word.text: (group.title, word.times) for group in groups for word in group.words}
    for word, times in expected.items():
        where = "In the training split" if word in train_words else "Held out" if word in val | test else "New"
        assert found[word] == (where, times)
    assert sum(group.count for group in groups) == samples.WORDS == sum(expected.values())
    assert [group.share for group in groups] == [percent(group.count / samples.WORDS) for group in groups]


def test_each_of_the_three_groups(finished_run: Path) -> None:
    run = read(finished_run)
    training = set(split(run, "train"))
    held_out = next(word for word in split(run, "test") if word not in training)
    known = split(run, "train")[0]
    groups = samples.group_words([held_out, "zzqqzz", known, "zzqqzz", "", "z" * 400], run)
    assert [(g.title, [(w.text, w.times) for w in g.words], g.count) for g in groups] == [
        ("In the training split", [(known, 1)], 1),
        ("Held out", [(held_out, 1)], 1),
        ("New", [("", 1), ("zzqqzz", 2), ("z" * 400, 1)], 4),
    ]
    (likelihood,) = run.loaded.likelihood(known)
    assert groups[0].words[0].likelihood == one_in(likelihood.nats)


def test_without_the_data_words_are_in_one_group(made: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((made / "model.safetensors").read_bytes())
    part = samples.make(read(alone))
    assert part is not None
    assert part.values["no_data"]
    assert [group.count for group in part.values["groups"]] == [samples.WORDS]


def test_words_longer_than_the_model_reads_have_no_likelihood(words_file: Path) -> None:
    zoo.run("transformer", dataset=words_file, steps=1, device="cpu", plots=False, out="r")
    (_, _, new) = samples.group_words(["a" * 50, "ab"], read("r"))
    assert [(word.text, word.likelihood is None) for word in new.words] == [("ab", False), ("a" * 50, True)]


def test_running_text_and_what_a_model_makes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text.txt").write_text("to be or not to be\n" * 200)
    settings = {"data.format": "text"}
    zoo.run("bigram", dataset="text.txt", steps=5, device="cpu", plots=False, out="text", settings=settings)
    part = samples.make(read("text", 3))
    assert part is not None
    assert [part.values["text"]] == zoo.load("text").sample(seed=3)
    assert len(part.values["text"]) == 500
    train(monkeypatch, "pictures")
    train(monkeypatch, "texts")
    train(monkeypatch, "classifier")
    pictures, texts = samples.make(read("pictures")), samples.make(read("texts"))
    assert pictures is not None
    assert texts is not None
    assert pictures.values["picture"].startswith("data:image/png;base64,iVBOR")
    assert pictures.values["count"] == "20 pictures"
    monkeypatch.setattr(samples, "_LARGEST_PNG", 1500)
    few = samples.make(read("pictures"))
    assert few is not None
    assert few.values["count"] == "5 pictures"
    assert texts.values["texts"][0].endswith("\nand more")
    assert samples.make(read("classifier")) is None


def test_the_hardest_and_the_easiest_words(finished_run: Path) -> None:
    run = read(finished_run)
    part = words.make(run)
    assert part is not None
    found = {one.text: one for one in run.loaded.likelihood(run.chosen.items)}
    ordered = sorted(found.values(), key=lambda one: -one.loss)
    tables = part.values["tables"]
    end = run.loaded.vocabulary.itos[0]
    assert [row.before + row.most + row.after for row in tables["Hardest"]] == [w.text + end for w in ordered[:10]]
    assert [row.before + row.most + row.after for row in tables["Easiest"]] == [w.text + end for w in ordered[:-11:-1]]
    assert tables["Hardest"][0].loss == f"{ordered[0].loss:.4f}"
    for row in (*tables["Hardest"], *tables["Easiest"]):
        word = row.before + row.most + row.after
        probabilities = run.loaded.predict([word[:i] for i in range(len(word))])
        each = [
            float(row[probabilities.classes.index(c)]) for row, c in zip(probabilities.probabilities, word, strict=True)
        ]
        assert each[len(row.before)] == min(each)
        assert row.surprise == f"{row.most}: {one_in(math.log(min(each)))}"
    assert part.values["unit"] == "nats per character"


def test_no_item_is_among_the_hardest_and_the_easiest(words_file: Path) -> None:
    words_file.write_text("\n".join(["ab", "ba", "abb", "baa"] * 10 + ["ab", "ba", "ab", "abb", "ba"] * 2))
    zoo.run("mlp-char", dataset=words_file, steps=1, device="cpu", plots=False, out="r")
    chosen = read("r").chosen
    hardest, easiest = words.extremes(chosen, 10)
    shown = [chosen.items[item] for item in hardest + easiest]
    assert sorted(shown) == sorted(set(chosen.items))


def test_stretches_of_text_mark_what_surprises() -> None:
    Path("text.txt").write_text(
        "to be or not to be\n" * 180 + "to be or not to be\n" * 9 + "to bZ or not\n" + "to be\n" * 80
    )
    settings = {"data.format": "text"}
    zoo.run("mlp-char", dataset="text.txt", steps=300, device="cpu", plots=False, out="r", settings=settings)
    part = words.make(read("r"))
    assert part is not None
    hardest = part.values["tables"]["Hardest"][0]
    assert hardest.most == "Z"
    assert hardest.before.endswith("to b")
    assert hardest.after.startswith(" or not⏎to be⏎")
    assert hardest.surprise.startswith("Z: 1 in ")


def test_the_hardest_examples_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "classifier")
    run = read("classifier")
    part = words.make(run)
    assert part is not None
    x, y = split(run, "val")
    probabilities = loaded.predict(x).probabilities
    each = -probabilities[torch.arange(len(y)), y].log()
    order = each.argsort(descending=True).tolist()
    rows = part.values["tables"]["Hardest"]
    assert [row.number for row in rows] == order[:10]
    for row in rows:
        assert row.target == NAMES[int(y[row.number])]
        assert row.predicted == NAMES[int(probabilities[row.number].argmax())]
        assert row.of_target == percent(float(probabilities[row.number, y[row.number]]))
        assert row.features == ", ".join(number(float(value), 4) for value in x[row.number])


@pytest.mark.parametrize("name", ["regression", "positions", "pictures"])
def test_examples_of_every_kind_of_target(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    train(monkeypatch, name)
    run = read(name)
    part = words.make(run)
    assert part is not None
    rows = part.values["tables"]["Hardest"]
    losses = run.chosen.losses
    assert [float(row.loss) for row in rows] == pytest.approx(
        losses.sort(descending=True).values[:10].tolist(), abs=1e-4
    )
    assert (rows[0].target is None) == (name == "pictures")
    assert part.values["unit"] == {"regression": "mse_loss", "positions": "nats", "pictures": "squared"}[name]
    assert (confusion.make(run) is None) == (name != "positions")


def test_confusion_counts_every_target() -> None:
    g = torch.Generator().manual_seed(4)
    target, predicted = (torch.randint(0, 9, (500,), generator=g) for _ in range(2))
    target[target == 7], predicted[predicted == 7] = 3, 8  # class 7 does not occur
    kept, counts = confusion.confusion(Classes(target, predicted, target.double(), target.double()))
    assert kept == [0, 1, 2, 3, 4, 5, 6, 8]
    assert int(counts.sum()) == 500
    pairs = Counter(zip(target.tolist(), predicted.tolist(), strict=True))
    assert {(kept[i], kept[j]): int(counts[i, j]) for i, j in counts.nonzero().tolist()} == pairs
    names = [f"class {one}" for one in kept]
    listed = confusion.most_confused(names, counts)
    assert [pair.count for pair in listed] == sorted((n for (i, j), n in pairs.items() if i != j), reverse=True)
    first = listed[0]
    of = int(first.target.split()[1])
    assert first.share == pytest.approx(first.count / int((target == of).sum()))
    rows = confusion.rows_of(names, counts)
    assert [row.total for row in rows] == counts.sum(1).tolist()
    assert max(cell.heat for row in rows for cell in row.cells) == 1.0
    for row in rows:
        assert [cell.share for cell in row.cells] == [percent(cell.count / row.total) for cell in row.cells]


def test_confusion_of_a_run_sums_to_its_targets(finished_run: Path) -> None:
    run = read(finished_run)
    part = confusion.make(run)
    assert part is not None
    rows = part.values["rows"]
    assert sum(row.total for row in rows) == sum(cell.count for row in rows for cell in row.cells) == run.chosen.taken
    assert {row.name for row in rows} == set(run.loaded.vocabulary.itos)
    right = sum(row.cells[row.place].count for row in rows)
    assert f"{right:,} predictions of {run.chosen.taken:,} right" in part.values["right"]
    worst = max(
        (cell.count, row.name, names)
        for row in rows
        for cell, names in zip(row.cells, part.values["names"], strict=True)
        if names != row.name
    )
    assert (part.values["pairs"][0][0].count, part.values["pairs"][0][0].target) == worst[:2]


def test_many_classes_have_pairs_only(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion, "LARGEST", 20)
    part = confusion.make(read(finished_run))
    assert part is not None
    assert part.values["rows"] is None
    assert len(part.values["pairs"]) == 40


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (percent(0.0), "0 %"),
        (percent(1.0), "100 %"),
        (percent(0.9999), "> 99.9 %"),
        (percent(0.0001), "< 0.1 %"),
        (percent(0.034), "3.4 %"),
        (percent(0.42), "42 %"),
        (one_in(math.log(0.5)), "1 in 2.0"),
        (one_in(-math.log(5210)), "1 in 5,210"),
        (one_in(-9.53 * math.log(10)), "1 in 3.4 × 10⁹"),
        (number(math.nan), "NaN"),
        (number(-math.inf), "infinite"),
        (number(0.012345), "0.0123"),
        (number(-1234.5), "-1,234"),
        (number(1234.5, 4), "1,234"),
        (number(1.5e9), "1.5e+09"),
        (percent(0.955), "96 %"),
        (sign(" "), "␣"),
        (sign(""), "start"),
        (sign("\u202e"), "202E"),
        (label("new york"), "new york"),
        (label(" "), "␣"),
        (label("x" * 100), "x" * 39 + "…"),
    ],
)
def test_how_numbers_and_signs_are_written(shown: str, text: str) -> None:
    assert shown == text
