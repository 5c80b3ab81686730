"""Running text: short fables with capitals, lines and punctuation, made of a few parts."""

from __future__ import annotations

from random import Random

import zoo

ANIMALS = ["Fox", "Crow", "Hare", "Tortoise", "Wolf", "Crane", "Mouse", "Lion", "Ant", "Owl"]
PLACES = ["at the well", "under the old oak", "on the road to town", "beside the mill", "in the long grass"]
SAYINGS = ["Who goes slowly gets there too", "A full mouth cannot sing", "Look twice, jump once", "Rain asks nobody"]


def fables(count: int = 400, seed: int = 0) -> zoo.CorpusDataset:
    """So many fables, one after the other: the first 80 % of the text are for training."""
    rng = Random(seed)
    return zoo.CorpusDataset(text="\n".join(_fable(rng) for _ in range(count)))


def _fable(rng: Random) -> str:
    one, other = rng.sample(ANIMALS, 2)
    return (
        f"The {one} met the {other} {rng.choice(PLACES)}.\n"
        f'"Will you share with me?" asked the {one}.\n'
        f'"{rng.choice(SAYINGS)}," said the {other}, and was gone.\n'
    )
