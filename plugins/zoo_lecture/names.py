"""The lecture's names, which are downloaded, and a similar list in the public domain, which is bundled."""

from __future__ import annotations

from importlib import resources

import zoo

URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"


def names(fetch: zoo.Fetcher) -> zoo.TextDataset:
    """The 32,033 names of the makemore repository, downloaded once.

    Raises:
        zoo.UnavailableError: the file is not in the cache and cannot be downloaded.
    """
    return zoo.TextDataset.from_file(fetch("names.txt", URL, sha256=SHA256))


def names_ssa_2018() -> zoo.TextDataset:
    """First names of U.S. births in 2018 with at least 5 births, from the Social Security Administration."""
    with resources.as_file(resources.files("zoo_lecture") / "data" / "names-ssa-2018.txt") as path:
        return zoo.TextDataset.from_file(path)
