"""A plugin in working order whose model and optimizer have the names of built-in ones."""

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [zoo.ModelSpec("mlp-char", "zoo_taken_name.parts:Bigram", summary="Not the lecture's", dataset="names")]


@zoo.hookimpl
def zoo_optimizers() -> list[zoo.OptimizerSpec]:
    return [zoo.OptimizerSpec("sgd", "zoo_taken_name.parts:SGD", summary="Not the lecture's", lr=0.5)]
