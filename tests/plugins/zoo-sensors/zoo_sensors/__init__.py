"""A plugin for zoo: five million readings of sensors that stay on the disk, a metric and an optimizer."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "sensor-net",
            "zoo_sensors.net:Net",
            summary="One hidden layer",
            dataset="sensors",
            optimizer="polyak",
            steps=500,
            batch_size=256,
            lr=0.5,
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [
        zoo.DatasetSpec(
            "sensors",
            "zoo_sensors.readings:sensors",
            summary="Five million readings of eight sensors, memory-mapped",
            metrics={"within": "zoo_sensors.metrics:within", "worst": "zoo_sensors.metrics:Worst"},
        )
    ]


@zoo.hookimpl
def zoo_optimizers() -> list[zoo.OptimizerSpec]:
    return [
        zoo.OptimizerSpec(
            "polyak",
            "zoo_sensors.polyak:Polyak",
            summary="SGD with the step size of Polyak",
            lr=0.5,
            references=("Loizou et al., Stochastic Polyak Step-size for SGD, AISTATS 2021",),
        )
    ]
