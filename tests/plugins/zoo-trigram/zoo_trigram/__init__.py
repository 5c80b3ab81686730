"""A plugin for zoo: two text models, the names of planets, moons and stars, an optimizer and a logger."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "trigram",
            "zoo_trigram.trigram:Trigram",
            summary="Softmax table over the two characters before",
            dataset="names",
            optimizer="sgd",
            steps=2000,
            batch_size=64,
            lr=20.0,
            presets={
                "names": zoo.Preset("2,000 steps on the names"),
                "planets": zoo.Preset(
                    "100 steps on planets, moons and stars",
                    dataset="planets",
                    optimizer="signsgd",
                    steps=100,
                    settings={"optimizer.momentum": 0.9},
                ),
            },
            description="One row of logits for each pair of characters: the largest model that can be looked up.",
            references=("Shannon, A Mathematical Theory of Communication, Bell System Technical Journal 27 (1948)",),
        ),
        zoo.ModelSpec(
            "tiny-gru",
            "zoo_trigram.tiny_gru:TinyGRU",
            summary="Gated recurrent net over padded words",
            dataset="planets",
            optimizer="signsgd",
            steps=300,
            batch_size=16,
            lr=0.002,
            reads="sequences",
            embedding="characters.weight",
        ),
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("planets", "zoo_trigram.planets:planets", summary="Names of planets, moons and stars")]


@zoo.hookimpl
def zoo_optimizers() -> list[zoo.OptimizerSpec]:
    return [zoo.OptimizerSpec("signsgd", "zoo_trigram.signsgd:SignSGD", summary="The sign of the gradient", lr=0.01)]


@zoo.hookimpl
def zoo_loggers() -> list[zoo.LoggerSpec]:
    return [zoo.LoggerSpec("json-lines", "zoo_trigram.json_lines:JsonLines", summary="One line of JSON a block")]
