"""The wheel has all that the tree has and nothing else, and works where there is no tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python_with_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that has the wheel, and finds the dependencies where these tests find them."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", str(wheel)],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    return python


def test_wheel_has_every_file_of_the_tree_and_no_other(wheel: Path) -> None:
    packages = {"zoo": ROOT / "zoo"} | {path.name: path for path in (ROOT / "plugins").iterdir() if path.is_dir()}
    tree = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in packages.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == tree


def test_wheel_has_the_same_bytes_as_the_tree(wheel: Path) -> None:
    data = "zoo_lecture/data/names-ssa-2018.txt"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(data) == (ROOT / "plugins" / data).read_bytes()


def test_installed_wheel_trains_from_a_neutral_folder(python_with_wheel: Path) -> None:
    command: list[str | Path] = [
        python_with_wheel,
        "-P",
        "-c",
        "import zoo, zoo_lecture; print(zoo.__file__, zoo_lecture.__file__)",
    ]
    places = subprocess.check_output(command, text=True).split()
    assert all(Path(place).is_relative_to(python_with_wheel.parent.parent) for place in places)
    script = python_with_wheel.parent / "zoo"
    done = subprocess.run(
        [script, "run", "mlp-char", "--steps", "20", "--offline"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Everything is in runs/mlp-char-1" in done.stdout
    assert {path.name for path in Path("runs/mlp-char-1").iterdir()} >= {
        "model.safetensors",
        "loss.png",
        "embeddings.png",
    }
