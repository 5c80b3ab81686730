"""Sentences with a mood, and the tokenizer: each word is a token."""

from __future__ import annotations

from random import Random

import zoo

PAD, UNKNOWN = "", "?"  # tokens 0 and 1
LENGTH = 8  # words of a sentence, at most
OPENINGS = ["today i feel", "my sister says she is", "we were all", "the old dog seems", "everybody looks", "i was"]
MOODS = {
    "glad": ["happy", "merry", "delighted", "full of joy", "ready to sing"],
    "sad": ["unhappy", "gloomy", "in tears", "lonely", "sorry for that"],
    "calm": ["quiet", "at rest", "half asleep", "patient", "in no hurry"],
}
ENDINGS = ["", "again", "this morning", "at home", "in the rain"]


def moods(examples: int = 600, seed: int = 0) -> zoo.TensorDataset:
    """Sentences of three moods, 80 % for training and 10 % each for validation and test."""
    rng = Random(seed)
    labels = [rng.randrange(len(MOODS)) for _ in range(examples)]
    feelings = list(MOODS.values())
    sentences = [f"{rng.choice(OPENINGS)} {rng.choice(feelings[label])} {rng.choice(ENDINGS)}" for label in labels]
    ends = int(examples * 0.8), int(examples * 0.9)
    tokens = [PAD, UNKNOWN, *sorted({word for sentence in sentences[: ends[0]] for word in sentence.split()})]
    ids = [encode(sentence, tokens) for sentence in sentences]
    parts = [slice(0, ends[0]), slice(*ends), slice(ends[1], None)]
    return zoo.TensorDataset(
        *((ids[part], labels[part]) for part in parts),
        provides={"vocab_size": len(tokens), "tokens": tokens},
        classes=list(MOODS),
    )


def encode(sentence: str, tokens: list[str]) -> list[int]:
    """The token of each word, `LENGTH` of them: cut, or padded with 0."""
    known = {word: token for token, word in enumerate(tokens)}
    ids = [known.get(word, known[UNKNOWN]) for word in sentence.lower().split()[:LENGTH]]
    return ids + [0] * (LENGTH - len(ids))
