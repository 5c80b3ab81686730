"""The models of makemore: each by itself against its formulas, and all through the same suite."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo, run_python
from torch import Tensor, nn

import zoo
import zoo.testing
import zoo_makemore
from zoo.data.datasets import TextDataset
from zoo.data.encoding import encode_windows
from zoo.options.run import RunOptions
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.training.objective.cross_entropy import cross_entropy
from zoo_makemore.bow import causal_average
from zoo_makemore.ngram import NGram
from zoo_makemore.packing import Packing
from zoo_makemore.rotary import rotate, rotations
from zoo_makemore.transformer import Attention, Transformer

SPECS = {spec.name: spec for spec in zoo_makemore.zoo_models()}
NAMES = list(SPECS)
TRAINED = [name for name in NAMES if name != "ngram"]
SEQUENCES = [name for name in NAMES if SPECS[name].reads == "sequences"]
SMALL: dict[str, dict[str, object]] = {
    "ngram": {},
    "bigram": {},
    "bow": {"n_embd": 8, "n_embd2": 8},
    "mlp": {"n_embd": 4, "n_embd2": 8},
    "mlp-bn": {"n_hidden": 8},
    "wavenet": {"n_embd": 4, "n_hidden": 8},
    "rnn": {"n_embd": 4, "n_embd2": 8},
    "gru": {"n_embd": 4, "n_embd2": 8},
    "lstm": {"n_embd": 4, "n_embd2": 8},
    "transformer": {"n_embd": 8, "n_head": 2, "n_layer": 2},
}
DROPPING = ["bow", "mlp", "wavenet", "rnn", "gru", "lstm", "transformer"]
ALPHABETS = {
    "accents": "zoé léa noël chloé façade àngel über straße île œuvre ñandú señor aïda björk zoë",
    "cyrillic": "анна ольга ирина юлия мария дарья елена софия вера нина алла жанна яна зоя эмма",
    "japanese": "さくら はな ゆい 陽菜 結衣 葵 凛 美咲 七海 優奈 ユキ アヤ 真央 千夏 花",
}


def settings(name: str, **more: object) -> dict[str, object]:
    return {f"model.{key}": value for key, value in {**SMALL[name], **more}.items()}


def small(name: str, vocab_size: int = 6, max_length: int = 7, **more: object) -> nn.Module:
    given: dict[str, Any] = {
        "vocab_size": vocab_size,
        **({"max_length": max_length} if name in ("bow", "mlp", "transformer") else {}),
    }
    return zoo.create_model(name, **{**SMALL[name], **given, **more}).eval()


def some(name: str, batch: int = 5, vocab_size: int = 6) -> Tensor:
    """Inputs as the model is served them."""
    length = getattr(small(name), "context_length", 7)
    x = torch.randint(1, vocab_size, (batch, length), generator=torch.Generator().manual_seed(3))
    x[:, 0] = 0
    return x


Train = Callable[..., Any]


@pytest.fixture
def train(words_file: Path, tmp_path: Path) -> Train:
    """`train("gru", 5, "a", dropout=0.2)`: a run of 5 steps in folder `a`."""

    def run(name: str, steps: int, folder: str, dataset: Path = words_file, **more: object) -> Run:
        return zoo.run(
            name,
            dataset=dataset,
            device="cpu",
            steps=steps,
            batch_size=8,
            out=tmp_path / folder,
            plots=False,
            settings=settings(name, **more),
        )

    return run


# All of them


def test_every_model_is_tested_here() -> None:
    assert list(SMALL) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_model_conforms(name: str, words_file: Path) -> None:
    zoo.testing.check_model(name, dataset=words_file)


@pytest.mark.parametrize("name", NAMES)
def test_spec_says_what_it_is_and_how_it_is_trained(name: str) -> None:
    spec = SPECS[name]
    assert (spec.dataset, spec.batch_size) == ("names", 32)
    assert next(iter(spec.presets)) == "makemore"
    assert spec.references
    assert len(spec.summary) <= 60


@pytest.mark.parametrize("name", ["bow", "mlp", "rnn", "gru", "lstm", "transformer"])
def test_makemores_models_are_trained_as_makemore_trains_them(name: str, registry: Registry) -> None:
    plan = make_plan(registry, RunOptions(name, dataset="names-ssa-2018"))
    assert (plan.optimizer.spec.name, plan.lr, plan.steps) == ("adamw", 5e-4, 20_000)
    assert (plan.optimizer_settings["betas"], plan.optimizer_settings["weight_decay"]) == ((0.9, 0.99), 0.01)


def test_the_preset_for_running_text_has_nanogpts_sizes_and_steps(registry: Registry, words_file: Path) -> None:
    plan = make_plan(registry, RunOptions("transformer", preset="shakespeare", dataset=words_file))
    assert (plan.optimizer.spec.name, plan.steps, plan.batch_size, plan.options.clip_norm) == ("adamw", 2_000, 12, 1.0)
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 128, "max_length": 64, "dropout": 0.0}
    assert {name: plan.model_settings[name] for name in sizes} == sizes
    assert plan.data_settings == {"format": "text", "split": (0.9, 1.0)}


@pytest.mark.parametrize("preset", ["shakespeare", "shakespeare-tuned"])
def test_presets_for_running_text_train(preset: str, tmp_path: Path) -> None:
    text = tmp_path / "play.txt"
    text.write_text("To be, or not to be: that is\nthe question.\n" * 12)
    small: dict[str, object] = {"model.n_embd": 8, "model.n_head": 2, "model.n_layer": 1, "model.max_length": 8}
    run = zoo.run("transformer", dataset=text, preset=preset, precision="float32", settings=small, steps=200,
                  device="cpu", out=tmp_path / "run", plots=False)  # fmt: skip
    assert run.config["dataset"]["kind"] == "corpus"
    assert run.losses.keys() == {"train", "val"}
    assert run.step_losses[-1] < run.step_losses[0] - 0.5


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bigram", 729),
        ("mlp-bn", 12_097),
        ("wavenet", 76_579),
        ("bow", 12_827),
        ("mlp", 69_147),
        ("rnn", 11_867),
        ("gru", 28_507),
        ("lstm", 36_891),
        ("transformer", 204_544),
    ],
)
def test_the_nets_have_as_many_parameters_as_theirs(name: str, parameters: int) -> None:
    """The lectures print 12,097 and 76,579, and makemore 204,544; torch's cells have a second bias for each gate."""
    assert sum(p.numel() for p in zoo.create_model(name).parameters()) == parameters


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_from_the_seed_alone(name: str) -> None:
    def weights(seed: int) -> Tensor:
        return torch.cat([t.flatten().double() for t in zoo.create_model(name, init_seed=seed).state_dict().values()])

    assert torch.equal(weights(1), weights(1))
    assert torch.equal(weights(1), weights(2)) == (name in ("ngram", "bigram"))


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "bigram"])
def test_weights_are_drawn_from_the_generator_that_is_given(name: str, registry: Registry) -> None:
    factory = registry.models.get(name).factory()
    before = torch.get_rng_state()
    one, two = (factory(generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert all(p.isfinite().all() and p.abs().max() < 10 for p in one.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_at_the_start_no_character_is_much_likelier(name: str) -> None:
    model = zoo.create_model(name, vocab_size=27).eval()
    x = torch.randint(0, 27, (64, getattr(model, "context_length", 16)), generator=torch.Generator().manual_seed(5))
    logits = model(x).detach()
    uniform = cross_entropy(logits, torch.randint(0, 27, logits.shape[:-1], generator=torch.Generator().manual_seed(6)))
    assert math.log(27) - 0.05 < uniform < math.log(27) + 1.2


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_one_for_each_character(name: str) -> None:
    x = some(name)
    shape = (5, 7, 6) if name in SEQUENCES else (5, 6)
    assert small(name)(x).shape == shape
    assert small(name)(x[:1]).shape == (1, *shape[1:])


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_a_batch_do_not_see_each_other(name: str) -> None:
    model, x = small(name), some(name)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("place", [1, 3, 6])
def test_what_comes_later_never_changes_what_was_said_before(name: str, place: int) -> None:
    model, x = small(name), some(name)
    other = x.clone()
    other[:, place:] = x[:, place:] % 5 + 1
    assert torch.equal(model(x)[:, :place], model(other)[:, :place])
    assert not torch.equal(model(x)[:, place:], model(other)[:, place:])


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_word_that_has_only_begun_is_told_the_same(name: str) -> None:
    """That is how a model is sampled."""
    model, x = small(name), some(name)
    for length in (1, 2, 6):
        torch.testing.assert_close(model(x[:, :length]), model(x)[:, :length], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_character_so_far_counts(name: str) -> None:
    model, x = small(name), some(name)
    other = x.clone()
    other[:, 0] = (x[:, 0] + 1) % 6
    assert (model(x) != model(other)).any(dim=2).all()


@pytest.mark.parametrize("name", TRAINED)
def test_it_learns(name: str, words_file: Path, tmp_path: Path) -> None:
    """The 60 words have three letters each, of five: the best there is comes to some 1.2 nats."""
    run = zoo.run(name, dataset=words_file, device="cpu", steps=300, lr=0.01 if name in SEQUENCES else 0.1,
                  optimizer="adamw" if name in SEQUENCES else "sgd-momentum",
                  out=tmp_path / "run", plots=False, settings=settings(name))  # fmt: skip
    assert run.losses["train"] < (1.65 if name == "bigram" else 1.3)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_resumed_has_the_bytes_of_one_that_never_stopped(name: str, train: Train) -> None:
    more = {"dropout": 0.3} if name in DROPPING else {}
    full, half = train(name, 6, "full", **more), train(name, 3, "half", **more)
    resumed = zoo.resume(half.path, steps=6, plots=False)
    assert resumed.step_losses == full.step_losses
    for file in ("model.safetensors", "training_state.safetensors", "losses.csv"):
        assert (resumed.path / file).read_bytes() == (full.path / file).read_bytes(), file


@pytest.mark.parametrize("name", NAMES)
def test_saved_reloaded_sampled_and_evaluated(name: str, train: Train, zoo_here: Zoo) -> None:
    run = train(name, 4, "run")
    model = zoo.load(run.path).model
    x = some(name, vocab_size=6)[:, :4]
    x = x if name in SEQUENCES else some(name)
    assert torch.equal(model(x), run.model.eval()(x))
    samples = zoo_here("sample", run.path, "-n", 5, "--prefix", "ab", "--json").result["samples"]
    assert len(samples) == 5
    assert all(str(sample).find("ab") >= 0 for sample in samples)
    losses = zoo_here("eval", run.path, "--json").result["losses"]
    assert losses == pytest.approx(run.losses, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alphabet", list(ALPHABETS))
def test_words_may_be_in_any_alphabet(name: str, alphabet: str, train: Train, tmp_path: Path) -> None:
    words = ALPHABETS[alphabet].split()
    path = tmp_path / "other.txt"
    path.write_text("\n".join(words), "utf-8")
    run = train(name, 2, alphabet, dataset=path)
    samples = zoo.load(run.path).sample(3, seed=1)
    assert set("".join(samples)) <= set("".join(words))


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_is_for_training_alone(name: str) -> None:
    model, x = small(name, dropout=0.5), some(name)
    assert torch.equal(model(x), small(name)(x))
    model.train()
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(model(x), model(x))


def test_none_needs_torchs_compiler_to_be_made_or_to_speak() -> None:
    """It takes longer to import than torch itself."""
    code = (
        "import sys, torch, zoo\n"
        f"for name in {NAMES}:\n"
        "    print(zoo.load(name).sample(2, seed=1))\n"
        "    heavy = {'torch._dynamo', 'sympy'} & sys.modules.keys()\n"
        "    assert not heavy, (name, heavy)"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == len(NAMES)


# What they refuse


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("transformer", "n_head=5", "n_head must divide n_embd, got 5 and 64"),
        ("transformer", "n_layer=0", "n_layer must be at least 1, got 0"),
        ("transformer", "dropout=1", "dropout must be from 0 to below 1, got 1.0"),
        ("bow", "n_embd2=0", "n_embd2 must be at least 1, got 0"),
        ("mlp", "n_embd=-1", "n_embd must be at least 1, got -1"),
        ("mlp-bn", "context_length=0", "context_length must be at least 1, got 0"),
        ("mlp-bn", "momentum=0", "momentum must be above 0 and at most 1, got 0.0"),
        ("wavenet", "context_length=6", "context_length must be a power of 2, from 2, got 6"),
        ("wavenet", "context_length=1", "context_length must be a power of 2, from 2, got 1"),
        ("wavenet", "momentum=2", "momentum must be above 0 and at most 1, got 2.0"),
        ("gru", "dropout=-0.5", "dropout must be from 0 to below 1, got -0.5"),
        ("lstm", "n_layer=0", "n_layer must be at least 1, got 0"),
        ("lstm", "ensemble_size=0", "ensemble_size must be at least 1, got 0"),
        ("rnn", "n_layers=2", "has no setting 'model.n_layers'; did you mean"),
    ],
)
def test_a_wrong_setting_is_one_line(name: str, setting: str, said: str, words_file: Path, zoo_here: Zoo) -> None:
    done = zoo_here("run", name, "--dataset", words_file, "--set", f"model.{setting}", "--steps", 1)
    assert done.code == 2
    assert f"model {name!r}" in done.err
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_data_that_is_not_text_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    def blobs() -> zoo.TensorDataset:
        part = (torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
        return zoo.TensorDataset(part, part, part)

    registry.datasets = type(registry.datasets)("dataset")
    registry.datasets.add(Entry(zoo.DatasetSpec("blobs", blobs), Plugin("blobs", "zoo-blobs", "1.0")))
    monkeypatch.setattr("zoo.api.load_plugins", lambda: (registry, []))
    with pytest.raises(zoo.UsageError, match=f"model '{name}' reads text, and this dataset is not text"):
        zoo.run(name, dataset="blobs", device="cpu", steps=1)


@pytest.mark.parametrize("name", ["mlp-bn", "wavenet"])
def test_batch_norm_of_one_example_is_one_line(name: str, words_file: Path, zoo_here: Zoo) -> None:
    done = zoo_here("run", name, "--dataset", words_file, "--batch-size", 1, "--steps", 1, "--no-plots")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "more than one example in a batch: give a larger batch size" in done.err


# Their formulas


def test_causal_average_is_the_mean_of_what_was_so_far() -> None:
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    for t in range(5):
        torch.testing.assert_close(causal_average(x)[:, t], x[:, : t + 1].mean(1))


def test_bow_is_its_formula() -> None:
    model, x = small("bow"), some("bow")
    p = model.state_dict()
    h = p["wte.weight"][x] + p["wpe"][0, :7]
    h = h + torch.stack([h[:, : t + 1].mean(1) for t in range(7)], 1)
    h = h + torch.tanh(h @ p["c_fc.weight"].T + p["c_fc.bias"]) @ p["c_proj.weight"].T + p["c_proj.bias"]
    torch.testing.assert_close(model(x), h @ p["lm_head.weight"].T + p["lm_head.bias"])


def test_mlp_is_its_formula() -> None:
    """As makemore does it: shifted copies of the text, whose missing places are blank."""
    model, x = small("mlp"), some("mlp")
    p = model.state_dict()
    shifted = []
    for back in range(6, -1, -1):
        blanks = torch.full((5, back), 6)
        shifted.append(p["wte.weight"][torch.cat([blanks, x[:, : 7 - back]], 1)])
    h = torch.tanh(torch.cat(shifted, 2) @ p["hidden.weight"].T + p["hidden.bias"])
    torch.testing.assert_close(model(x), h @ p["lm_head.weight"].T + p["lm_head.bias"])


def test_attention_is_its_formula() -> None:
    attention = Attention(6, 2, torch.Generator().manual_seed(1))
    attention.c_attn.weight.data.mul_(50)  # else all positions are attended to alike
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(2))
    q, k, v = torch.split(x @ attention.c_attn.weight.T, 6, dim=2)
    heads = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        rows = []
        for t in range(4):
            scores = (q[:, t, None, part] * k[:, : t + 1, part]).sum(2) / math.sqrt(3)
            rows.append((scores.softmax(1)[:, :, None] * v[:, : t + 1, part]).sum(1))
        heads.append(torch.stack(rows, 1))
    wanted = torch.cat(heads, 2) @ attention.c_proj.weight.T
    words = torch.ones(3, 4, dtype=torch.int64)  # no padding
    torch.testing.assert_close(attention(x.flatten(0, 1), Packing(words)).view(3, 4, 6), wanted)


def test_rotated_queries_and_keys_meet_at_their_distance() -> None:
    """Their product is that of the plain ones with only the key turned, and by the distance of their positions."""
    q, k = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    by = rotations(9, 6, torch.device("cpu"))
    torch.testing.assert_close(by[0], torch.ones(3, dtype=torch.complex64))
    torch.testing.assert_close(by[5, 1], torch.polar(torch.tensor(1.0), torch.tensor(5 * 10_000 ** (-1 / 3))))
    for at, other in ((3, 1), (8, 6), (2, 0)):
        product = rotate(q[None], by[at, None]) @ rotate(k[None], by[other, None]).T
        wanted = rotate(q[None], by[at - other, None]) @ k[None].T
        torch.testing.assert_close(product, wanted, rtol=1e-4, atol=1e-5)


def test_rotary_attention_is_its_formula() -> None:
    attention = Attention(8, 2, torch.Generator().manual_seed(1), rotary=True)
    attention.c_attn.weight.data.mul_(50)  # else all positions are attended to alike
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(2))
    q, k, v = torch.split(x @ attention.c_attn.weight.T, 8, dim=2)
    by, heads = rotations(5, 4, x.device), []
    for part in (slice(4), slice(4, 8)):
        scores = rotate(q[..., part], by) @ rotate(k[..., part], by).transpose(1, 2) / 2
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(2) @ v[..., part])
    wanted = torch.cat(heads, 2) @ attention.c_proj.weight.T
    blocks = torch.ones(3, 5, dtype=torch.int64)  # no padding
    torch.testing.assert_close(attention(x.flatten(0, 1), Packing(blocks)).view(3, 5, 8), wanted)


def test_a_head_to_rotate_has_pairs_of_dimensions() -> None:
    with pytest.raises(ValueError, match="rotary needs an even n_embd / n_head, got 3"):
        Transformer(n_embd=12, n_head=4, rotary=True)


def test_rotary_positions_replace_the_learned_ones() -> None:
    net, x = small("transformer", rotary=True, bias=False), some("transformer")
    assert "wpe" not in net.state_dict()
    assert not [name for name in net.state_dict() if name.endswith("bias")]
    swapped = x.clone()
    swapped[:, 1:3] = x[:, [2, 1]]
    assert not torch.allclose(net(x)[:, 3], net(swapped)[:, 3])  # else the order of characters would not count
    torch.testing.assert_close(net(x[:, :4]), net(x)[:, :4], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"rotary": True}])
def test_attention_in_bfloat16_is_computed_in_float32_on_the_cpu(settings: dict[str, Any]) -> None:
    net, x = small("transformer", **settings), some("transformer")
    seen: list[torch.dtype] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def recorded(q: Tensor, k: Tensor, v: Tensor, **more: Any) -> Tensor:
        out = attend(q, k, v, **more)
        seen.append(out.dtype)
        return out

    with pytest.MonkeyPatch.context() as patched, torch.autocast("cpu", torch.bfloat16):
        patched.setattr("torch.nn.functional.scaled_dot_product_attention", recorded)
        logits = net(x)
    assert seen == [torch.float32, torch.float32]
    torch.testing.assert_close(logits.float(), net(x), rtol=0.1, atol=0.1)


def test_bigram_is_a_table() -> None:
    model = zoo.create_model("bigram", vocab_size=4)
    with torch.no_grad():
        model.get_parameter("logits").copy_(torch.arange(16).view(4, 4))
    assert model(torch.tensor([[2], [0]])).tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_cells_go_along_the_word_from_a_state_that_is_learned(name: str) -> None:
    model, x = small(name, n_layer=2), some(name)
    with torch.no_grad():
        start = model.get_parameter("start")
        start.copy_(torch.randn(start.shape, generator=torch.Generator().manual_seed(1)))
    state: Any = [part[:, None].expand(-1, 5, -1).contiguous() for part in start]
    state, logits = tuple(state) if name == "lstm" else state[0], []
    rnn, wte, lm_head = (model.get_submodule(part) for part in ("rnn", "wte", "lm_head"))
    for t in range(7):
        out, state = rnn(wte(x[:, t : t + 1]), state)
        logits.append(lm_head(out))
    torch.testing.assert_close(model(x), torch.cat(logits, 1))
    model(x).sum().backward()
    assert start.grad is not None
    assert start.grad.abs().min() > 0


def nets_of(model: nn.Module) -> list[nn.Module]:
    """The nets of an ensemble, each as a model of its own."""
    alone = small("gru")
    states = [model.state_dict()] + [net.state_dict() for net in model.get_submodule("others").children()]
    nets = [small("gru") for _ in states]
    for net, state in zip(nets, states, strict=True):
        net.load_state_dict({name: state[name] for name in alone.state_dict()})
    return nets


def test_nets_side_by_side_are_averaged() -> None:
    model, x = small("gru", ensemble_size=3), some("gru")
    each = torch.stack([net(x).softmax(-1) for net in nets_of(model)])
    assert (each[0] - each[1]).abs().max() > 1e-4  # they begin apart
    torch.testing.assert_close(model(x).exp(), each.mean(0))


@pytest.mark.parametrize("words", [7, 2])
def test_each_net_learns_from_a_part_of_the_batch_of_its_own(words: int) -> None:
    model, x = small("gru", ensemble_size=3).train(), some("gru", words)
    parts = [part for part in x.tensor_split(3) if len(part)]
    alone = [net(part) for net, part in zip(nets_of(model), parts, strict=False)]
    torch.testing.assert_close(model(x), torch.cat(alone))
    model(x)[: len(parts[0])].sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()} == {
        name for name in model.state_dict() if not name.startswith("others.")
    }


def test_the_first_of_many_nets_is_the_one_that_would_be_alone() -> None:
    alone, model = small("lstm").state_dict(), small("lstm", ensemble_size=2).state_dict()
    assert all(torch.equal(model[name], tensor) for name, tensor in alone.items())
    assert len(model) == 2 * len(alone)


def test_nets_side_by_side_are_trained_kept_and_gone_on_with_as_one(words_file: Path, zoo_here: Zoo) -> None:
    options: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False, "batch_size": 7}
    options["settings"] = settings("lstm", ensemble_size=3, dropout=0.2)
    full = zoo.run("lstm", steps=23, out="full", **options)
    zoo.run("lstm", steps=9, out="parts", **options)
    zoo.resume("parts", steps=23, plots=False)
    name = "model.safetensors"
    assert Path("full", name).read_bytes() == Path("parts", name).read_bytes()
    assert zoo_here("eval", "full", "--json").result["losses"] == full.losses
    assert len(zoo_here("sample", "full", "-n", 3, "--json").result["samples"]) == 3
    assert zoo_here("plot", "full", "embeddings").code == 0


def test_batch_norm_is_the_lectures() -> None:
    model = small("mlp-bn").train()
    x = some("mlp-bn", 9)
    p = model.state_dict()
    h = p["C"][x].view(9, -1) @ p["W1"]
    h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(model(x), torch.tanh(h) @ p["W2"] + p["b2"])
    running = 0.01 * (p["C"][x].view(9, -1) @ p["W1"]).mean(0)
    torch.testing.assert_close(model.get_buffer("bn.running_mean"), running)


def test_wavenet_joins_neighbours() -> None:
    """In a tree of 8 leaves with the identity for a net, pairs are as in the lecture."""
    model, x = small("wavenet"), some("wavenet")
    h = model.get_submodule("wte")(x)
    for layer in model.get_submodule("layers").children():
        pairs = torch.stack([torch.cat([h[:, i], h[:, i + 1]], 1) for i in range(0, h.shape[1], 2)], 1)
        h = torch.tanh(layer.bn(layer.linear(pairs)))  # type: ignore[operator]
    torch.testing.assert_close(model(x), model.get_submodule("lm_head")(h[:, 0]))


# Counts


def fitted(words: Iterable[str], context_length: int, **more: Any) -> tuple[NGram, TextDataset]:
    dataset = TextDataset(list(words))
    model = NGram(len(dataset.vocabulary), context_length, **more)
    examples = encode_windows(dataset.words, dataset.vocabulary, context_length)
    model.fit(examples.x, examples.y)
    return model, dataset


def test_counts_are_made_on_the_cpu_wherever_the_data_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, sums of fractions would be added in no fixed order."""
    seen: list[str] = []
    tables = NGram._tables

    def noted(self: NGram, x: Tensor, y: Tensor) -> Any:
        seen.extend((x.device.type, y.device.type))
        return tables(self, torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))

    monkeypatch.setattr(NGram, "_tables", noted)
    monkeypatch.setattr(Tensor, "cpu", lambda self: torch.empty(self.shape, dtype=self.dtype))  # meta has no values
    model = NGram(6, 2)
    model.fit(torch.zeros(3, 2, dtype=torch.int64, device="meta"), torch.zeros(3, dtype=torch.int64, device="meta"))
    assert seen == ["cpu", "cpu"]
    assert (model.keys.device.type, model.counts.device.type) == ("meta", "meta")


def expected(
    words: list[str], context: str, letters: str, longest: int, discount: float = 0.6, strength: float = 2.0
) -> list[float]:
    """The probabilities after `context`, by the definition, on strings. `context` has one `.` at most, at its start."""
    counts: dict[int, Counter[str]] = {n: Counter() for n in range(longest + 1)}
    for word in words:
        text = f".{word}."
        for end in range(1, len(text)):
            for n in range(longest + 1):
                if n <= end:
                    counts[n][text[end - n : end + 1]] += 1
    shared: dict[int, dict[str, float]] = {longest: dict(counts[longest])}
    for n in range(longest - 1, -1, -1):
        shared[n] = {}
        for gram, count in counts[n].items():
            longer = [g for g in shared[n + 1] if g[1:] == gram]
            begins = n and gram[0] == "."
            shared[n][gram] = count if begins else sum(shared[n + 1][g] ** discount for g in longer)
    p = [1 / len(letters)] * len(letters)
    for n in range(len(context) + 1):
        here = [shared[n].get(context[len(context) - n :] + letter, 0.0) for letter in letters]
        aside = [discount * c**discount if c else 0.0 for c in here]
        rest = strength + sum(aside)
        p = [(c - a + rest * q) / (strength + sum(here)) for c, a, q in zip(here, aside, p, strict=True)]
    return p


WORDS = ["anna", "hanna", "nana", "ana", "banana", "bab", "abba", "anab", "hab", "nab", "bana", "aba"]


@pytest.mark.parametrize("context", ["an", "na", "bb", ".a", ".b", "hh"])
@pytest.mark.parametrize(("discount", "strength"), [(0.6, 2.0), (0.3, 0.5)])
def test_counts_are_mixed_as_defined(context: str, discount: float, strength: float) -> None:
    model, dataset = fitted(WORDS, 2, discount=discount, strength=strength)
    stoi = {letter: i for i, letter in enumerate(dataset.vocabulary)}
    got = model(torch.tensor([[stoi[c] for c in context]])).exp()[0]
    wanted = expected(WORDS, context, "".join(dataset.vocabulary), 2, discount, strength)
    assert got.tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("start", [".", ".a", ".ba", ".han", "anan"])
def test_a_words_start_is_a_context_of_its_own_length(start: str) -> None:
    model, dataset = fitted(WORDS, 4)
    stoi = {letter: i for i, letter in enumerate(dataset.vocabulary)}
    got = model(torch.tensor([[stoi[c] for c in start.rjust(4, ".")]])).exp()[0]
    wanted = expected(WORDS, start, "".join(dataset.vocabulary), 4)
    assert got.tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("context_length", [1, 3, 5])
def test_probabilities_sum_to_one_everywhere(context_length: int) -> None:
    model, _ = fitted(WORDS, context_length)
    x = torch.randint(0, 5, (200, context_length), generator=torch.Generator().manual_seed(1))
    p = model(x).exp()
    assert (p > 0).all()
    torch.testing.assert_close(p.sum(1), torch.ones(200))


def test_before_fitting_all_characters_are_as_likely() -> None:
    assert NGram(5, 2)(torch.zeros(3, 2, dtype=torch.int64)).exp().tolist() == [[pytest.approx(0.2)] * 5] * 3


def test_tables_are_sorted_and_have_no_gram_twice() -> None:
    model, _ = fitted(WORDS, 3)
    assert (model.keys.diff() > 0).all()
    assert (model.counts >= 1).all()


def test_tables_are_all_its_state_and_load_into_a_new_one() -> None:
    model, _ = fitted(WORDS, 3)
    other = NGram(model.vocab_size, 3, fitted_size=len(model.keys))
    other.load_state_dict(model.state_dict())
    x = torch.randint(0, 5, (50, 3), generator=torch.Generator().manual_seed(1))
    assert list(model.state_dict()) == ["keys", "counts"]
    assert torch.equal(model(x), other(x))


@pytest.mark.parametrize(("context_length", "dtype"), [(2, torch.int32), (14, torch.int64)])
def test_numbers_are_as_small_as_will_do(context_length: int, dtype: torch.dtype) -> None:
    model, dataset = fitted(WORDS, context_length)
    assert model.keys.dtype == NGram(model.vocab_size, context_length).keys.dtype == dtype
    examples = encode_windows(dataset.words, dataset.vocabulary, context_length)
    assert cross_entropy(model(examples.x.long()), examples.y.long()) < 1.5


def test_fitting_again_forgets_what_was() -> None:
    model, dataset = fitted(WORDS, 2)
    once = model.state_dict()["counts"].clone()
    examples = encode_windows(dataset.words, dataset.vocabulary, 2)
    model.fit(examples.x, examples.y)
    assert torch.equal(model.counts, once)


@pytest.mark.parametrize("spoil", [lambda keys: keys.flip(0), lambda keys: keys + 10**6, lambda keys: -keys])
def test_tables_that_are_no_tables_are_not_read_beyond_their_end(spoil: Callable[[Tensor], Tensor]) -> None:
    model, _ = fitted(WORDS, 2)
    model.keys = spoil(model.keys)
    assert model(torch.zeros(1, 2, dtype=torch.int64)).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"discount": 0.0}, "discount must be between 0 and 1, got 0.0"),
        ({"discount": 1.0}, "discount must be between 0 and 1, got 1.0"),
        ({"strength": 0.0}, "strength must be above 0, got 0.0"),
        ({"context_length": 0}, "context_length must be at least 1, got 0"),
        ({"vocab_size": 3000}, "context_length 5 is too long for 3000 characters"),
    ],
)
def test_counts_refuse_what_makes_no_sense(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NGram(**arguments)


@pytest.mark.parametrize(("context_length", "goal"), [(3, 2.065), (5, 1.985)])
def test_counts_reach_the_goal_on_the_lectures_names(names_txt: Path, context_length: int, goal: float) -> None:
    dataset = TextDataset.from_file(names_txt).arranged(split=None, shuffle_seed=42)
    train, val = (
        encode_windows(dataset.splits[split], dataset.vocabulary, context_length) for split in ("train", "val")
    )
    model = NGram(len(dataset.vocabulary), context_length)
    model.fit(train.x, train.y)
    assert cross_entropy(model(val.x.long()), val.y.long()) <= goal
