"""Names of planets, moons and stars. A list in the code: no download, no file to find."""

from __future__ import annotations

from typing import Literal

import zoo

# With the dwarf planets.
PLANETS = [
    "mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune", "ceres", "pluto", "haumea",
    "makemake", "eris",
]  # fmt: skip

MOONS = [
    "moon", "phobos", "deimos", "io", "europa", "ganymede", "callisto", "amalthea", "himalia", "mimas",
    "enceladus", "tethys", "dione", "rhea", "titan", "hyperion", "iapetus", "phoebe", "janus", "epimetheus",
    "pandora", "prometheus", "miranda", "ariel", "umbriel", "titania", "oberon", "puck", "triton", "nereid",
    "proteus", "charon", "nix", "hydra", "kerberos", "styx", "dysnomia",
]  # fmt: skip

# By the names that the International Astronomical Union has approved.
STARS = [
    "sirius", "canopus", "arcturus", "vega", "capella", "rigel", "procyon", "achernar", "betelgeuse", "hadar",
    "altair", "acrux", "aldebaran", "antares", "spica", "pollux", "fomalhaut", "deneb", "mimosa", "regulus",
    "adhara", "castor", "gacrux", "shaula", "bellatrix", "elnath", "miaplacidus", "alnilam", "alnair", "alioth",
    "dubhe", "mirfak", "wezen", "sargas", "avior", "menkalinan", "atria", "alhena", "peacock", "mirzam",
    "alphard", "polaris", "hamal", "mizar", "algol",
]  # fmt: skip

_OF_KIND = {"planets": PLANETS, "moons": MOONS, "stars": STARS, "all": PLANETS + MOONS + STARS}


def planets(kind: Literal["all", "planets", "moons", "stars"] = "all") -> zoo.TextDataset:
    """The names, in a fixed random order so that every split has some of each kind.

    Args:
        kind: which of them.
    """
    return zoo.TextDataset(_OF_KIND[kind], shuffle_seed=0)
