"""A plugin for zoo: noisy images of digits with augmentation, and a net of convolutions with its accuracy."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "digits-cnn",
            "zoo_digits.cnn:CNN",
            summary="Two layers of convolutions with pooling",
            dataset="digits",
            optimizer="adamw",
            steps=400,
            batch_size=64,
            lr=0.003,
            metrics={"accuracy": "zoo_digits.cnn:accuracy", "top2": "zoo_digits.cnn:top2"},
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("digits", "zoo_digits.digits:digits", summary="Noisy 12×12 images of ten digits")]
