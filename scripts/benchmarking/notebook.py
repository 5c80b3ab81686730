"""The lecture's notebook as a script, for `benchmark.py`: its cells in their order, plots into files.

python notebook.py WORDS FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt
from peers import initial_weights, notebook_evaluation, notebook_loop, notebook_tensors

words = Path(sys.argv[1]).read_text().splitlines()
folder = Path(sys.argv[2])
splits = notebook_tensors(words)
parameters = initial_weights()
lossi = notebook_loop(*splits[0], 5000, parameters)

plt.plot(range(len(lossi)), torch.tensor(lossi).log10())
plt.savefig(folder / "loss.png")
print(notebook_evaluation(splits, parameters))

C = parameters[0].data
itos = [".", *sorted(set("".join(words)))]
plt.figure(figsize=(8, 8))
plt.scatter(C[:, 0].data, C[:, 1].data, s=200)
for i in range(C.shape[0]):
    plt.text(C[i, 0].item(), C[i, 1].item(), itos[i], ha="center", va="center", color="white")
plt.grid(visible=True, which="minor")
plt.savefig(folder / "embeddings.png")
