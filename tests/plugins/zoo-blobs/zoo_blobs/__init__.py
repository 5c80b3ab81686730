"""A plugin for zoo: images of bars, two nets that classify them, and Adam."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "tiny-conv",
            "zoo_blobs.nets:TinyConv",
            summary="Two layers of convolutions",
            dataset="bars",
            optimizer="blob-adam",
            steps=500,
            batch_size=32,
            lr=0.003,
        ),
        zoo.ModelSpec(
            "tiny-mlp",
            "zoo_blobs.nets:TinyMLP",
            summary="One hidden layer over all features",
            dataset="bars",
            optimizer="blob-adam",
            steps=500,
            batch_size=32,
            lr=0.003,
        ),
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("bars", "zoo_blobs.bars:bars", summary="Noisy 8×8 images of a bar in four directions")]


@zoo.hookimpl
def zoo_optimizers() -> list[zoo.OptimizerSpec]:
    return [
        zoo.OptimizerSpec(
            "blob-adam",
            "torch.optim:Adam",
            summary="Steps scaled by running moments of the gradient",
            lr=1e-3,
            references=("Kingma, Ba, Adam: A Method for Stochastic Optimization, ICLR 2015",),
        )
    ]
