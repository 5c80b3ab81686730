"""The vocabulary: characters and their token ids. Token 0 is where a word, or a text, starts and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from zoo.errors import DataError, UsageError
from zoo.numbers import show_value
from zoo.text import brief

BOUNDARY = "."  # how token 0 is written
NEWLINE = "\n"  # how it is written where `.` occurs in the words
START = ""  # how it is written in running text, of which every character counts: before the first one
_FEW = 55  # tokens, of which a repr shows every character


class Vocabulary:
    """The characters of a text: the boundary, `.`, is token 0, the others follow in the order of their code points.

    `stoi` maps characters to tokens and `itos` tokens to characters, as in the lecture.
    """

    def __init__(self, characters: Iterable[str], boundary: str = BOUNDARY) -> None:
        """Assign tokens from 1 to the given characters, except the boundary, in sorted order.

        Args:
            characters: of the text.
            boundary: how token 0 is written: `BOUNDARY`, `NEWLINE` or `START`.

        Raises:
            DataError: one of them is not a single character.
        """
        self.boundary = boundary
        others = sorted(set(characters) - {boundary})
        for character in others:
            if len(character) != 1:
                raise DataError(f"a vocabulary is made of single characters, and {character!r} is not one")
        self.itos: tuple[str, ...] = (boundary, *others)
        self.stoi: dict[str, int] = {character: token for token, character in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)

    def __iter__(self) -> Iterator[str]:
        return iter(self.itos)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.itos == other.itos

    def __hash__(self) -> int:
        return hash(self.itos)

    def __repr__(self) -> str:
        size = f", {len(self):,} tokens" if len(self) > _FEW else ""
        return brief(f"Vocabulary({show_value(''.join(self.itos[1:]))}{size})")

    @property
    def summary(self) -> str:
        """How many tokens there are, and the characters, of many the first and last ones."""
        return f"{len(self):,} tokens: {show_value(''.join(self.itos))}"

    def encode(self, text: str) -> list[int]:
        """The tokens of `text`.

        Raises:
            UsageError: a character is not in the vocabulary, or is the boundary.
        """
        for character in text:
            if character == self.boundary or character not in self.stoi:
                raise UsageError(
                    f"{text!r} has {character!r}, which is not in the vocabulary {''.join(self.itos[1:])!r}"
                )
        return [self.stoi[character] for character in text]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of a sequence of tokens, up to the first boundary."""
        characters = []
        for token in numbers:
            if token == 0:
                break
            characters.append(self.itos[token])
        return "".join(characters)
