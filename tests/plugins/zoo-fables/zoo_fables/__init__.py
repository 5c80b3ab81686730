"""A plugin for zoo: running text, and a small transformer that continues it."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "fable-gpt",
            "zoo_fables.gpt:GPT",
            summary="Two blocks of causal attention",
            dataset="fables",
            optimizer="adamw",
            steps=300,
            batch_size=16,
            lr=0.003,
            reads="sequences",
            embedding="characters.weight",
            presets={"short": zoo.Preset("blocks of 32 characters", settings={"model.max_length": 32})},
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("fables", "zoo_fables.fables:fables", summary="Short fables, made of a few parts")]
