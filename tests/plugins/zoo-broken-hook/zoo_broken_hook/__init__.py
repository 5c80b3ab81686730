"""A plugin of which one hook works and the next one fails: nothing of it may stay."""

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [zoo.ModelSpec("half-registered", "torch.nn:Identity")]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    raise RuntimeError("the list of datasets\nis on fire")
