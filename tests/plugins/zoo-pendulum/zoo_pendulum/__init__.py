"""A plugin for zoo: the period of a pendulum, measured with outliers, and a net trained on a robust loss."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "pendulum-net",
            "zoo_pendulum.net:Net",
            summary="One hidden layer, trained on the Huber loss",
            dataset="pendulum",
            optimizer="adamw",
            steps=500,
            batch_size=64,
            lr=0.01,
            loss="torch.nn.functional:huber_loss",
            metrics={"mae": "torch.nn.functional:l1_loss", "r2": "zoo_pendulum.r2:R2Score"},
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("pendulum", "zoo_pendulum.data:pendulum", summary="The period of a pendulum, measured")]
