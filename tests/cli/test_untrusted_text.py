"""Whatever a file, a plugin, an argument or the environment has in it, no command lets it steer the terminal.

Each control text is tried in each source, with each command that shows something of that source.
"""

from __future__ import annotations

import json
import shutil
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from conftest import Outcome
from forging import changer, forge, put

import zoo
from zoo.plugin import manager
from zoo.plugin.entry_points import entry_points
from zoo.runs.observer import Observer
from zoo.storage import checkpoint
from zoo.storage.folder import STATE_FILE
from zoo.text import visible

Zoo = Callable[..., Outcome]
Commands = Sequence[Sequence[object]]

CONTROLS = {
    "CSI": "\x1b[31m",
    "OSC": "\x1b]52;c;ZXZpbA==\x07",
    "bell": "\a",
    "backspace": "\b\b\b",
    "carriage return": "\r",
    "tab": "\t",
    "line feed": "\n",
    "form feed": "\f",
    "shift out": "\x0e",
    "NUL": "\0",
    "DEL": "\x7f",
    "C1 CSI": "\x9b31m",
    "C1 OSC": "\x9d52;c;\x9c",
    "next line": "\x85",
    "override": "\u202e",
    "isolate": "\u2066",
    "Arabic mark": "\u061c",
    "zero width": "\u200b\u200d",
    "byte order mark": "\ufeff",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "tag": "\U000e0041",
    "blank letter": "\u3164",
    "surrogate": "\udcff",
}
LISTED: Commands = [["runs", "run"], ["runs", "run", "--csv"], ["compare", "run"], ["compare", "run", "--markdown"]]
NOT_QUOTED = {"files of a run"}  # no command quotes what is in a damaged one
MARK = "zq"  # beside the control text, to see that it was shown


@dataclass(frozen=True)
class Place:
    """Where a source puts its text."""

    run: Path
    patch: pytest.MonkeyPatch

    def config(self, key: str, value: object) -> None:
        """Change the config of the weights, with the right digests."""
        changer(self.run)(key, value)

    def state(self, key: str, value: object) -> None:
        """Change the config of the training state."""
        changer(self.run)(key, value, name=STATE_FILE)


Source = Callable[[Place, str], Commands]  # the commands to try with a text
SOURCES: dict[str, Source] = {}


def source(function: Source) -> Source:
    SOURCES[function.__name__.replace("_", " ")] = function
    return function


@source
def vocabulary(place: Place, text: str) -> Commands:
    place.config("dataset.vocabulary", [".", *sorted({*"abel", text[len(MARK)]})])
    return [["sample", "run"], ["sample", "run", "--json"], ["sample", "run", "--prefix", MARK]]


@source
def tensor_name(place: Place, text: str) -> Commands:
    path = place.run / "model.safetensors"
    stored = checkpoint.load(path)
    renamed = {text if name == "C" else name: tensor for name, tensor in stored.tensors.items()}
    forge(path, renamed, {key: stored.meta[key] for key in ("config", "step")})
    return [["eval", "run"], ["verify", "run"], ["verify", "run", "--json"]]


def in_config(*keys: str) -> Source:
    """What a config has at some keys."""

    def put_there(place: Place, text: str) -> Commands:
        for key in keys:
            place.config(key, text)
            place.state(key, text)
        commands: Commands = [[name, "run"] for name in ("eval", "sample", "verify")]
        return [*commands, ["resume", "run", "--steps", "5", "--allow-changes", "--no-plots"]]

    return put_there


SOURCES["name of a model"] = in_config("model.name")
SOURCES["version of a plugin"] = in_config("model.name", "model.plugin.version")
SOURCES["distribution of a plugin"] = in_config("model.plugin.distribution")
SOURCES["name of a dataset"] = in_config("dataset.name")
SOURCES["name of an optimizer"] = in_config("optimizer.name")
SOURCES["value of a setting"] = in_config("model.hyperparameters.hidden_size")
SOURCES["device"] = in_config("training.device")


@source
def key_of_a_config(place: Place, text: str) -> Commands:
    for section in ("model.hyperparameters", "optimizer.hyperparameters", "dataset.settings", "model.inputs"):
        place.config(f"{section}.{text.replace('.', '')}", 3)
        place.state(f"{section}.{text.replace('.', '')}", 3)
    return [[name, "run"] for name in ("eval", "sample", "verify", "resume")]


@source
def edited_config(place: Place, text: str) -> Commands:
    path = place.run / "config.json"
    config = json.loads(path.read_text())
    put(config, "training.lr", text)
    path.write_text(json.dumps(config))
    return [["verify", "run"], ["resume", "run", "--steps", 8, "--no-plots"], *LISTED]


@source
def files_of_a_run(place: Place, text: str) -> Commands:
    for name in ("losses.csv", "metrics.json", "validation.csv", "config.json"):
        (place.run / name).write_bytes(f"step,loss\n{text}\n".encode(errors="surrogatepass"))
    return [
        ["verify", "run"],
        ["verify", "run", "--json"],
        ["plot", "run"],
        ["resume", "run", "--steps", 8, "--no-plots"],
        *LISTED,
    ]


@source
def words_of_a_dataset(place: Place, text: str) -> Commands:
    words = Path("words.txt")
    words.write_bytes("\n".join([*"abelnabeln", text, "x"]).encode(errors="surrogatepass"))
    data = ["--dataset", words]
    shown: Commands = [["data", words], ["data", words, "--json"]]
    return [
        *shown,
        ["eval", "run", *data],
        ["sample", "run", *data],
        ["run", "mlp-char", *data, "--steps", "1", "--no-plots"],
    ]


@source
def name_of_a_file(place: Place, text: str) -> Commands:
    folder = Path(text)
    shutil.copytree(place.run, folder)
    files = [folder, folder / "nothing", folder / "losses.csv"]
    commands: Commands = [[name, file] for file in files for name in ("eval", "verify", "sample", "runs", "compare")]
    words = folder / text
    words.write_text("\n".join("abelnabeln"))
    train = ["run", "mlp-char", "--dataset", words, "--steps", "1", "--no-plots", "--out"]
    return [*commands, ["resume", folder], ["plot", folder, "loss"], [*train, folder], [*train, folder / "new"]]


@source
def argument(place: Place, text: str) -> Commands:
    if "\0" in text:
        raise ValueError("no argument of a process can have it")
    options = ("--dataset", "--device", "--engine", "--preset", "--set", "--steps", "--optimizer", "--checkpoint-every")
    values: list[list[object]] = [["run", "mlp-char", option, text] for option in options]
    values += [["run", "mlp-char", "--set", f"model.{text}=1"], ["run", "mlp-char", "--set", f"data.split={text}"]]
    names: Commands = [[name, text] for name in ("run", "info", "eval", "sample", "plot", "verify", "resume")]
    others = [
        [text],
        [f"--{text}"],
        ["list", text],
        ["list", "--sort", text],
        ["list", f"--{text}"],
        ["list", "", text],
        *(["runs", *options] for options in ([text], ["--sort", text], ["run", "--where", f"{text}<1"])),
        *(["compare", *options] for options in ([text], ["run", "--plot", text])),
    ]
    return [*values, *names, *others, ["sample", "run", "--prefix", text], ["plot", "run", "--dims", text]]


@source
def environment(place: Place, text: str) -> Commands:
    for name in ("ZOO_TIMEOUT", "ZOO_CACHE", "ZOO_MIRROR"):
        if "\0" not in text:
            place.patch.setenv(name, text)
    return [["run", "mlp-char", "--dataset", "names", "--steps", "1"], ["sample", "run", "--dataset", "names"]]


@source
def list_of_plugins(place: Place, text: str) -> Commands:
    place.patch.setattr(manager, "load_plugins", loading({"ZOO_PLUGINS": text}, []))
    return [["list"], ["plugins"], ["info", "mlp-char"], ["eval", "run"]]


@dataclass(frozen=True)
class Dist:
    name: str
    version: str


@dataclass(frozen=True)
class Point:
    """An entry point whose plugin says `text` wherever it can."""

    name: str
    dist: Dist
    fails: str | None = None
    text: str = ""

    def load(self) -> Any:
        if self.fails is not None:
            raise type(self.fails or "Error", (Exception,), {})(self.fails)
        about = {"summary": self.text, "description": f"A text.\n{self.text}", "references": (self.text,)}

        class Plugin:
            @zoo.hookimpl
            def zoo_models(self) -> list[zoo.ModelSpec]:
                presets = {about["summary"]: zoo.Preset(summary=about["summary"])}  # type: ignore[arg-type]
                return [zoo.ModelSpec("talks", failing(self_text), presets=presets, **about)]  # type: ignore[arg-type]

            @zoo.hookimpl
            def zoo_datasets(self) -> list[zoo.DatasetSpec]:
                return [zoo.DatasetSpec("words-of", failing(self_text), **about)]  # type: ignore[arg-type]

        self_text = self.text
        return Plugin()


def failing(text: str) -> Callable[..., Any]:
    def fail(*, size: str = text) -> None:
        warnings.warn(text, stacklevel=1)
        raise RuntimeError(text)

    return fail


def loading(environ: Mapping[str, str], points: list[Point]) -> Callable[[], Any]:
    real = manager.load_plugins
    return lambda: real([*entry_points("zoo"), *points], environ)


@source
def plugin(place: Place, text: str) -> Commands:
    points = [
        Point("fails", Dist("zoo-fails", "1.0"), fails=text),
        Point(text, Dist("zoo-named", "1.0")),
        Point("dist", Dist(text, "1.0"), fails="x"),
        Point("version", Dist("zoo-version", text), fails="x"),
        Point("talks", Dist("zoo-talks", "1.0"), text=text),
    ]
    place.patch.setattr(manager, "load_plugins", loading({}, points))
    shown: Commands = [["list"], ["plugins"], ["list", "--json"], ["plugins", "--json"], ["info", "talks"]]
    used: Commands = [["run", name, "--steps", "1"] for name in ("talks", "mlp-char --dataset words-of")]
    return [*shown, ["info", "talks", "--json"], *([*" ".join(map(str, c)).split()] for c in used)]


def tried(
    name: str, zoo_here: Zoo, made: Path, patch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Sequence[object], Outcome]]:
    """Every control text in a source, with every command; those that a file name or JSON cannot have are left out."""
    start = Path.cwd()
    for number, (control, characters) in enumerate(CONTROLS.items()):
        folder = start / str(number)
        folder.mkdir()
        with patch.context() as here:
            here.chdir(folder)
            shutil.copytree(made, "run")
            try:
                commands = SOURCES[name](Place(Path("run"), here), f"{MARK}{characters}b")
            except (ValueError, OSError):
                continue
            for command in commands:
                yield control, command, zoo_here(*command)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all the rest, and what is in a picture steers nothing."""
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda self, file, **_: file.write(b"PNG"))


@pytest.mark.parametrize("name", SOURCES)
def test_no_text_steers_the_terminal(name: str, zoo_here: Zoo, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, controls, marked = [], set(), set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for control, command, outcome in tried(name, zoo_here, made, monkeypatch):
            controls.add(control)
            text = outcome.out + outcome.err
            marked |= {control} if MARK in text else set()
            if any(visible(line) != line for line in text.split("\n")):
                found.append(f"{control}, {command[0]}: {text!a}")
            if "--debug shows" in outcome.err or "Traceback" in outcome.err:
                found.append(f"{control}, {command[0]}: {outcome.err!a}")
            if outcome.err.count("zoo: error") > 1 or outcome.err.count("\n") > 20:
                found.append(f"{control}, {command[0]}: {outcome.err!a}")
    assert not found, "\n".join(found[:20])
    assert len(controls) >= len(CONTROLS) - 2
    assert name in NOT_QUOTED or len(marked) >= len(controls) - 2, f"the text is shown with {sorted(marked)} only"


@pytest.mark.parametrize("control", CONTROLS)
def test_neither_errors_nor_warnings_of_python_steer_the_terminal(control: str, made: Path) -> None:
    text = f"{MARK}{CONTROLS[control]}b"
    shutil.copytree(made, "run")
    if control != "surrogate":
        changer(Path("run"))("model.name", text)
        with pytest.raises(zoo.ZooError) as caught:
            zoo.load("run")
        told = "".join(traceback.format_exception(caught.value))
        assert all(map(str.isprintable, told.split("\n")))
        assert MARK in told
    for raised in (zoo.UsageError(text), zoo.InterruptedRunError(text, 2)):
        assert f"{raised}".isprintable()
    with pytest.warns(UserWarning, match=MARK) as warned:
        Observer().warning(text)
    assert str(warned[0].message).isprintable()


URLS = {  # with a user and a password
    "host that refuses": "http://user:secret@127.0.0.1:9/",
    "no such scheme": "gopher://user:secret@127.0.0.1/",
    "path in the password": "http://user:se/secret@127.0.0.1:9/",
    "number sign in the password": "http://user:se#secret@127.0.0.1:9/",
    "port that is no number": "http://user:secret@127.0.0.1:port/",
    "no host": "http://user:secret@",
    "bracket": "http://user:secret@[::1/",
    "token": "http://secret@127.0.0.1:9/",
    "no scheme": "user:secret@127.0.0.1:9",
}
VARIABLES = ("ZOO_MIRROR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("kind", URLS)
def test_no_password_is_shown(
    kind: str, variable: str, zoo_here: Zoo, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*VARIABLES, "NO_PROXY", "no_proxy", "ZOO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    if variable != "ZOO_MIRROR":
        scheme = "https" if "https" in variable.lower() else "http"
        monkeypatch.setenv("ZOO_MIRROR", f"{scheme}://mirror.invalid/")
    monkeypatch.setenv(variable, URLS[kind])
    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    for command in (["run", "mlp-char", "--dataset", "names"], ["run", "mlp-char", "--dataset", "names", "--debug"]):
        outcome = zoo_here(*command)
        assert outcome.code != 0
        assert "secret" not in outcome.out + outcome.err, outcome.err


def resolve_here(host: str, *args: Any, **kwargs: Any) -> Any:
    """No test asks a name server."""
    if host in ("127.0.0.1", "::1"):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))]
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
