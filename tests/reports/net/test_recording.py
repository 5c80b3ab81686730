"""Programs of nets: what is recorded for one input computes what torch does for others, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
import zoo_lecture
import zoo_makemore
from zoo.reports.net import lowering, offer, recording
from zoo.reports.net.offer import Recorded
from zoo.reports.net.program import Constants, GuardError
from zoo.reports.net.recording import record
from zoo.reports.net.tracing import UnsupportedError

Function = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """A net of a function, or of what a list of statements has changed."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def given(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


TABLE, MATRIX, ROW = given(5, 3), given(4, 6), given(4)
INDEX = torch.tensor([2, 0, -1])
FUNCTIONS: dict[str, Function] = {
    "abs": torch.abs,
    "add": lambda x: torch.add(x, ROW, alpha=2),
    "addbmm": lambda x: torch.baddbmm(x[:, None], x[:, :, None], x[:, None], beta=0.5, alpha=2),
    "addcdiv": lambda x: torch.addcdiv(x, x, ROW, value=0.5),
    "addcmul": lambda x: torch.addcmul(x, x, ROW, value=0.5),
    "addmm": lambda x: torch.addmm(given(6), x, MATRIX, beta=2, alpha=0.5),
    "addmm without bias": lambda x: torch.addmm(given(6), x, MATRIX, beta=0),
    "aminmax": lambda x: torch.stack(torch.aminmax(x, dim=1)),
    "amax": lambda x: x.amax((0, 1)),
    "amin": lambda x: x.amin(0, keepdim=True),
    "any": lambda x: (x > 1).any(1).float() + (x > 1).any().float(),
    "all": lambda x: (x > -1).all(1).float(),
    "argmax": lambda x: x.argmax(1) + x.argmax(),
    "argmin": lambda x: x.argmin(0, keepdim=True),
    "argsort": lambda x: x.argsort(1, descending=True),
    "argsort, stable": lambda x: torch.argsort(x, dim=0, stable=True),
    "atan2": lambda x: torch.atan2(x, ROW),
    "avg_pool2d": lambda x: F.avg_pool2d(x.expand(2, 3, 4)[None], 2, stride=1, padding=1, count_include_pad=False),
    "avg_pool2d, padding counted": lambda x: F.avg_pool2d(x.expand(2, 3, 4), (2, 3), padding=1),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x.repeat(3, 2)[None, None], (2, 3)),
    "batch_norm": lambda x: F.batch_norm(x, ROW, ROW.abs() + 0.5, given(4), given(4)),
    "batch_norm, plain": lambda x: F.batch_norm(x[:, :, None], ROW, ROW.abs() + 0.5),
    "bitwise": lambda x: (((x > 0) & (x < 1)) | ~(x > -1)).float() + ((x > 0) ^ (x > 1)).float(),
    "bmm": lambda x: torch.bmm(x[:, :, None], x[:, None]),
    "bucketize": lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0]), out_int32=True, right=True),
    "cat": lambda x: torch.cat([x, x.double(), x[:, :1]], 1),
    "ceil": torch.ceil,
    "clamp": lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.2) + x.clamp(ROW, ROW + 1),
    "clamp_max": lambda x: torch.clamp_max(x, 0.3),
    "comparisons": lambda x: sum((f(x, ROW).float() for f in (torch.eq, torch.ne, torch.lt, torch.ge)), x),
    "comparisons with numbers": lambda x: (x <= 0).float() + (x.long() > 0),
    "constant_pad": lambda x: F.pad(x, (1, -2, 0, 3), value=0.5),
    "conv1d": lambda x: F.conv1d(x[:, None], given(6, 1, 2), given(6), stride=2, padding=1),
    "conv2d": lambda x: F.conv2d(x.repeat(4, 2)[None, None].repeat(1, 4, 1, 1), given(8, 2, 3, 2), padding=1, groups=2),
    "conv2d, dilated": lambda x: F.conv2d(x.repeat(4, 2)[None, None], given(2, 1, 2, 2), stride=(2, 1), dilation=2),
    "copy": lambda x: torch.zeros(2, 4, dtype=torch.float64).copy_(x[0]),
    "cos": torch.cos,
    "cumsum": lambda x: x.cumsum(0) + x.cumsum(-1, dtype=torch.float64),
    "div": lambda x: x / ROW + x.div(2, rounding_mode="floor") + x.div(ROW, rounding_mode="trunc"),
    "div of whole numbers": lambda x: x.long() / 2,
    "dot": lambda x: torch.dot(x[0], ROW),
    "elu": lambda x: F.elu(x, 0.7) + F.selu(x) + F.celu(x, 0.5),
    "embedding_bag": lambda x: F.embedding_bag(x.abs().long() % 5, TABLE, mode="mean"),
    "embedding": lambda x: F.embedding(x.abs().long() % 5, TABLE),
    "erf": torch.erf,
    "erfc": torch.erfc,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "fill": lambda x: x.clone().fill_(2.0) + x.clone().fill_(x[0, 0]) + x.clone().zero_(),
    "flip": lambda x: x.flip(0, 1),
    "floor": torch.floor,
    "floor_divide": lambda x: torch.floor_divide(x, ROW),
    "fmod": lambda x: torch.fmod(x, ROW),
    "gather": lambda x: x.gather(1, x.abs().long()[:2, :3] % 4),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "glu": lambda x: x[:, :2] * x[:, 2:].sigmoid(),
    "group_norm": lambda x: F.group_norm(x[:, :, None], 2, ROW, given(4)),
    "hardswish": lambda x: F.hardswish(x) + F.hardsigmoid(x) + F.hardtanh(x) + F.relu6(x),
    "index, several": lambda x: x.expand(5, 3, 4)[INDEX, :, x[0, :3].abs().long() % 4],
    "index, in the middle": lambda x: x.expand(2, 3, 4)[:, INDEX[:, None], INDEX],
    "index of a constant": lambda x: MATRIX[x.long() % 4],
    "index_add": lambda x: x.index_add(0, INDEX.abs(), x[:3], alpha=2) if len(x) > 2 else x,
    "index_copy": lambda x: x.index_copy(1, INDEX.abs(), x[:, :3]),
    "index_put": lambda x: x.index_put((torch.tensor([0, -1]),), x[:2] * 2, accumulate=True),
    "index_put, several": lambda x: x.index_put((torch.tensor([0, 1]), torch.tensor([3, 3])), torch.tensor(5.0)),
    "index_select": lambda x: x.index_select(1, INDEX.abs()),
    "isnan": lambda x: torch.isnan(x.sqrt()).float() + torch.isinf(x.exp2()).float(),
    "layer_norm": lambda x: F.layer_norm(x, (4,), ROW, given(4)) + F.layer_norm(x, x.shape),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "lerp": lambda x: torch.lerp(x, ROW, 0.3) + torch.lerp(x, ROW, x),
    "log": lambda x: x.abs().log() + x.abs().log2() + x.abs().log10() + x.abs().log1p(),
    "log_sigmoid": F.logsigmoid,
    "log_softmax": lambda x: x.log_softmax(0),
    "logical": lambda x: (x.long().logical_and(ROW) ^ x.logical_or(ROW).logical_not()).logical_xor(x > 0).float(),
    "logsumexp": lambda x: x.logsumexp((0, 1)) + torch.full_like(x, -torch.inf).logsumexp(1).exp().sum(),
    "masked_fill": lambda x: x.masked_fill(x > 0, -torch.inf).masked_fill(x < 0, x[0, 0]),
    "max": lambda x: x.max() + x.max(1).values + x.min(1, keepdim=True).indices + torch.max(x, ROW).min(),
    "max_pool1d": lambda x: F.max_pool1d(x[None], 2, stride=1, padding=1),
    "max_pool2d": lambda x: F.max_pool2d(x.repeat(3, 2)[None, None], (3, 2), stride=2, ceil_mode=True),
    "maximum": lambda x: torch.maximum(x, ROW) - torch.minimum(x, ROW),
    "mean": lambda x: x.mean(0) + x.mean() + x.mean(1, keepdim=True, dtype=torch.float64),
    "mish": F.mish,
    "mm": lambda x: x @ MATRIX,
    "mv": lambda x: x @ ROW,
    "neg": lambda x: -x - (-x.long()),
    "norm": lambda x: x.norm(dim=1) + x.norm(1) + torch.linalg.vector_norm(x, torch.inf),
    "one_hot": lambda x: F.one_hot(x.abs().long() % 5, 5),
    "pow": lambda x: x.abs() ** 1.5 + x**2 + 2.0**x + x.abs() ** x + x.square(),
    "prelu": lambda x: F.prelu(x, ROW) + F.prelu(x, torch.tensor([0.2])),
    "prod": lambda x: x.prod(1) + x.prod(),
    "reciprocal": torch.reciprocal,
    "relu": torch.relu,
    "remainder": lambda x: x % 0.7 + (x.long() % 3),
    "repeat": lambda x: x.repeat(2, 1, 3),
    "repeat_interleave": lambda x: x[:, :, None].expand(-1, -1, 2).flatten(1),
    "roll": lambda x: x.roll((1, -1), (0, 1)) + x.roll(2),
    "round": lambda x: (x * 2).round() / 2,
    "rsqrt": lambda x: x.abs().rsqrt(),
    "rsub": lambda x: torch.rsub(x, 2.0, alpha=3),
    "scatter": lambda x: x.scatter(1, x.abs().long()[:, :2] % 4, x[:, :2]),
    "scatter_add": lambda x: x.scatter_add(1, x.abs().long() % 4, x) + x.scatter(1, x.abs().long()[:, :1] % 4, 2.0),
    "searchsorted": lambda x: torch.searchsorted(torch.tensor([-1.0, 0.0, 0.5]), x),
    "shapes": lambda x: torch.zeros_like(x) + torch.ones_like(x) + x.new_full((4,), 2.0) + x.new_zeros(4),
    "sigmoid": torch.sigmoid,
    "sign": lambda x: x.sign() + x.sgn() + x.long().sign(),
    "silu": F.silu,
    "sin": torch.sin,
    "softmax": lambda x: x.softmax(1) + F.softmax(x, 0, dtype=torch.float64) + F.softmin(x, 1),
    "softplus": lambda x: F.softplus(40 * x) + F.softplus(x, beta=2),
    "sort": lambda x: x.sort(1).values + x.sort(0, descending=True).indices,
    "sqrt": lambda x: x.abs().sqrt(),
    "stack": lambda x: torch.stack([x, ROW.expand(x.shape)], -1),
    "std": lambda x: x.std(1) + x.std(1, correction=0),
    "strided": lambda x: x.T[1:, ::2] + x.unfold(1, 2, 1).sum((1, 2))[0] + torch.diagonal(x)[None, :1],
    "sub": lambda x: torch.sub(x, ROW, alpha=2),
    "sum": lambda x: x.sum() + x.sum(1, keepdim=True) + (x > 0).sum(0),
    "tan": torch.tan,
    "tanh": torch.tanh,
    "to": lambda x: x.double() + x.int() + x.bool() + x.to(torch.uint8).float(),
    "topk": lambda x: x.topk(2, 1).values + x.topk(1, 0, largest=False).values[:, :2],
    "tril": lambda x: x.tril() - x.triu(1),
    "trunc": torch.trunc,
    "unbind": lambda x: x.unbind(1)[1] * x.chunk(2, 1)[0][:, 0] + x.tensor_split([1], 1)[1][:, 2],
    "var": lambda x: x.var(0, keepdim=True) + x.var() + torch.var_mean(x, 1)[0][0],
    "where": lambda x: torch.where(x > 0, x, ROW) + torch.where(x.bool(), 1.0, x),
    "one_hot, as a method": lambda x: F.one_hot(x.abs().long() % 5, num_classes=6) * x[:, :, None],
    "complex": lambda x: torch.view_as_real(torch.view_as_complex(x.view(-1, 2, 2)) * torch.polar(ROW[:2], ROW[2:])),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True),
    "attention, all masked": lambda x: F.scaled_dot_product_attention(x, x, x, torch.eye(3) > 2) + x,
    "bilinear": lambda x: torch.einsum("ij,kj,kl->il", x, x, MATRIX[:3]),
    "normalize": lambda x: F.normalize(x) + F.cosine_similarity(x, ROW[None])[:, None],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_operation_is_that_of_torch(name: str) -> None:
    """For inputs that are not those of the recording, also with zeros, infinities and NaN."""
    program = record(Net(FUNCTIONS[name]), given(3, 4), Constants())
    for x in (3 * given(3, 4) + 1, torch.tensor([[0.0, -0.0, 1.0, torch.nan]] * 3), given(3, 4) * 1e5):
        wanted = FUNCTIONS[name](x.clone())
        found = program.run(x)
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_every_operation_that_is_known_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def lower(tracer: Any, name: str, *given: Any) -> Any:
        seen.add(name)
        return lowering.lower(tracer, name, *given)

    monkeypatch.setattr(recording, "lower", lower)
    for function in FUNCTIONS.values():
        record(Net(function), given(3, 4), Constants())
    with torch.random.fork_rng(devices=[]):
        for layer in LAYERS.values():
            record(*layer(), Constants())
    assert lowering.LOWERINGS.keys() - seen <= {
        "contiguous",  # arrive as others in this version of torch
        "_embedding_bag",
        "_index_put_impl",
        "native_batch_norm",
        "_native_batch_norm_legit_no_training",
    }


def encoder() -> tuple[nn.Module, Tensor]:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), given(1, 5, 8)


class First(nn.Module):
    """The first result of a layer that is given its input so many times."""

    def __init__(self, layer: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.layer(*[x] * self.times)[0]
        return first


class Packed(nn.Module):
    """A recurrent net of packed words."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 3, 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x[:, :, 0] != 0).sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states: Tensor = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]
        return states


LAYERS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "encoder": encoder,
    "packed": lambda: (Packed(), given(1, 5, 4)),
    "lstm": lambda: (First(nn.LSTM(4, 3, 2)), given(5, 1, 4)),
    "rnn": lambda: (First(nn.RNN(4, 3, nonlinearity="relu")), given(5, 1, 4)),
    "attention": lambda: (First(nn.MultiheadAttention(4, 2), 3), given(5, 1, 4)),
    "batch norm": lambda: (nn.BatchNorm2d(3).eval(), given(1, 3, 4, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_torch(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        layer, x = LAYERS[name]()
    program = record(layer, x, Constants())
    for other in (x + 1, 2 * x):
        with torch.no_grad():
            torch.testing.assert_close(program.run(other), layer(other), rtol=1e-4, atol=1e-5)


# What is changed in place


def row_by_row(x: Tensor) -> Tensor:
    out = torch.empty(4, 3)
    for row in range(3):
        out[:, row] = x[row] * (row + 1)
    out[0].mul_(2)
    return out


def through_a_view(x: Tensor) -> Tensor:
    h = x * 1
    view, same = h.T[1], h[:, 1]
    view += 1
    view *= x[0, 0]
    h[:, 2].zero_()
    return torch.stack([view, same, h.sum(1)])


def twice(x: Tensor) -> Tensor:
    h = x * 1
    h[0] += 1
    h[0] *= x[1]
    return h[0] + x


def into_a_constant(x: Tensor) -> Tensor:
    table = torch.arange(12.0).view(3, 4)
    before = table[1] + x[0]
    table[1] = x[0]
    return table * before


def overlapping(x: Tensor) -> Tensor:
    h = x * 1
    for start in range(3):
        h[:, start : start + 2] *= 2
    return h[:, 1:] + h[:, :3]


def out_argument(x: Tensor) -> Tensor:
    out = torch.empty(3, 4)
    torch.mul(x, 2, out=out)
    return out.relu_().add_(1, alpha=2)


def of_another_type(x: Tensor) -> Tensor:
    counts = torch.zeros(4, dtype=torch.int64)
    counts += (x > 0).sum(0)
    return counts


@pytest.mark.parametrize(
    "function", [row_by_row, through_a_view, twice, into_a_constant, overlapping, out_argument, of_another_type]
)
def test_what_is_changed_in_place_is_changed_in_all_views(function: Function) -> None:
    program = record(Net(function), given(3, 4), Constants())
    x = given(4, 3).T
    torch.testing.assert_close(program.run(x), function(x))


def test_what_was_in_the_memory_before_is_in_no_program() -> None:
    def partly(x: Tensor) -> Tensor:
        torch.full((2, 4), 7.0)  # whose memory the next tensor takes
        out = torch.empty(2, 4)
        out[0] = x[0]
        return out

    assert record(Net(partly), given(3, 4), Constants()).run(given(3, 4))[1].tolist() == [0.0] * 4


# What is refused


def branching(x: Tensor) -> Tensor:
    return x * 2 if x.sum() > 0 else x * 3


def counted(x: Tensor) -> Tensor:
    return x * float((x > 0).sum())


def by_numpy(x: Tensor) -> Tensor:
    return x * float(x.numpy().sum())


def by_a_list(x: Tensor) -> Tensor:
    total: float = sum(x[0].tolist())
    return x * total


@pytest.mark.parametrize("function", [branching, counted, by_numpy, by_a_list])
def test_a_net_whose_code_reads_its_input_is_found_out(function: Function) -> None:
    recorded = Recorded(Net(function))
    program = recorded.add(given(3, 4).abs())
    recorded.verify(program, [given(3, 4).abs()])
    with pytest.raises(UnsupportedError, match="reads values"):
        recorded.verify(program, [-2 * given(3, 4).abs() - 1])


def test_a_program_stops_where_a_guard_does_not_hold() -> None:
    program = record(Net(counted), given(3, 4).abs(), Constants())
    program.run(given(3, 4).abs() + 1)
    with pytest.raises(GuardError):
        program.run(-given(3, 4).abs())


def test_a_net_that_counts_its_calls_is_found_out() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * self.calls

    recorded = Recorded(Counting())
    with pytest.raises(UnsupportedError, match="does not compute the same"):
        recorded.verify(recorded.add(given(3, 4)), [given(3, 4)])


REFUSED: dict[str, tuple[Function, str]] = {
    "unknown": (lambda x: torch.fft.rfft(x).abs(), "computes _fft_r2c, for which the page has no operation"),
    "mask": (lambda x: x[x > 0], "indexes with a mask"),
    "nonzero": (lambda x: x.nonzero(), "computes nonzero"),
    "bits": (lambda x: x.view(torch.int32) * 1, "sees numbers of one type as those of another"),
    "half": (lambda x: x.bfloat16() * 2, "computes with numbers of type bfloat16"),
    "own statistics": (
        lambda x: F.batch_norm(x, None, None, training=True),
        "normalizes a batch by its own statistics",
    ),
    "transposed": (lambda x: F.conv_transpose1d(x[None], given(3, 2, 2)), "computes a transposed convolution"),
    "second result": (lambda x: F.max_pool1d(x[None], 2, return_indices=True)[1], "uses all results of max_pool2d"),
    "unknown classes": (lambda x: F.one_hot(x.abs().long()), "finds out how many classes there are"),
    "two outputs": (lambda x: (x, x), "returns something else than one tensor"),  # type: ignore[dict-item, return-value]
    "whole bits": (lambda x: x.long() & 3, "computes bitwise and of whole numbers"),
    "pooling": (lambda x: F.avg_pool2d(x[None], 3, ceil_mode=True), "computes avg_pool2d with ceil_mode"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_programs_cannot_do_is_said(name: str) -> None:
    function, said = REFUSED[name]
    with pytest.raises(UnsupportedError, match=said):
        record(Net(function), given(3, 4), Constants())


def test_weights_that_are_too_many_for_a_page_are_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "MOST", 1000)
    Recorded(nn.BatchNorm1d(90, track_running_stats=False))
    with pytest.raises(UnsupportedError, match=r"would add 0\.0 MB to the page"):
        Recorded(nn.BatchNorm1d(90))
    with pytest.raises(UnsupportedError, match="would add"):  # constants that the net makes
        Recorded(Net(lambda x: x[0, 0] + torch.arange(300.0))).add(given(3, 4))


# Programs themselves


@pytest.mark.parametrize("name", [spec.name for spec in [*zoo_lecture.zoo_models(), *zoo_makemore.zoo_models()]])
def test_every_model_of_text_is_a_short_program(name: str) -> None:
    """Instructions that nothing needs are left out, and views of what was cut apart cost none."""
    model = zoo.create_model(name).eval()
    length = getattr(model, "context_length", 8)
    program = record(model, torch.ones(1, length, dtype=torch.int64), Constants())
    x = torch.randint(1, 27, (1, length), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(program.run(x), model(x), rtol=1e-4, atol=1e-5)
    assert "strided_write" not in [step.operation for step in program.steps] or name not in ("gru", "lstm")
    assert len(program.steps) <= {"transformer": 250, "ngram": 150, "gru": 170, "lstm": 160, "rnn": 60}.get(name, 20)


def test_equal_constants_are_kept_once() -> None:
    constants = Constants()
    net = Net(lambda x: (x @ MATRIX) @ MATRIX.clone().T + MATRIX[0, 0])
    for _ in range(2):
        record(net, given(3, 4), constants)
    shapes = [tuple(x.shape) for x in constants.tensors]
    assert shapes == [(1, 4, 6), (1, 6, 4), ()]
    assert len(constants.data) == 3


def test_a_recording_leaves_everything_as_it_was() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        calls: Tensor

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * 2

    net = Counting()
    net.train()
    states = (torch.backends.mha.get_fastpath_enabled, torch._C._get_mkldnn_enabled, torch.get_rng_state)
    before: list[Any] = [state() for state in states]
    recorded = Recorded(net)
    recorded.verify(recorded.add(given(3, 4)), [given(3, 4)])
    assert float(net.calls) == 0
    assert net.training
    for state, old in zip(states, before, strict=True):
        now: Any = state()
        assert torch.equal(now, old) if isinstance(now, Tensor) else now == old


def test_a_net_that_fails_leaves_everything_as_it_was() -> None:
    def failing(x: Tensor) -> Tensor:
        raise RuntimeError("no")

    with pytest.raises(zoo.PluginError, match="fails on inputs of shape"):
        Recorded(Net(failing)).add(given(3, 4))
    assert torch._C._get_mkldnn_enabled()
    assert torch.backends.mha.get_fastpath_enabled()
