"""What is known of the noise of a model from elsewhere: sweeps on this machine, and the weights that plugins ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.runs.listing.comparing import Repetitions, measured_on, repetitions
from zoo.runs.listing.judging import noise_of, noises
from zoo.storage import SWEEPS
from zoo.storage.shipped import shipped_metrics
from zoo.sweeps.judging.records import members_of, sweeps_in
from zoo.verdicts.noise import Noise
from zoo.verdicts.populations import Measure

if TYPE_CHECKING:
    from zoo.plugin.registry import Registry

_MOST_SWEEPS = 20  # that are read; there may be thousands


def known_noise(registry: Callable[[], Registry]) -> Callable[[Repetitions], Noise | None]:
    """A function that finds the noise of a setting's model on its data; None where it is known nowhere."""

    def find(group: Repetitions) -> Noise | None:
        return _from_sweeps(group) or _from_shipped(group, registry())

    return find


def _from_sweeps(group: Repetitions) -> Noise | None:
    key = measured_on(group.first).key
    for _, path in zip(range(_MOST_SWEEPS), sweeps_in(SWEEPS), strict=False):
        alike = [
            one
            for one in repetitions(members_of(path))
            # After another number of steps the noise is another, too.
            if measured_on(one.first).key == key and one.first.planned == group.first.planned
        ]
        noise = noises(alike).get(noise_of(group))
        if noise is not None:
            runs = noise.source.removesuffix(" compared here")
            return replace(noise, source=f"{runs} in {path}")
    return None


def _from_shipped(group: Repetitions, registry: Registry) -> Noise | None:
    """As the plugin that ships weights has measured it, on the same data and with the same preset."""
    config = group.first.config
    if config is None:
        return None
    entry = next((one for one in registry.models if one.full_name == config.model), None)
    shipped = None if entry is None else shipped_metrics(entry)
    found = None if shipped is None else shipped.over_seeds
    # With another preset, which may have other steps, the noise is another, too.
    if found is None or found.sha256 != config.dataset_sha256 or found.preset != group.first.preset:
        return None
    preset = "" if found.preset is None else f" with preset {found.preset}"
    source = f"from {found.seeds:,} runs{preset}, as the model's plugin has it"
    return Noise(found.sd, found.seeds - 1, Measure(), source)
