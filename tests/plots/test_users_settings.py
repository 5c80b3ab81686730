"""Settings of matplotlib that a user may have, one after the other: the plots have the same bytes, and nothing changes.

Those of a Python process are tried in this one. Those that matplotlib reads when it is imported are tried in processes
of their own: without a worker, and in a worker.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import pytest
from conftest import run_python
from matplotlib import pyplot as plt
from plot_settings import SETTINGS

from zoo import UsageError
from zoo.plots.plot import Plot

LOSSES = [3 / (1 + step / 9) for step in range(60)]
TABLE = [[0.1, 1 / 3], [-2.5, 1e-7], [0.7, 0.7]]
TWO = [
    Plot("loss.png", "loss", {"losses": LOSSES, "title": "Loss", "final": {"train": 2.0, "val": 2.1}}),
    Plot("embeddings.png", "embeddings", {"table": TABLE, "labels": list(".aб"), "title": "Map"}),
]


@pytest.fixture(scope="module")
def expected() -> Iterator[dict[str, bytes]]:
    with mpl.rc_context():
        mpl.rcdefaults()
        yield {plot.name: plot.render() for plot in TWO}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_process_change_no_byte_and_are_left_as_they_were(
    name: str, expected: dict[str, bytes], recwarn: pytest.WarningsRecorder
) -> None:
    with mpl.rc_context(cast("Any", SETTINGS[name])):
        before, backend = dict(mpl.rcParams), mpl.get_backend(auto_select=False)
        assert {plot.name: plot.render() for plot in TWO} == expected
        assert dict(mpl.rcParams) == before
        assert mpl.get_backend(auto_select=False) == backend
    assert not recwarn.list


def test_a_plot_that_fails_leaves_the_settings_as_they_were() -> None:
    with mpl.rc_context({"axes.grid": True}):
        before = dict(mpl.rcParams)
        with pytest.raises(UsageError):
            Plot("loss.xyz", "loss", TWO[0].arguments).render()
        assert dict(mpl.rcParams) == before


def test_open_figures_stay_as_they_are() -> None:
    plt.switch_backend("agg")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    numbers = plt.get_fignums()
    try:
        for plot in TWO:
            plot.render()
        assert (plt.get_fignums(), plt.gcf(), plt.gca()) == (numbers, figure, axes)
    finally:
        plt.close(figure)


# What matplotlib reads when it is imported

FILES: dict[str, bytes] = {
    "usetex": b"backend: tkagg\ninteractive: True\ntext.usetex: True\nsavefig.bbox: tight\nfont.family: serif\n",
    "unknown keys": b"no.such.key: 1\naxes.grid: perhaps\nnonsense\n",
    "not UTF-8": b"font.family: \xff\xfe\n",
}
IMPORTED = {
    **{f"MPLBACKEND={name}": {"MPLBACKEND": name} for name in ("nonsense", "module://nowhere")},
    **{f"matplotlibrc: {name}": {"MATPLOTLIBRC": name} for name in FILES},
    "a matplotlibrc in the working folder": {"here": "not UTF-8"},
}

DRAW = """
import hashlib, json, os, sys, tempfile
from zoo.plots.plot import Plot
from zoo.plots.worker import PlotWorker
plots = [Plot(*one) for one in json.loads(sys.argv[1])]
here = {}
for name, variables in json.loads(sys.argv[2]).items():
    if not os.fork():  # each from before matplotlib was imported
        try:
            os.chdir(tempfile.mkdtemp(dir=os.environ["SCRATCH"]))
            if "here" in variables:
                os.link(variables.pop("here"), "matplotlibrc")
            os.environ.update(variables)
            before, folder = dict(os.environ), os.getcwd()
            made = {"worker": PlotWorker().render(plots), "here": {plot.name: plot.render() for plot in plots}}
            digests = {who: [hashlib.sha256(made[who].get(p.name, b"")).hexdigest() for p in plots] for who in made}
            assert dict(os.environ) == before and os.getcwd() == folder
            print(json.dumps([name, digests]), flush=True)
        finally:
            os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By settings and by process: the digests of both plots. All are tried in one process, which forks."""
    folder = tmp_path_factory.mktemp("settings")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    places = {
        case: {key: value if key == "MPLBACKEND" else str(folder / value) for key, value in variables.items()}
        for case, variables in IMPORTED.items()
    }
    plots = json.dumps([[plot.name, plot.kind, plot.arguments] for plot in TWO])
    done = run_python("-c", DRAW, plots, json.dumps(places), env={"SCRATCH": str(folder)})
    assert not done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.skipif(os.name != "posix", reason="it needs fork")
@pytest.mark.parametrize("who", ["worker", "here"])
@pytest.mark.parametrize("case", IMPORTED)
def test_settings_that_are_read_at_import_change_no_byte(
    case: str, who: str, drawn: dict[str, Any], expected: dict[str, bytes]
) -> None:
    assert drawn[case][who] == [hashlib.sha256(expected[plot.name]).hexdigest() for plot in TWO]


def test_nothing_sets_how_plots_look_but_the_style_of_zoo() -> None:
    """One place: another `rc_context`, `rcParams` or `pyplot` in the core would go round it."""
    root = Path(__file__).resolve().parents[2] / "zoo"
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if any(word in path.read_text() for word in ("rc_context", "rcParams", "import pyplot", "Figure("))
    }
    assert found == {"plots/figures/style.py"}
    text = (root / "plots" / "figures" / "style.py").read_text()
    assert text.count("rc_context(") == text.count("(Figure)") == text.count("OwnFigure(fig") == 1
