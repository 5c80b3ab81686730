"""What a model may allocate while it is built: giants are refused before they are made, and all else is let alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import run_python
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo import CheckpointError
from zoo.storage.allocation import AllocationLimit

N = 10**6  # a column of so many floats is small, and a square of them fits no memory
LIMIT = 32 << 20


def column() -> Tensor:
    return torch.zeros(N, 1)


def row() -> Tensor:
    return torch.zeros(1, N)


GIANTS: dict[str, Callable[[], Any]] = {
    "a sum": lambda: column() + row(),
    "a comparison": lambda: column() < row(),
    "a choice": lambda: torch.where(column() > 0, row(), 1.0),
    "an outer product": lambda: torch.outer(torch.zeros(N), torch.zeros(N)),
    "a product of matrices": lambda: column() @ row(),
    "einsum": lambda: torch.einsum("i,j->ij", torch.zeros(N), torch.zeros(N)),
    "kron": lambda: torch.kron(torch.zeros(N), torch.zeros(N)),
    "distances": lambda: torch.cdist(column(), column()),
    "an expanded copy": lambda: column().expand(N, N).contiguous(),
    "another type": lambda: column().expand(N, N).to(torch.float64),
    "a running sum": lambda: column().expand(N, N).cumsum(1),
    "repeat": lambda: column().repeat(1, N),
    "tile": lambda: column().tile(1, N),
    "repeat_interleave": lambda: column().repeat_interleave(N, dim=1),
    "cat": lambda: torch.cat([row().expand(N, N), row()]),
    "stack": lambda: torch.stack([row().expand(N, N)]),
    "padding": lambda: nn.functional.pad(column(), (0, N)),
    "a diagonal": lambda: torch.diag_embed(torch.zeros(N)),
    "a lookup": lambda: row().expand(N, N)[torch.zeros(N, dtype=torch.long)],
    "a unit matrix": lambda: torch.eye(N),
    "indices": lambda: torch.tril_indices(N, N),
    "new zeros": lambda: column().new_zeros(N, N),
    "zeros like": lambda: torch.zeros_like(column().expand(N, N)),
    "an output": lambda: torch.add(column(), row(), out=torch.empty(0)),
    "another size": lambda: torch.empty(0).resize_(N, N),
    "a grid": lambda: torch.cartesian_prod(torch.zeros(N), torch.zeros(N)),
    "sizes beyond 64 bits": lambda: torch.empty(10**18, 10**18),
    "many parts": lambda: [torch.zeros(N) for _ in range(1000)],
    "the parts of one result": lambda: [torch.max(torch.zeros(2, N), 0) for _ in range(1000)],
}


@pytest.mark.parametrize("name", GIANTS)
def test_a_huge_tensor_is_refused_before_it_is_allocated(name: str) -> None:
    with pytest.raises(CheckpointError, match="far too large"), AllocationLimit(LIMIT, "far too large"):
        GIANTS[name]()


def sparse() -> Tensor:
    return torch.eye(30).to_sparse() @ torch.ones(30, 2)


def views() -> Tensor:
    """Of 4 MB, a hundred times: they take nothing."""
    square = torch.ones(1000, 1000)
    for _ in range(100):
        square = square.t().view_as(square.t()).detach()
    return square[:2]


def passing() -> Tensor:
    """400 MB, of which never more than 8 MB at once."""
    square = torch.ones(1000, 1000)
    for _ in range(100):
        square = square * 0.99
    return square[:2]


def changed_in_place() -> Tensor:
    square = torch.ones(1000, 1000)
    for _ in range(100):
        square.mul_(2).clamp_(max=3)
    return square[:2]


def many_sizes() -> Tensor:
    made = torch.empty(0)
    for size in range(200):
        made.resize_(1000, size).zero_()
    return made[:2]


HARMLESS: dict[str, Callable[[], Tensor]] = {
    "views": views,
    "what does not stay": passing,
    "in place": changed_in_place,
    "many sizes": many_sizes,
    "sparse": sparse,
    "a large value": lambda: torch.zeros(3, 3).masked_fill(torch.ones(3, 3).triu().bool(), -(10**12)),
    "a late range": lambda: torch.arange(10**12, 10**12 + 3),
    "values decide: nonzero": lambda: torch.eye(4).nonzero(),
    "values decide: a mask": lambda: torch.arange(9)[torch.arange(9) > 4],
    "values decide: unique": lambda: torch.unique_consecutive(torch.tensor([3, 3, 1])),
    "values decide: repeat_interleave": lambda: torch.arange(3).repeat_interleave(torch.tensor([1, 0, 2])),
    "values decide: item": lambda: torch.zeros(int(torch.tensor(3).sum().item())),
    "random numbers": lambda: torch.randn(5, generator=torch.Generator().manual_seed(1)) * torch.rand(5).bernoulli(0.5),
    "random permutation": lambda: torch.randperm(9)[: int(torch.randint(3, 9, ()))],
    "random choice": lambda: torch.multinomial(torch.ones(9), 4),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(20, 30)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(20, 30)),
    "complex": lambda: torch.view_as_real(torch.polar(torch.ones(4), torch.arange(4.0))),
    "a Fourier transform": lambda: torch.fft.rfft(torch.arange(8.0)).abs(),
    "eigenvalues": lambda: torch.linalg.eigvals(torch.eye(3)).abs(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8).dequantize(),
    "a recurrent net": lambda: nn.GRU(4, 6, num_layers=2, bidirectional=True)(torch.ones(2, 3, 4))[0].detach(),
    "a transformer": lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.5)(torch.ones(2, 3, 8)).detach(),
    "a convolution": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3))(torch.ones(1, 1, 5, 5)).detach(),
    "mapped": lambda: torch.func.vmap(lambda x: x.outer(x))(torch.arange(6.0).view(2, 3)),
    "float16": lambda: torch.ones(3, dtype=torch.bfloat16) * torch.ones(3, dtype=torch.float16),
    "nothing": lambda: torch.empty(0, 10**6) @ torch.empty(10**6, 0),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("name", HARMLESS)
def test_small_tensors_are_the_same_as_without_a_limit(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        wanted, after = HARMLESS[name](), torch.get_rng_state()
        torch.manual_seed(3)
        with AllocationLimit(LIMIT, "far too large"):
            made = HARMLESS[name]()
        assert torch.equal(torch.get_rng_state(), after)
    assert made.dtype == wanted.dtype
    assert torch.equal(made, wanted)


@pytest.mark.skipif(not hasattr(TorchDispatchMode, "_should_skip_dynamo"), reason="this torch has no such hook")
def test_it_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys, torch; from zoo.storage.allocation import AllocationLimit\n"
        "with AllocationLimit(1000, ''): torch.randn(3, 1) * 2 + torch.nn.Linear(3, 1).weight\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
