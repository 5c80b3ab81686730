"""What `zoo.testing.check_device` says where `meta` alone refuses a model, and where the CPU does too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_on_meta import Change, Offer
from test_on_meta import offer as offer  # the fixture
from torch import Tensor

import zoo.testing


def scaled_by(device: torch.device) -> Tensor:
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"there is no kernel for {device.type}")
    return torch.ones(1, device=device)


def in_autocast(logits: Tensor) -> Tensor:
    with torch.autocast(logits.device.type, dtype=torch.bfloat16):
        return (logits @ logits.T @ logits).float()


REFUSES_META: dict[str, Change] = {
    "autocast": lambda model, x, logits: in_autocast(logits),
    "a generator of the device": lambda model, x, logits: logits + len(str(torch.Generator(x.device))),
    "nested tensors": lambda model, x, logits: (
        logits + torch.nested.nested_tensor(list(logits.detach()), layout=torch.strided).to_padded_tensor(0.0)
    ),
    "the model itself": lambda model, x, logits: logits * scaled_by(x.device),
}


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
@pytest.mark.parametrize("what", list(REFUSES_META))
def test_what_refuses_meta_alone_is_told_with_its_line_and_no_fault(offer: Offer, words_file: Path, what: str) -> None:
    offer(REFUSES_META[what])
    [(_, why)] = zoo.testing.check_device("table", dataset=words_file).skipped
    assert why is not None
    assert why.startswith("model 'table' with optimizer 'sgd' cannot be checked without a GPU: ")
    assert "/test_on_meta_alone.py:" in why
    assert why.endswith(", in training)")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model, x, logits: logits @ logits, "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (lambda model, x, logits: logits.gpu(), "AttributeError: 'Tensor' object has no attribute 'gpu'"),
    ],
)
def test_a_model_that_fails_on_the_cpu_is_named_with_its_line(
    offer: Offer, words_file: Path, change: Any, said: str
) -> None:
    offer(change)
    with pytest.raises(AssertionError) as found:
        zoo.testing.check_device("table", dataset=words_file)
    text = str(found.value)
    assert text.startswith(f"model 'table' with optimizer 'sgd' fails on the CPU: {said}")
    assert f"/test_on_meta_alone.py:{change.__code__.co_firstlineno} in " in text
    assert "\n" not in text
