"""Registering entries and looking them up by name."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from zoo import AmbiguousNameError, DatasetSpec, LoggerSpec, ModelSpec, OptimizerSpec, PluginError, UnknownNameError
from zoo.errors import suggest
from zoo.plugin.registry import Entry, KindRegistry, Plugin, Registry
from zoo.plugin.specs import Factory

BUILTIN = Plugin("lecture", "zoo-models", "0.1.0")
OTHER = Plugin("other", "zoo-other", "1.2")
THIRD = Plugin("third", "zoo-third", "3.0")


def entry(name: str, plugin: Plugin = BUILTIN, factory: Factory = dict) -> Entry[ModelSpec]:
    return Entry(ModelSpec(name, factory), plugin)


def registry_of(*entries: Entry[ModelSpec]) -> KindRegistry[ModelSpec]:
    registry: KindRegistry[ModelSpec] = KindRegistry("model")
    for new in entries:
        registry.add(new)
    return registry


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported."""
    source = """
        class Model:
            class Inner: ...
        number = 3
    """
    (tmp_path / "registry_package.py").write_text(textwrap.dedent(source))
    (tmp_path / "registry_broken.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "registry_package"


def test_only_plugins_of_the_own_distribution_are_builtin() -> None:
    assert (BUILTIN.builtin, OTHER.builtin) == (True, False)


def test_a_plugin_reads_as_distribution_and_version() -> None:
    assert str(OTHER) == "zoo-other 1.2"


def test_a_callable_factory_is_returned_unchanged() -> None:
    assert entry("x", factory=dict).factory() is dict


@pytest.mark.parametrize(("path", "name"), [("Model", "Model"), ("Model.Inner", "Inner")])
def test_a_factory_given_as_a_path_is_imported(package: str, path: str, name: str) -> None:
    assert entry("x", factory=f"{package}:{path}").factory().__name__ == name


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("nowhere_at_all:Model", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("registry_broken:Model", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("registry_package:Mdoel", "AttributeError: "),
        ("registry_package:Model.Outer", "AttributeError: "),
    ],
)
def test_a_factory_that_cannot_be_imported_is_an_error_of_its_plugin(package: str, path: str, cause: str) -> None:
    with pytest.raises(PluginError) as caught:
        entry("x", OTHER, factory=path).factory()
    assert str(caught.value).startswith(f"'x' of plugin zoo-other 1.2 cannot be imported from {path!r}: {cause}")


def test_a_factory_that_cannot_be_called_is_an_error_of_its_plugin(package: str) -> None:
    with pytest.raises(PluginError, match=r"'registry_package:number' of plugin zoo-other 1\.2 is not a class or a"):
        entry("x", OTHER, factory=f"{package}:number").factory()


@pytest.mark.parametrize("name", ["mlp", "zoo-models/mlp"])
def test_an_entry_is_found_by_its_short_and_by_its_full_name(name: str) -> None:
    mlp = entry("mlp")
    assert registry_of(mlp, entry("gru")).get(name) is mlp


@pytest.mark.parametrize(("name", "there"), [("mlp", True), ("zoo-models/mlp", True), ("gru", False), ("x/mlp", False)])
def test_in_tells_whether_a_name_is_registered(name: str, there: bool) -> None:
    assert (name in registry_of(entry("mlp"))) is there


def test_one_distribution_cannot_use_a_name_twice() -> None:
    with pytest.raises(PluginError, match="the model 'mlp' is registered twice by zoo-other"):
        registry_of(entry("mlp", OTHER), entry("mlp", Plugin("second", "zoo-other", "1.2")))


def test_a_short_name_of_two_distributions_is_an_error_that_lists_both() -> None:
    with pytest.raises(AmbiguousNameError) as caught:
        registry_of(entry("mlp", THIRD), entry("mlp", OTHER)).get("mlp")
    assert str(caught.value) == "2 plugins have a model called 'mlp': use 'zoo-other/mlp' or 'zoo-third/mlp'"


@pytest.mark.parametrize("kind", [kind.kind for kind in Registry().kinds()])
@pytest.mark.parametrize("others", [[OTHER], [THIRD, OTHER]], ids=["one", "two"])
def test_a_built_in_name_always_means_the_built_in_entry(kind: str, others: list[Plugin]) -> None:
    registry = next(one for one in Registry().kinds() if one.kind == kind)
    spec = {"model": ModelSpec, "dataset": DatasetSpec, "optimizer": OptimizerSpec, "logger": LoggerSpec}[kind](
        "taken", dict
    )
    for plugin in (others[0], BUILTIN, *others[1:]):
        registry.add(Entry(spec, plugin))
    assert registry.get("taken").plugin is BUILTIN
    assert registry.names() == ["taken", *sorted(f"{plugin.distribution}/taken" for plugin in others)]
    for plugin in others:
        assert registry.get(f"{plugin.distribution}/taken").plugin is plugin


@pytest.mark.parametrize("plugin", [BUILTIN, OTHER])
def test_both_of_a_clash_stay_reachable_by_their_full_names(plugin: Plugin) -> None:
    found = registry_of(entry("mlp"), entry("mlp", OTHER)).get(f"{plugin.distribution}/mlp")
    assert found.plugin is plugin


def test_a_preferred_distribution_settles_a_clash() -> None:
    assert registry_of(entry("mlp"), entry("mlp", OTHER)).get("mlp", prefer=["zoo-other"]).plugin is OTHER


@pytest.mark.parametrize(
    ("prefer", "plugin"), [(["zoo-third", "zoo-other"], THIRD), (["zoo-other", "zoo-third"], OTHER)]
)
def test_the_first_of_several_preferred_distributions_that_has_it_settles_a_clash(
    prefer: list[str], plugin: Plugin
) -> None:
    registry = registry_of(entry("mlp"), entry("mlp", OTHER), entry("mlp", THIRD))
    assert registry.get("mlp", prefer=["zoo-nowhere", *prefer]).plugin is plugin


def test_a_preference_for_a_distribution_without_that_name_changes_nothing() -> None:
    assert registry_of(entry("mlp")).get("mlp", prefer=["zoo-other"]).plugin is BUILTIN


def test_a_preference_for_a_third_distribution_does_not_settle_a_clash() -> None:
    with pytest.raises(AmbiguousNameError):
        registry_of(entry("mlp", THIRD), entry("mlp", OTHER)).get("mlp", prefer=["zoo-fourth"])


def test_names_are_short_where_they_are_unique_and_full_where_they_clash() -> None:
    names = registry_of(entry("gru", OTHER), entry("mlp", OTHER), entry("mlp", THIRD)).names()
    assert names == ["gru", "zoo-other/mlp", "zoo-third/mlp"]


def test_every_name_that_is_shown_can_be_typed() -> None:
    registry = registry_of(entry("gru", OTHER), entry("mlp", OTHER), entry("mlp"), entry("mlp", THIRD))
    assert [registry.display_name(registry.get(name)) for name in registry.names()] == registry.names()


def test_entries_come_by_short_name_and_builtin_ones_first() -> None:
    order = [one.full_name for one in registry_of(entry("b", THIRD), entry("b"), entry("a", THIRD), entry("b", OTHER))]
    assert order == ["zoo-third/a", "zoo-models/b", "zoo-other/b", "zoo-third/b"]


def test_removing_a_plugin_leaves_the_others() -> None:
    registry = registry_of(entry("mlp"), entry("mlp", OTHER), entry("gru", OTHER))
    registry.remove_plugin(OTHER)
    assert registry.names() == ["mlp"]


def test_removing_a_plugin_leaves_another_of_the_same_distribution() -> None:
    second = Plugin("second", "zoo-other", "1.2")
    registry = registry_of(entry("mlp", OTHER), entry("gru", second))
    registry.remove_plugin(OTHER)
    assert registry.names() == ["gru"]


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry_of(entry("mlp-char"), entry("gru")).get("mlp-chr")
    assert str(caught.value) == "no model 'mlp-chr'; did you mean 'mlp-char'?"


def test_an_unknown_name_mentions_plugins_that_failed_to_load() -> None:
    registry = Registry()
    registry.set_failed_plugins(["zoo-broken"])
    with pytest.raises(UnknownNameError, match=r"plugins that failed to load: zoo-broken; see 'zoo plugins'"):
        registry.optimizers.get("adam")


def test_there_is_a_registry_for_each_kind() -> None:
    assert [one.kind for one in Registry().kinds()] == ["model", "dataset", "optimizer", "logger"]


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("nams", ["names", "planets"], "did you mean 'names'?"),
        ("ab", ["abc", "abd"], "did you mean 'abd' or 'abc'?"),
        ("xyz", ["names", "planets"], "there are: names, planets"),
        ("xyz", [], "there are none"),
        ("xyz", [f"name{i}" for i in range(13)], "there are: " + ", ".join(f"name{i}" for i in range(12)) + ", …"),
    ],
)
def test_suggestions_are_the_nearest_names_or_all_of_them(name: str, known: list[str], text: str) -> None:
    assert suggest(name, known) == text
