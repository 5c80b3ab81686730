"""Use trained weights without zoo: torch and safetensors are all this script imports.

    python scripts/examples/next_letter.py runs/mlp-char-1/model.safetensors [CONTEXT]

Prints how likely each letter is to follow the last three of CONTEXT (by default "emm").
"""

import json
import sys

import torch
from safetensors import safe_open


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} model.safetensors [CONTEXT]")
    context = sys.argv[2] if len(sys.argv) == 3 else "emm"

    with safe_open(sys.argv[1], framework="pt") as file:
        C, W1, b1, W2, b2 = (file.get_tensor(name) for name in ("C", "W1", "b1", "W2", "b2"))
        letters = json.loads(file.metadata()["zoo"])["config"]["dataset"]["vocabulary"]

    context_length = W1.shape[0] // C.shape[1]
    padded = [letters[0]] * context_length + list(context)  # letters[0] is where a word starts and ends
    x = torch.tensor([letters.index(letter) for letter in padded[-context_length:]])  # (T,)

    h = torch.tanh(C[x].view(-1) @ W1 + b1)  # (H,)
    probs = torch.softmax(h @ W2 + b2, dim=0)  # (V,)

    newline = "\n"  # ends a word where `.` is a character like others
    for p, i in zip(*probs.sort(descending=True), strict=True):
        print(f"{'⏎' if letters[i] == newline else letters[i]}  {p:6.1%}  {'#' * round(60 * p.item())}".rstrip())


if __name__ == "__main__":
    main()
