"""What the documents say is what happens: their commands are run, and the plugin they teach is built and tested."""

from __future__ import annotations

import inspect
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import make_readme
import pytest
from conftest import but_for_what_was_read, run_python
from dropping import install

import zoo
import zoo.testing
from zoo.cli import COMMANDS
from zoo.plugin import hookspecs
from zoo.plugin.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "zoo/**/README.md", "plugins/**/README.md", "scripts/**/*.md", "tests/README.md")
    for path in ROOT.glob(pattern)
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "zoo" / "README.md").read_text(encoding="utf-8")
PLUGINS_README = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
MAKEMORE_README = (ROOT / "plugins" / "zoo_makemore" / "README.md").read_text(encoding="utf-8")

Zoo = Callable[..., Any]


def shape(output: str) -> list[str]:
    """Output with what may differ from machine to machine taken out: digits, and the sampled words."""
    lines = [re.sub(r"\s+", " ", re.sub(r"[\d,.]+", "#", line)).strip() for line in output.splitlines()]
    lines = [re.sub(r"^\w+ (unseen|training|held out)$", "a word", line) for line in lines]
    return [re.sub(r"p [<=] #", "p", line) for line in lines]


@pytest.mark.parametrize("document", make_readme.WITH_OUTPUT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_run_and_print_what_the_document_shows(document: Path) -> None:
    work = Path.cwd()
    (work / "scripts").symlink_to(ROOT / "scripts")
    (work / "home").mkdir()
    commands = [command for block in make_readme.blocks(document.read_text(encoding="utf-8")) for command in block]
    assert commands
    for command in commands:
        output = make_readme.execute(command.line, work, {})
        shown = command.output.replace("on names:", "on names-ssa-#:")  # there is no network here
        assert shown, f"{document} shows no output of {command.line!r}: run scripts/make_readme.py"
        if command.line.startswith(("zoo list", "zoo info", "zoo plugins", "zoo plot")):
            assert output == shown, command.line
        else:
            assert shape(output) == shape(shown), command.line


def test_readme_has_one_line_for_each_model_with_the_loss_of_the_leaderboard(tmp_path: Path) -> None:
    table = make_readme.models_table(MAKEMORE_README, tmp_path)
    assert make_readme.with_section(README, "models", table) == README, "run scripts/make_readme.py"


def test_the_table_of_models_has_every_built_in_one_of_words(registry: Registry) -> None:
    table = re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)
    assert sorted(table) == sorted(entry.spec.name for entry in registry.models if entry.spec.dataset is not None)


def test_the_table_of_presets_has_every_one(registry: Registry) -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+\.py)` \| (.*) \|$", MAKEMORE_README, re.MULTILINE)
    shown = {name: (file, re.findall(r"`([\w-]+)`", presets)) for name, file, presets in rows}
    specs = [entry.spec for entry in registry.models if str(entry.spec.factory).startswith("zoo_makemore.")]
    module = re.compile(r"zoo_makemore\.(\w+):")
    assert shown == {spec.name: (f"{module.findall(str(spec.factory))[0]}.py", list(spec.presets)) for spec in specs}


def test_readme_is_short() -> None:
    assert README.count("\n") <= 200


def test_the_map_names_files_and_functions_that_exist() -> None:
    files = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", MAP))
    lost = [
        file
        for file in sorted(files - {"mlp_char.py", "sgd.py"})
        if not (ROOT / (file if file.startswith("tests/") else f"zoo/{file}")).is_file()
    ]
    named = re.findall(r"`([a-z_/]+\.py)`: `(\w+)`", MAP)
    assert len(named) > 15
    for file, name in named:
        path = ROOT / "zoo" / file
        if path.is_file() and not re.search(rf"^(def|class) {name}\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            lost.append(f"{name} of {file}")
    assert not lost


def test_readme_longer_commands_run_with_fewer_steps(zoo_here: Zoo, few_words: Path) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    commands = [line.split()[1:] for line in lines if line.startswith("zoo run ")]
    assert len(commands) >= 3
    for command in commands:
        short = ["--warmup", 1] if "--warmup" in command else []  # which may not be longer than the run
        assert zoo_here(*command, "--steps", 3, *short, "--no-plots").code == 0, command
    sweeps = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("zoo sweep ")]
    assert len(sweeps) >= 3
    for command in sweeps:
        fewer = [*command, "--dataset", few_words, "--steps", "3", "--seeds", "2", "--jobs", "1", "--most-seeds", "4"]
        assert zoo_here(*fewer[: -2 * ("--until-decided" not in command) or None]).code == 0, command
    others = [shlex.split(line, comments=True)[1:] for line in lines if re.match("zoo (?!run |sweep )", line)]
    assert {command[0] for command in others} >= {"report", "runs", "compare", "predict"}
    for command in others:
        outcome = zoo_here(*command)
        assert outcome.code == 0, outcome.err


def test_readme_python_runs() -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "runs/mlp-char-1" in done.stdout


def test_readme_pictures_exist() -> None:
    pictures = re.findall(r"!\[\w+\]\((.*?)\)", README)
    assert len(pictures) == 2
    assert all((ROOT / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


def anchors(document: Path) -> set[str]:
    """What a link can name after `#`: the headings, in lower case, with hyphens."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_documents_that_are_checked_are_found() -> None:
    assert {"README.md", "zoo/README.md", "zoo/cli/README.md", "plugins/README.md", "tests/README.md"} < set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if not target.startswith("https://"):
            linked = path.parent / file if file else path
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_outside_tables_and_blocks_fit(document: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > 130 and not line.startswith("|")] == []


def test_readme_names_every_command() -> None:
    assert all(f"zoo {command}" in README or f"`{command}`" in README for command in COMMANDS)


def test_scripts_readme_names_every_script() -> None:
    text = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    made = {"__pycache__", "__marimo__"}
    entries = [path for path in (ROOT / "scripts").rglob("*") if not made & set(path.parts)]
    scripts = [path.name for path in entries if path.is_file() and path.suffix not in (".png", ".md")]
    folders = [f"{path.name}/" for path in entries if path.is_dir()]
    assert [name for name in scripts + folders if f"`{name}`" not in text] == []


@pytest.mark.parametrize("document", ["README.md", "plugins/README.md", "scripts/README.md", "tests/README.md"])
def test_paths_of_scripts_in_documents_exist(document: str) -> None:
    paths = re.findall(r"\bscripts/[\w/]+\.(?:py|sh|txt|md)\b", (ROOT / document).read_text(encoding="utf-8"))
    assert [path for path in paths if not (ROOT / path).exists() and not (ROOT / "tests" / path).exists()] == []


@pytest.mark.parametrize("hook", ["zoo_models", "zoo_datasets", "zoo_optimizers", "zoo_loggers"])
def test_each_hook_is_documented_with_its_exact_signature(hook: str) -> None:
    assert f"def {hook}{inspect.signature(getattr(hookspecs, hook))}".replace("'", "") + ": ..." in PLUGINS_README


def test_there_are_no_other_hooks() -> None:
    assert [name for name in vars(hookspecs) if name.startswith("zoo_")] == [
        "zoo_models",
        "zoo_datasets",
        "zoo_optimizers",
        "zoo_loggers",
    ]


def taught(package: str, source: Path) -> Path:
    """Write the files that plugins/README.md has of a package, and install it."""
    target = source.with_name(f"{source.name}-installed")
    for name, code in re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)```", PLUGINS_README, re.DOTALL | re.MULTILINE):
        if name == "pyproject.toml":
            code = code.replace("stars", package.removeprefix("zoo_"))
        if name.partition("/")[0] in ("pyproject.toml", package) or (package, name) == (
            "zoo_stars",
            "tests/test_stars.py",
        ):
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *offline, str(source)], check=True, capture_output=True, text=True)
    return target


@pytest.fixture(scope="module")
def taught_plugin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package of the first part of plugins/README.md: its sources, and where it was installed."""
    source = tmp_path_factory.mktemp("zoo-stars")
    return source, taught("zoo_stars", source)


@pytest.fixture(scope="module")
def taught_sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package for other data than words was installed."""
    return taught("zoo_sky", tmp_path_factory.mktemp("zoo-sky"))


def test_taught_plugin_passes_its_own_tests(taught_plugin: tuple[Path, Path]) -> None:
    source, target = taught_plugin
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(source / "tests")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_taught_commands_run(zoo_command: Zoo, taught_plugin: tuple[Path, Path]) -> None:
    env = {"PYTHONPATH": str(taught_plugin[1])}
    block = re.search(r"## Try it\n\n```console\n(.*?)```", PLUGINS_README, re.DOTALL)
    assert block is not None
    commands = [line.split()[2:] for line in block.group(1).splitlines() if line.startswith("$ zoo ")]
    assert len(commands) == 6
    for command in commands:
        few = ["--steps", "5", "--no-plots"] if command[0] == "run" else []
        done = zoo_command(*command, *few, env=env)
        assert (done.returncode, but_for_what_was_read(done.stderr)) == (0, ""), command
        if command == ["list"]:
            assert "linear-char" in done.stdout


SKY = re.search(r"^## Data, losses and metrics of your own\n(.*?)^## ", PLUGINS_README, re.DOTALL | re.MULTILINE)
SKY_COMMANDS = re.findall(r"^\$ zoo (.*)$", SKY.group(1), re.MULTILINE) if SKY else []


def test_taught_commands_for_other_data_run(zoo_here: Zoo, taught_sky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(taught_sky))
    assert len(SKY_COMMANDS) == 8
    for command in SKY_COMMANDS:
        few = ["--steps", 20] if "transformer" in command else []  # it takes long, and other tests have it learn
        done = zoo_here(*command.split(), *few, *(["--no-plots"] if command.startswith("run") else []))
        assert done.code == 0, done.err
        assert "warning" not in done.err
    ninth = json.loads(Path("runs/quantile-line-1/metrics.json").read_text())["metrics"]["test"]["below"]
    assert 0.8 < ninth < 1  # --set loss.quantile=0.9
    assert Path("moons.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path("phases/metrics.json").read_text())["metrics"]["val"]["accuracy"] > 0.7


def test_taught_package_for_other_data_passes_the_checks(taught_sky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(taught_sky))
    zoo.testing.check_plugin("zoo-sky")


def test_taught_logger_and_schedule_work(
    taught_plugin: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = taught_plugin
    monkeypatch.syspath_prepend(str(target))
    [(name, path)] = re.findall(r'zoo\.LoggerSpec\("(\w+)", "(zoo_stars[\w.:]+)"', PLUGINS_README)

    class Plugin:
        @zoo.hookimpl
        def zoo_loggers(self) -> list[zoo.LoggerSpec]:
            return [zoo.LoggerSpec(name, path)]

    install(monkeypatch, Plugin())
    options: dict[str, Any] = {"dataset": "names-ssa-2018", "device": "cpu", "plots": False, "out": tmp_path / "run"}
    options |= {"log": name, "settings": {"logger.decimals": 2}, "schedule": "zoo_stars.schedules:inverse"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = zoo.run("bigram", steps=3, **options)
    lines = (run.path / "means.txt").read_text().splitlines()
    assert re.fullmatch(r"1 \d\.\d\d", lines[0])
    assert "'test'" in lines[-1]


def test_example_of_the_python_api_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "scripts" / "examples" / "python_api.py", "20"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "200 hidden units: validation loss" in done.stdout


def test_the_example_of_an_observer_prints_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", MAP, re.DOTALL)
    example = tmp_path / "observer.py"
    example.write_text(code)
    runpy.run_path(str(example))
    [said] = re.findall(r"print\(.*\)  # (.*)", code)
    assert capsys.readouterr().out == f"{said}\n"


def test_example_without_zoo_gives_the_models_own_probabilities(finished_run: Path) -> None:
    import torch

    import zoo

    code = (
        "import sys, runpy; sys.modules['zoo'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    script, weights = ROOT / "scripts" / "examples" / "next_letter.py", finished_run / "model.safetensors"
    done = run_python("-c", code, script, weights, "emm")
    assert done.returncode == 0, done.stderr
    loaded = zoo.load(finished_run)
    with torch.no_grad():
        probs = torch.softmax(loaded.model(torch.tensor([loaded.vocabulary.encode("emm")]))[0], dim=0)
    letter, percent = done.stdout.split()[:2]
    assert letter == loaded.vocabulary.itos[int(probs.argmax())]
    assert float(percent.rstrip("%")) == pytest.approx(100 * float(probs.max()), abs=0.06)


def test_scripts_run_does_the_main_job_from_anywhere(tmp_path: Path) -> None:
    if not list((ROOT / ".venv").glob(".installed-*")):
        pytest.skip("neither script has installed anything here, and the test would")
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, ROOT / "scripts" / "run", "--steps", "5", "--no-plots"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert Path("runs/mlp-char-1/model.safetensors").is_file()
