"""Whether what a distribution requires is installed: why a plugin fails that was installed without its requirements.

Only failures need it, and import it then: `importlib.metadata` takes longer than `zoo list` may.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion


def unmet(distribution: str) -> list[str]:
    """The requirements of an installed distribution that are not met, each as `NAME>=2, and 1.0 is installed`.

    Extras are left out, and so is what its metadata does not say in the form of the standard.
    """
    try:
        lines = metadata.requires(distribution) or []
    except (metadata.PackageNotFoundError, ValueError):
        return []
    return [f"{requirement}, and {found}" for requirement, found in _unmet(lines)]


def why_it_fails(distribution: str) -> str:
    """To be put behind the cause of a failure: the requirements that are not met; empty if all are."""
    missing = unmet(distribution)
    return f"; its requirements are not met: {'; '.join(missing)}" if missing else ""


def _unmet(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        try:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            version: str | None = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name}{requirement.specifier}", "it is not installed"
            continue
        except (InvalidRequirement, ValueError):  # a marker of another kind, or a name that is none
            continue
        if version is not None and not _fits(requirement, version):
            yield f"{requirement.name}{requirement.specifier}", f"{version} is installed"


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return True  # it cannot be compared
