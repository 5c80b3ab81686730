"""Entry points: the same as `importlib.metadata` finds, for every kind of path."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from zoo.plugin.entry_points import FoundDistribution, FoundEntryPoint, entry_points

Found = list[tuple[str, str, str, str]]


def install(
    folder: Path, name: str, version: str, text: str, *, suffix: str = "dist-info", headers: str | None = None
) -> None:
    """The files about a distribution that an installer leaves."""
    info = folder / f"{name}-{version}.{suffix}"
    info.mkdir(parents=True)
    file = "METADATA" if suffix == "dist-info" else "PKG-INFO"
    (info / file).write_text(headers or f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nName: no header\n")
    (info / "entry_points.txt").write_text(text)


def ours(*path: Path) -> Found:
    found = entry_points("zoo", [str(folder) for folder in path])
    return sorted((e.name, getattr(e, "value"), e.dist.name, e.dist.version) for e in found if e.dist)  # noqa: B009


def theirs(*path: Path) -> Found:
    seen: set[str] = set()
    found = []
    for dist in metadata.distributions(path=[str(folder) for folder in path]):
        if dist.name.lower().replace("-", "_") not in seen:
            seen.add(dist.name.lower().replace("-", "_"))
            found += [(e.name, e.value, dist.name, dist.version) for e in dist.entry_points if e.group == "zoo"]
    return sorted(found)


@pytest.mark.parametrize("group", ["zoo", "console_scripts", "pytest11", "nobody"])
def test_installed_entry_points_equal_those_of_the_standard_library(group: str) -> None:
    found = {(e.name, e.value, e.dist and e.dist.name) for e in entry_points(group)}  # type: ignore[attr-defined]
    assert found == {(e.name, e.value, e.dist and e.dist.name) for e in metadata.entry_points(group=group)}


@pytest.mark.parametrize(
    "text",
    [
        "[zoo]\na = mod\n",
        "[console_scripts]\nx = y:z\n\n[zoo]\na = mod:obj.part\nb=other\n[later]\nc = d\n",
        "# a comment\n[zoo]\n# another\n\n  a = mod  \n",
        "[ zoo ]\na = mod\n",
        "[zoo]\n",
        "",
        "[zoological]\na = b\n",
        "[zoo]\na = mod:thing [extra]\n",
    ],
)
@pytest.mark.parametrize("suffix", ["dist-info", "egg-info"])
def test_every_way_to_write_them_is_read(tmp_path: Path, text: str, suffix: str) -> None:
    install(tmp_path, "my_zoo", "1.2", text, suffix=suffix)
    if "[ zoo ]" not in text:  # which the standard library does not take for [zoo]
        assert ours(tmp_path) == theirs(tmp_path)
    assert len(ours(tmp_path)) == sum(" = mod" in line or line == "b=other" for line in text.splitlines())


def test_the_first_of_two_distributions_of_one_name_is_used(tmp_path: Path) -> None:
    install(tmp_path / "one", "My.Zoo", "1", "[zoo]\na = first\n")
    install(tmp_path / "two", "my_zoo", "2", "[zoo]\na = second\nb = more\n")
    assert ours(tmp_path / "one", tmp_path / "two") == [("a", "first", "My.Zoo", "1")]
    assert ours(tmp_path / "two", tmp_path / "one") == [("a", "second", "my_zoo", "2"), ("b", "more", "my_zoo", "2")]


def test_a_distribution_without_entry_points_hides_a_later_one(tmp_path: Path) -> None:
    install(tmp_path / "one", "my_zoo", "1", "")
    install(tmp_path / "two", "my_zoo", "2", "[zoo]\na = b\n")
    assert ours(tmp_path / "one", tmp_path / "two") == theirs(tmp_path / "one", tmp_path / "two") == []


def test_missing_and_binary_files_are_ignored(tmp_path: Path) -> None:
    install(tmp_path, "good", "1", "[zoo]\na = b\n")
    (tmp_path / "empty-1.dist-info").mkdir()
    (tmp_path / "file-1.dist-info").write_text("a file, not a folder")
    install(tmp_path, "binary", "1", "")
    (tmp_path / "binary-1.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe\x00")
    assert ours(tmp_path / "nowhere", tmp_path) == [("a", "b", "good", "1")]


def test_name_and_version_come_from_the_folder_without_headers(tmp_path: Path) -> None:
    install(tmp_path, "my_zoo", "3.1", "[zoo]\na = b\n", headers="\n")
    assert ours(tmp_path) == [("a", "b", "my_zoo", "3.1")]


def test_an_archive_on_the_path_is_left_to_the_standard_library(tmp_path: Path) -> None:
    install(tmp_path / "folder", "plain", "1", "[zoo]\na = b\n")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed-1.dist-info/METADATA", "Metadata-Version: 2.4\nName: packed\nVersion: 1\n")
        archive.writestr("packed-1.dist-info/entry_points.txt", "[zoo]\nc = d\n")
    path = (tmp_path / "packed.zip", tmp_path / "folder")
    assert ours(*path) == theirs(*path) == [("a", "b", "plain", "1"), ("c", "d", "packed", "1")]


@pytest.mark.parametrize("value", ["json", "json:dumps", "os:path.join", "json : dumps [extra, more]"])
def test_load_imports_the_named_object(value: str) -> None:
    found = FoundEntryPoint("x", value, FoundDistribution("d", "1")).load()
    assert found is metadata.EntryPoint("x", value.replace(" : ", ":"), "zoo").load()


def test_a_missing_name_raises_the_error_of_python() -> None:
    with pytest.raises(ModuleNotFoundError):
        FoundEntryPoint("x", "no_such_module_at_all", FoundDistribution("d", "1")).load()
    with pytest.raises(AttributeError):
        FoundEntryPoint("x", "json:nothing", FoundDistribution("d", "1")).load()


def test_the_standard_library_parser_is_not_loaded() -> None:
    code = (
        "import sys, zoo.plugin.entry_points as e; e.entry_points('zoo'); sys.exit('importlib.metadata' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
