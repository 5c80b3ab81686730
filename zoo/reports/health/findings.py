"""What is remarkable about the health of a net, in plain sentences, with the thresholds that decide it."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.reports.health.activations import Layer
from zoo.reports.health.steps import Parameter, Steps
from zoo.reports.showing import percent, plural
from zoo.text import visible

MANY = 0.25  # of the outputs of a layer
MOSTLY = 0.9  # of the examples, for a unit
GUIDE = -3.0  # log10 of update / data: the lecture's guide
_FAR = 1.0  # as far from the guide as that is remarkable
_NAMED = 3


def findings(layers: Sequence[Layer], steps: Steps | None) -> list[str]:
    """What to look at, one sentence each; none where nothing is remarkable."""
    found = [sentence for layer in layers for sentence in _of_layer(layer, several=len(layers) > 1)]
    return found + (_of_steps(steps) if steps is not None else [])


def _of_layer(layer: Layer, *, several: bool) -> list[str]:
    function, sentences = layer.function, []
    where = f" of {visible(layer.place)}" if several else ""
    units = f"{layer.units:,} {function.name} units{where}"
    bounded = function.low is not None  # of relu, half of all outputs is usual
    if bounded and layer.flat is not None and layer.flat > MANY:
        sentences.append(
            f"{percent(layer.flat)} of the outputs of {function.name}{where} are saturated ({function.flat_text}); "
            "with Kaiming-scaled initialization it is a few percent at first. Little gradient passes there: the "
            "weights before it are large."
        )
    mostly = layer.mostly_flat(MOSTLY)
    if bounded and mostly > (layer.dead or 0):
        sentences.append(
            f"{mostly:,} of {units} {_are(mostly)} saturated for more than {percent(MOSTLY)} of the examples."
        )
    if layer.dead:
        sentences.append(
            f"{layer.dead:,} of {units} {_are(layer.dead)} dead: {function.flat_text} for every one of "
            f"{plural(layer.examples, 'example')}, so that next to no gradient reaches the weights before."
        )
    return sentences


def _of_steps(steps: Steps) -> list[str]:
    without = [p for p in steps.parameters if p.has_no_gradient]
    sentences = [f"No gradient reaches {_names(without)}."] if without else []
    matrices = [p for p in steps.parameters if len(p.shape) > 1]  # the guide is for weights, not for biases
    step = "One step" if steps.lr == steps.peak else "One step at the peak learning rate"
    for words, why, sign in (("more", "too high", 1), ("less", "too low", -1)):
        far = [p for p in matrices if sign * (p.peak_ratio - GUIDE) > _FAR]
        if far:
            sentences.append(
                f"{step} changes {_names(far)} by {words} than {10 ** (GUIDE + sign * _FAR):g} of "
                f"{'its' if len(far) == 1 else 'their'} size, where about {10**GUIDE:g} is usual: the rate may be "
                f"{why}."
            )
    return sentences


def _names(parameters: Sequence[Parameter]) -> str:
    names = [visible(p.name) for p in parameters[:_NAMED]]
    more = len(parameters) - len(names)
    if more:
        return f"{', '.join(names)} and {more:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
