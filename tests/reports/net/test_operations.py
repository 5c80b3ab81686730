"""The operations of a program in the browser, each against torch."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import OpenPage
from torch import Tensor

from zoo.reports.net.operations import BINARY, OPERATIONS, ROWS, TYPE_NAMES, UNARY, compute

ASSETS = Path(__file__).parents[3] / "zoo" / "reports" / "assets"
WHOLE = torch.tensor([[7, -7, 3, 0, -1, 12], [2, 2, -5, 9, 1, -3]])
AWKWARD = torch.tensor([[0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40], [0.5, 1.5, 2.5, -0.5, -1.5, 1e30]])
FINITE = torch.linspace(-7, 7, 600).view(3, -1)


def given(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def cases() -> Iterator[tuple[str, list[Tensor], list[Any]]]:
    """An operation, its inputs and its attributes."""
    for name in UNARY:
        yield from ((name, [x], []) for x in (FINITE, FINITE.double(), AWKWARD))
    for name in BINARY:
        logical = name in ("and", "or", "xor")
        pairs = [
            (given(2, 1, 3), given(4, 1)),
            (WHOLE, WHOLE.abs() % 4 if name == "pow" else WHOLE.flip(1) - 8),
            (AWKWARD, AWKWARD.flip(0)),
        ]
        yield from ((name, [a > 0, b > 0] if logical else [a, b], []) for a, b in pairs)
    for name in ROWS:
        yield from ((name, [x], []) for x in (given(4, 5), given(3, 1).double()))
        if "softmax" not in name:
            yield name, [WHOLE], []
    yield "amax", [AWKWARD], []
    yield "argmin", [torch.tensor([[2.0, 1.0, 1.0], [math.nan, 0.0, math.nan]])], []
    for to in TYPE_NAMES.values():
        yield from (("cast", [x], [to]) for x in (given(2, 3).abs() * 5, WHOLE % 7, WHOLE > 0))
    yield "where", [given(3, 1) > 0, given(1, 4), torch.tensor(2.0)], []
    yield from (("matmul", [given(2, 3, k), given(2, k, 5)], []) for k in (1, 4, 7))
    yield "strided", [given(24)], [[2, 3, 2], [1, 8, 0], 3]
    yield "strided", [given(6)], [[6], [-1], 5]
    yield "strided", [given(1)], [[], [], 0]
    yield "strided_write", [given(12), given(3, 2)], [[3, 2], [4, 2], 1]
    yield "join", [given(2, 3), given(2, 1), given(2, 4)], []
    yield "take", [given(4, 3), torch.tensor([[0, -1], [2, 2]])], []
    yield "pick", [given(2, 4), torch.tensor([[0, -1, 3], [2, 2, 1]])], []
    yield from (("put", [given(2, 4), torch.tensor([[0, -1], [2, 2]]), given(2, 2)], [add]) for add in (False, True))
    yield from (("argsort", [torch.tensor([[2.0, 1.0, 2.0, 0.0]])], [down]) for down in (False, True))
    edges = torch.tensor([0, 2, 2, 5])
    yield from (("searchsorted", [edges, torch.tensor([[-1, 0, 1], [2, 5, 6]])], [right]) for right in (False, True))
    yield "convolution", [given(2, 4, 6, 5), given(6, 2, 3, 2)], [[2, 1], [1, 2], [1, 2], 2]
    yield "max_pool", [given(1, 2, 7, 6)], [[3, 2], [2, 2], [1, 0], [1, 2], [4, 2]]
    yield from (("window_mean", [given(1, 2, 5, 4)], [[[0, 2], [0, 1]], [[3, 5], [2, 4]], by]) for by in (0, 6))


@pytest.fixture
def bare_page(tmp_path: Path) -> Path:
    """A page with the scripts that compute, and nothing else."""
    scripts = "\n".join((ASSETS / f"{name}.js").read_text() for name in ("net-operations", "net-program"))
    path = tmp_path / "bare.html"
    path.write_text(f"<!DOCTYPE html><title>bare</title><script>const zoo = {{}};\n{scripts}</script>")
    return path


def packed(x: Tensor) -> list[Any]:
    content = x.contiguous().numpy().tobytes()
    return [TYPE_NAMES[x.dtype], list(x.shape), base64.b64encode(content).decode()]


COMPUTE = """(cases) => cases.map(([name, inputs, attributes, dtype, shape]) => {
  const tensors = inputs.map(([dtype, shape, data]) => ({ dtype, shape, data: zoo.net.elements(dtype, data) }));
  const result = zoo.net.tensor(dtype, shape);
  zoo.net.operations[name](tensors, attributes, result, {});
  return Array.from(result.data, String);
})"""


def test_each_operation_is_that_of_torch(bare_page: Path, open_page: OpenPage) -> None:
    """With infinities, NaN and the smallest numbers, broadcast, and of whole numbers."""
    page = open_page(bare_page)
    assert set(page.evaluate("Object.keys(zoo.net.operations)")) == OPERATIONS.keys()
    tried = list(cases())
    assert {name for name, _, _ in tried} == OPERATIONS.keys()
    wanted = [compute(*case) for case in tried]
    given_to_page = [
        [name, [packed(x) for x in inputs], attributes, TYPE_NAMES[y.dtype], list(y.shape)]
        for (name, inputs, attributes), y in zip(tried, wanted, strict=True)
    ]
    for case, y, found in zip(tried, wanted, page.evaluate(COMPUTE, given_to_page), strict=True):
        got = torch.tensor([float(x.replace("Infinity", "inf")) for x in found], dtype=torch.float64)
        tolerance: Any = {"rtol": 2e-6, "atol": 1e-6} if y.dtype == torch.float32 else {"rtol": 1e-8, "atol": 1e-8}
        torch.testing.assert_close(got.view(y.shape), y.double(), **tolerance, equal_nan=True, msg=f"{case}: {got} {y}")


def test_whole_numbers_that_float64_has_not_are_refused(bare_page: Path, open_page: OpenPage) -> None:
    page = open_page(bare_page)
    run = """async (data) => {
      try {
        return Array.from((await new zoo.net.Net(data).run(0, [2])).data);
      } catch (error) {
        return error instanceof zoo.net.NotRunning ? error.message : String(error);
      }
    }"""
    for number, told in ((2**50, [2**51]), (2**52, "beyond 2^53"), (2**60, "beyond 2^53")):
        data = {
            "data": [packed(torch.tensor(number))[::2]],
            "constants": [[0, []]],
            "programs": [
                {"shape": [], "dtype": "i8", "steps": [["mul", [0, -1], [], "i8", []]], "guards": [], "output": 1}
            ],
        }
        found = page.evaluate(run, json.loads(json.dumps(data)))
        assert found == told or (isinstance(told, str) and told in found)


def test_random_numbers_are_uniform_and_repeat(bare_page: Path, open_page: OpenPage) -> None:
    page = open_page(bare_page)
    draw = "(seed) => { const r = new zoo.net.Random(seed); return Array.from({ length: 20000 }, () => r.next()); }"
    first, again, other, far = (torch.tensor(page.evaluate(draw, seed)) for seed in (1, 1, 2, 2**40 + 1))
    assert torch.equal(first, again)
    for x in (first, other, far):
        counts = torch.histc(x, 20, 0, 1)
        assert float(((counts - 1000) ** 2 / 1000).sum()) < 45  # chi-squared of 19 degrees: 36.2 is one in a hundred
        assert abs(float(torch.corrcoef(torch.stack([x[:-1], x[1:]]))[0, 1])) < 0.03
    assert not torch.equal(first, other)
    assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < 0.03
    assert not torch.equal(first, far)
