"""Models of tables: a linear model and an MLP, for classes and for numbers."""

from __future__ import annotations

from typing import Any

import zoo

_ESL = "Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2nd edition, Springer 2009, {}"
_KAIMING = "He, Zhang, Ren, Sun, Delving Deep into Rectifiers, ICCV 2015, https://arxiv.org/abs/1502.01852"
_TABULAR = "Gorishniy and others, Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021"

# The optimizer's decay pulls weights away from those of least squares, so the linear model has none.
_NO_DECAY = {"optimizer.weight_decay": 0.0}
_STOPPING: dict[str, Any] = {"steps": 20_000, "validate_every": 100, "patience": 20}


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "linear-table",
            "zoo_tabular.models:LinearTable",
            summary="Linear or logistic regression on the columns of a table",
            description=(
                "The mean of each column in the training split is subtracted, and the result is divided by the "
                "standard deviation. One linear layer then gives logits for classes, or numbers. Its loss is convex: "
                "trained for long enough it is the least-squares or maximum-likelihood fit."
            ),
            optimizer="adamw",
            steps=2000,
            batch_size=64,
            lr=0.02,
            schedule="cosine",
            presets={
                "plain": zoo.Preset("AdamW without weight decay, 2,000 steps", settings=_NO_DECAY),
                "stopping": zoo.Preset("Until the validation loss stops falling", settings=_NO_DECAY, **_STOPPING),
            },
            references=(_ESL.format("chapters 3 and 4"),),
        ),
        zoo.ModelSpec(
            "mlp-table",
            "zoo_tabular.models:MLPTable",
            summary="MLP on the columns of a table: layers of ReLU units",
            description=(
                "Standardized columns, as in linear-table; hidden layers of ReLU units, each with optional dropout; "
                "and an output layer for logits of classes, or numbers."
            ),
            optimizer="adamw",
            steps=3000,
            batch_size=128,
            lr=2e-3,
            schedule="cosine",
            width="hidden_sizes",
            presets={
                "plain": zoo.Preset("AdamW, 3,000 steps"),
                "stopping": zoo.Preset(
                    "Dropout, until the validation loss stops falling", settings={"model.dropout": 0.1}, **_STOPPING
                ),
            },
            references=(_TABULAR, _KAIMING),
        ),
    ]
