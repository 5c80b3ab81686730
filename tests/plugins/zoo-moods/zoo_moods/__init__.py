"""A plugin for zoo: sentences with a mood, and a classifier of words that knows its tokenizer and its labels."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "bag-of-words",
            "zoo_moods.bag:BagOfWords",
            summary="Mean embedding of the words, and an output layer",
            dataset="moods",
            optimizer="adamw",
            steps=300,
            batch_size=32,
            lr=0.02,
            embedding="words.weight",
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("moods", "zoo_moods.sentences:moods", summary="Sentences that are glad, sad or calm")]
