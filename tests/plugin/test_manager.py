"""Finding and loading plugins, some of them broken.

The plugins are modules of a few lines, each in a folder with the metadata of an installed distribution.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import pytest

from zoo import PluginError, UnknownNameError, UsageError
from zoo.plugin.manager import PluginStatus, load_plugins
from zoo.plugin.registry import Registry


class Site:
    """A folder into which distributions are 'installed'."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(
        self,
        distribution: str,
        source: str,
        *,
        version: str = "1.0",
        entries: dict[str, str] | None = None,
        requires: Sequence[str] = (),
    ) -> None:
        """One module, named after the distribution, and by default one entry point, `main`, that names it."""
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text("import zoo\n" + textwrap.dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        headers = [f"Name: {distribution}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *headers]) + "\n")
        lines = [f"{name} = {target}\n" for name, target in (entries or {"main": module}).items()]
        (info / "entry_points.txt").write_text("[zoo]\n" + "".join(lines))

    def entry_points(self) -> list[metadata.EntryPoint]:
        found = metadata.distributions(path=[str(self.folder)])
        return [entry_point for distribution in found for entry_point in distribution.entry_points]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(made.folder)
    before = set(sys.modules)
    yield made
    for name in set(sys.modules) - before:
        if str(made.folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def plugin_with(*models: str) -> str:
    """The source of a plugin with these models."""
    specs = ", ".join(f"zoo.ModelSpec({name!r}, 'nowhere:Model')" for name in models)
    return f"@zoo.hookimpl\ndef zoo_models():\n    return [{specs}]\n"


GOOD = plugin_with("good")
BROKEN = {
    "import error": ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    "syntax error": ("def zoo_models(:", "SyntaxError: "),
    "exit at import": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "silent exit at import": ("raise SystemExit", "SystemExit"),
    "exception in a hook": (
        "@zoo.hookimpl\ndef zoo_models():\n    raise RuntimeError('the\\n  disk is on fire')",
        "RuntimeError: the disk is on fire",
    ),
    "exit in a hook": ("@zoo.hookimpl\ndef zoo_models():\n    raise SystemExit(1)", "SystemExit: 1"),
    "invalid spec": (plugin_with("Bad Name"), "ValueError: a name is made of lower-case letters"),
    "misspelt hook": (
        "@zoo.hookimpl\ndef zoo_model():\n    return []",
        "there is no hook 'zoo_model'; did you mean 'zoo_models'?",
    ),
    "unknown argument": ("@zoo.hookimpl\ndef zoo_models(registry):\n    return []", "PluginValidationError: "),
    "one spec without a list": (
        "@zoo.hookimpl\ndef zoo_models():\n    return zoo.ModelSpec('x', 'm:f')",
        "zoo_models must return a list of ModelSpec, not ModelSpec",
    ),
    "a generator": (
        "@zoo.hookimpl\ndef zoo_models():\n    yield zoo.ModelSpec('x', 'm:f')",
        "zoo_models must return a list of ModelSpec, not generator",
    ),
    "a forgotten return": (
        "@zoo.hookimpl\ndef zoo_models():\n    [zoo.ModelSpec('x', 'm:f')]",
        "zoo_models must return a list of ModelSpec, not NoneType",
    ),
    "the wrong spec": (
        "@zoo.hookimpl\ndef zoo_models():\n    return [zoo.DatasetSpec('x', 'm:f')]",
        "zoo_models must return a list of ModelSpec; DatasetSpec(",
    ),
    "a name twice": (plugin_with("twin", "twin"), "the model 'twin' is registered twice by zoo-broken"),
    "a later hook that fails": (
        plugin_with("early") + "@zoo.hookimpl\ndef zoo_optimizers():\n    return [1]",
        "zoo_optimizers must return a list of OptimizerSpec; 1 is not one",
    ),
}

each_broken = pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN.keys())
each_broken_source = pytest.mark.parametrize("source", [source for source, _ in BROKEN.values()], ids=BROKEN.keys())


def load(site: Site, **environ: str) -> tuple[Registry, dict[str, PluginStatus]]:
    registry, statuses = load_plugins(site.entry_points(), environ)
    return registry, {status.plugin.distribution: status for status in statuses}


def everything(registry: Registry) -> list[str]:
    return [entry.full_name for kind in registry.kinds() for entry in kind]


def test_specs_of_a_plugin_are_found_by_name(site: Site) -> None:
    site.install("zoo-good", GOOD, version="1.2.3")
    registry, _ = load(site)
    assert str(registry.models.get("good").plugin) == "zoo-good 1.2.3"


def test_all_hooks_are_called(site: Site) -> None:
    site.install(
        "zoo-all",
        """
        @zoo.hookimpl
        def zoo_models(): return [zoo.ModelSpec("m2", "a:b"), zoo.ModelSpec("m1", "a:b")]
        @zoo.hookimpl
        def zoo_datasets(): return [zoo.DatasetSpec("d", "a:b")]
        @zoo.hookimpl
        def zoo_optimizers(): return (zoo.OptimizerSpec("o", "a:b"),)
        @zoo.hookimpl
        def zoo_loggers(): return [zoo.LoggerSpec("l", "a:b")]
        """,
    )
    _, statuses = load(site)
    provides = {"models": ["m1", "m2"], "datasets": ["d"], "optimizers": ["o"], "loggers": ["l"]}
    assert statuses["zoo-all"].provides == provides


def test_prints_of_a_plugin_go_to_stderr(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("zoo-loud", "print('hello')")
    load(site)
    assert capsys.readouterr() == ("", "hello\n")


def test_a_plugin_without_hooks_is_loaded(site: Site) -> None:
    site.install("zoo-empty", "")
    _, statuses = load(site)
    assert (statuses["zoo-empty"].state, statuses["zoo-empty"].cause) == ("loaded", "")


def test_an_entry_point_may_name_an_object_with_hooks(site: Site) -> None:
    source = """
        class Plugin:
            @zoo.hookimpl
            def zoo_models(self): return [zoo.ModelSpec("inner", "a:b")]
        plugin = Plugin()
        """
    site.install("zoo-object", source, entries={"main": "zoo_object:plugin"})
    registry, _ = load(site)
    assert registry.models.names() == ["inner"]


@each_broken
def test_a_broken_plugin_is_reported_with_its_cause_in_one_line(site: Site, source: str, cause: str) -> None:
    site.install("zoo-broken", source)
    _, statuses = load(site)
    status = statuses["zoo-broken"]
    assert (status.state, status.cause[: len(cause)], "\n" in status.cause) == ("failed", cause, False)


@each_broken_source
def test_a_broken_plugin_leaves_nothing_in_the_registry_and_others_alone(site: Site, source: str) -> None:
    site.install("zoo-a-neighbour", plugin_with("before"))
    site.install("zoo-broken", source)
    site.install("zoo-z-neighbour", plugin_with("after"))
    registry, _ = load(site)
    assert everything(registry) == ["zoo-z-neighbour/after", "zoo-a-neighbour/before"]


@each_broken
def test_strict_loading_raises_and_keeps_the_cause(site: Site, source: str, cause: str) -> None:
    site.install("zoo-broken", source, version="0.9")
    with pytest.raises(PluginError) as caught:
        load(site, ZOO_STRICT_PLUGINS="1")
    assert str(caught.value).startswith("plugin zoo-broken 0.9 ")
    assert cause in str(caught.value)


@pytest.mark.parametrize("value", ["", "0"])
def test_strict_loading_can_be_switched_off(site: Site, value: str) -> None:
    site.install("zoo-broken", "import nowhere_at_all")
    _, statuses = load(site, ZOO_STRICT_PLUGINS=value)
    assert statuses["zoo-broken"].state == "failed"


def test_the_warning_names_the_plugin_its_version_the_cause_and_the_remedy(site: Site) -> None:
    site.install("zoo-broken", "raise ValueError('one\\ntwo')", version="0.9")
    _, statuses = load(site)
    warning = statuses["zoo-broken"].warning
    assert "\n" not in warning
    for part in ("zoo-broken 0.9", "ValueError: one two", "pip uninstall zoo-broken"):
        assert part in warning


REQUIREMENTS = {  # a requirement of the plugin, and what is told of it; a distribution `zoo-base` 1.0 is installed
    "zoo-base>=2": "zoo-base>=2, and 1.0 is installed",
    "zoo_base >=2, <3": "zoo_base<3,>=2, and 1.0 is installed",
    "zoo-base==1.0.dev1": "zoo-base==1.0.dev1, and 1.0 is installed",
    "zoo-nowhere>=2": "zoo-nowhere>=2, and it is not installed",
    "zoo-nowhere": "zoo-nowhere, and it is not installed",
    'zoo-nowhere; python_version >= "3"': "zoo-nowhere, and it is not installed",
    "zoo-base>=1": None,
    "zoo-base": None,
    'zoo-nowhere; python_version < "3"': None,
    "zoo-nowhere; extra == 'fast'": None,
    "no requirement at all": None,
}
FAILING = {
    "import": "import nowhere_at_all",
    "a field that this zoo has not": "zoo.ModelSpec('x', 'm:f', later=1)",
    "a hook that this zoo has not": "@zoo.hookimpl\ndef zoo_later():\n    return []",
}


@pytest.mark.parametrize("source", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize(("requirement", "told"), REQUIREMENTS.items(), ids=REQUIREMENTS)
def test_a_plugin_that_fails_without_its_requirements_is_told_so(
    site: Site, requirement: str, told: str | None, source: str
) -> None:
    site.install("zoo-base", "")
    site.install("zoo-broken", source, requires=["pluggy", requirement])
    _, statuses = load(site)
    ending = f"; its requirements are not met: {told} ('pip install zoo-broken' installs them, or remove it with "
    assert (ending in statuses["zoo-broken"].warning) is (told is not None)
    assert ("requirements" in statuses["zoo-broken"].cause) is (told is not None)


def test_a_plugin_that_works_without_its_requirements_is_left_alone(site: Site) -> None:
    site.install("zoo-good", GOOD, requires=["zoo-nowhere"])
    _, statuses = load(site)
    assert statuses["zoo-good"].warnings == []


def test_a_factory_that_cannot_be_imported_without_requirements_is_told_so(site: Site) -> None:
    site.install("zoo-good", GOOD, requires=["zoo-nowhere>=2"])
    registry, _ = load(site)
    told = r"No module named 'nowhere'; its requirements are not met: zoo-nowhere>=2, and it is not installed"
    with pytest.raises(PluginError, match=told):
        registry.models.get("good").factory()


def test_an_unknown_name_points_to_the_plugins_that_failed(site: Site) -> None:
    site.install("zoo-broken", "import nowhere_at_all")
    registry, _ = load(site)
    with pytest.raises(UnknownNameError, match="plugins that failed to load: zoo-broken"):
        registry.models.get("mine")


def test_ctrl_c_while_a_plugin_is_imported_is_not_swallowed(site: Site) -> None:
    site.install("zoo-slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(site)


def test_the_second_plugin_of_a_distribution_cannot_take_a_name_of_the_first(site: Site) -> None:
    site.install("zoo-twice", plugin_with("mine"), entries={"first": "zoo_twice", "second": "zoo_twice_too"})
    (site.folder / "zoo_twice_too.py").write_text("import zoo\n" + plugin_with("other", "mine"))
    registry, statuses = load_plugins(site.entry_points(), {})
    assert [(s.plugin.name, s.state) for s in statuses] == [("first", "loaded"), ("second", "failed")]
    assert everything(registry) == ["zoo-twice/mine"]


def test_two_distributions_may_use_the_same_entry_point_name(site: Site) -> None:
    site.install("zoo-one", plugin_with("one"))
    site.install("zoo-two", plugin_with("two"))
    registry, _ = load(site)
    assert registry.models.names() == ["one", "two"]


def test_a_module_that_a_second_distribution_claims_stays_with_the_first(site: Site) -> None:
    site.install("zoo-one", GOOD)
    site.install("zoo-two", "", entries={"main": "zoo_one"})
    registry, statuses = load(site)
    assert (everything(registry), statuses["zoo-two"].state) == (["zoo-one/good"], "failed")


def test_a_plugin_that_is_seen_through_two_paths_is_loaded_once(site: Site, tmp_path: Path) -> None:
    site.install("zoo-good", GOOD)
    again = Site(tmp_path / "again")
    again.install("zoo-good", GOOD)
    registry, statuses = load_plugins([*site.entry_points(), *again.entry_points()], {})
    assert ([status.state for status in statuses], everything(registry)) == (["loaded"], ["zoo-good/good"])


def test_a_clash_of_short_names_leaves_both_reachable(site: Site) -> None:
    site.install("zoo-first", plugin_with("mine"))
    site.install("zoo-rival", plugin_with("mine"))
    registry, _ = load(site)
    assert registry.models.names() == ["zoo-first/mine", "zoo-rival/mine"]


def test_a_clash_with_a_builtin_name_leaves_the_name_to_the_builtin_one(site: Site) -> None:
    site.install("zoo-models", plugin_with("mlp-char"))
    site.install("zoo-rival", plugin_with("mlp-char"))
    registry, _ = load(site)
    assert registry.models.get("mlp-char").full_name == "zoo-models/mlp-char"
    assert registry.models.names() == ["mlp-char", "zoo-rival/mlp-char"]


def test_builtin_plugins_come_first_and_the_rest_by_name(site: Site) -> None:
    for distribution in ("zoo-z", "zoo-models", "zoo-a"):
        site.install(distribution, "")
    _, statuses = load(site)
    assert list(statuses) == ["zoo-models", "zoo-a", "zoo-z"]


@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        (None, ["zoo-models", "zoo-a", "zoo-b", "zoo-c"]),
        ("", ["zoo-models"]),
        ("  ", ["zoo-models"]),
        ("zoo-a", ["zoo-models", "zoo-a"]),
        (" zoo-a , zoo-c,", ["zoo-models", "zoo-a", "zoo-c"]),
        ("entry-b", ["zoo-models", "zoo-b"]),
        ("zoo-models", ["zoo-models"]),
    ],
)
def test_zoo_plugins_chooses_by_distribution_or_entry_point(site: Site, value: str | None, loaded: list[str]) -> None:
    site.install("zoo-models", plugin_with("builtin"))
    for letter in "abc":
        site.install(f"zoo-{letter}", plugin_with(letter), entries={f"entry-{letter}": f"zoo_{letter}"})
    _, statuses = load(site, **({} if value is None else {"ZOO_PLUGINS": value}))
    assert [name for name, status in statuses.items() if status.state == "loaded"] == loaded


def test_a_plugin_that_is_not_chosen_is_shown_as_disabled_and_not_imported(site: Site) -> None:
    site.install("zoo-off", "raise RuntimeError('imported')")
    _, statuses = load(site, ZOO_PLUGINS="", ZOO_STRICT_PLUGINS="1")
    assert (statuses["zoo-off"].state, statuses["zoo-off"].provides) == ("disabled", {})


def test_zoo_plugins_with_an_unknown_name_is_an_error_with_the_nearest_ones(site: Site) -> None:
    site.install("zoo-good", GOOD)
    with pytest.raises(
        UsageError, match="ZOO_PLUGINS names 'zoo-god', which is not installed; did you mean 'zoo-good'"
    ):
        load(site, ZOO_PLUGINS="zoo-god")


def test_each_call_makes_a_registry_of_its_own(site: Site) -> None:
    site.install("zoo-good", GOOD)
    first, _ = load(site)
    second, _ = load(site)
    first.models.remove_plugin(first.models.get("good").plugin)
    assert (everything(first), everything(second)) == ([], ["zoo-good/good"])


def test_the_installed_builtin_plugin_is_found_by_its_entry_point() -> None:
    registry, statuses = load_plugins(environ={"ZOO_PLUGINS": ""})
    lecture = next(status for status in statuses if status.plugin.builtin and status.plugin.name == "lecture")
    assert lecture.state == "loaded"
    assert "zoo-models/mlp-char" in registry.models
