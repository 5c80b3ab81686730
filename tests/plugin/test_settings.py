"""Typed settings, read off a factory's signature."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import pytest

from zoo import PluginError, UnknownNameError, UsageError
from zoo.options.values import convert, describe_type
from zoo.plugin.settings import REQUIRED, Signature, parse_assignments, split_sections

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


SECTIONS = ("model", "data", "optimizer")


def factory(  # type: ignore[no-untyped-def]
    size: int,
    rate: float = 0.5,
    bias: bool = True,
    act: Literal["tanh", "relu"] = "tanh",
    split: tuple[float, float] = (0.8, 0.9),
    seed: int | None = None,
    guessed=7,  # a plugin need not annotate
    *,
    vocab_size: int = 27,
    generator: object = None,
    **rest: object,
) -> None:
    """Has everything that a factory may have."""


def resolved(**given: object) -> dict[str, Any]:
    return Signature(factory, ("vocab_size", "generator")).resolve("model", {"size": 1, **given})


def test_settings_are_the_named_arguments_without_the_inputs() -> None:
    signature = Signature(factory, ("vocab_size", "generator"))
    assert list(signature.settings) == ["size", "rate", "bias", "act", "split", "seed", "guessed"]


def test_inputs_are_those_that_the_factory_asks_for_by_name() -> None:
    assert Signature(factory, ("vocab_size", "max_length")).inputs == {"vocab_size": 27}


def test_an_input_without_default_is_required() -> None:
    assert Signature(factory, ("size",)).inputs == {"size": REQUIRED}


def test_what_is_not_given_keeps_its_default() -> None:
    assert resolved() == {
        "size": 1,
        "rate": 0.5,
        "bias": True,
        "act": "tanh",
        "split": (0.8, 0.9),
        "seed": None,
        "guessed": 7,
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "300", 300),
        ("rate", "1e-3", 0.001),
        ("rate", "3", 3.0),
        ("bias", "no", False),
        ("act", "relu", "relu"),
        ("split", "0.7,0.85", (0.7, 0.85)),
        ("seed", "42", 42),
        ("seed", "none", None),
        ("guessed", "8", 8),
    ],
)
def test_text_becomes_a_value_of_the_annotated_type(name: str, text: str, value: object) -> None:
    result = resolved(**{name: text})[name]
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", "big", "'model.size' takes int, not 'big'"),
        ("size", "1.5", "'model.size' takes int, not '1.5'"),
        ("size", "", "'model.size' takes int, not ''"),
        ("size", 1.0, "'model.size' takes int, not 1.0"),
        ("size", True, "'model.size' takes int, not True"),
        ("size", None, "'model.size' takes int, not None"),
        ("rate", "fast", "'model.rate' takes float, not 'fast'"),
        ("rate", False, "'model.rate' takes float, not False"),
        ("bias", "maybe", "'model.bias' takes bool, not 'maybe'"),
        ("bias", 1, "'model.bias' takes bool, not 1"),
        ("act", "sigmoid", "'model.act' takes tanh or relu, not 'sigmoid'"),
        ("split", "0.8", "'model.split' takes tuple[float, float], not '0.8': a tuple of 2"),
        ("split", "a,b", "'model.split' takes tuple[float, float], not 'a,b'"),
        ("split", 0.8, "'model.split' takes tuple[float, float], not 0.8"),
        ("seed", "x", "'model.seed' takes int or none, not 'x'"),
        ("guessed", "x", "'model.guessed' takes int, not 'x'"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(name: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(**{name: value})
    assert str(caught.value) == message


def test_an_unknown_setting_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match=r"no setting 'model\.sise'; did you mean '(model\.)?size'\?$"):
        resolved(sise=3)


@pytest.mark.parametrize("name", ["vocab_size", "generator", "rest"])
def test_what_zoo_fills_in_cannot_be_set(name: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"no setting 'model\.{name}'"):
        resolved(**{name: 3})


def test_a_setting_without_default_must_be_given() -> None:
    with pytest.raises(UsageError, match=r"'model\.size' has no default: give it with --set model\.size=VALUE"):
        Signature(factory).resolve("model", {})


def test_a_class_is_read_by_its_constructor() -> None:
    class Model:
        def __init__(self, size: int | None = None) -> None: ...

    assert Signature(Model).resolve("model", {"size": "3"}) == {"size": 3}


def test_a_class_without_a_constructor_of_its_own_keeps_the_annotations_of_the_inherited_one() -> None:
    class Base:
        def __init__(self, rate: float = 0) -> None: ...

    class Model(Base):
        pass

    assert Signature(Model).resolve("model", {"rate": "0.5"}) == {"rate": 0.5}


@pytest.mark.parametrize(
    ("module", "hint"),
    [("hint_name", "Missing"), ("hint_dotted", "missing.Missing"), ("hint_union", "missing.Missing | None")],
)
def test_a_type_that_exists_for_type_checkers_only_leaves_the_other_annotations_alone(
    module: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import missing\n    from missing import Missing\n"
        f"def factory(rate: float = 0, other: {hint} = None): ...\n"
    )
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module(module).factory
    assert Signature(made).resolve("model", {"rate": "0.5"}) == {"rate": 0.5, "other": None}


@pytest.mark.parametrize("unreadable", [3, dict], ids=["no callable", "builtin"])
def test_a_factory_without_a_signature_is_an_error_of_its_plugin(unreadable: Any) -> None:
    with pytest.raises(PluginError, match="has no signature that Python can read"):
        Signature(unreadable)


@pytest.mark.parametrize("text", ["true", "True", "YES", "on", "1"])
def test_words_for_true(text: str) -> None:
    assert convert(text, bool) is True


@pytest.mark.parametrize("text", ["false", "False", "NO", "off", "0"])
def test_words_for_false(text: str) -> None:
    assert convert(text, bool) is False


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("3", Any, 3),
        ("[1, 2]", Any, [1, 2]),
        ("plain text", Any, "plain text"),
        ((1, 2), Any, (1, 2)),
        ("3", int | str, 3),
        ("x", int | str, "x"),
        ("0.5", int | float, 0.5),
        ("1", bool | int, 1),
        ("yes", bool | int, True),
        ("None", Optional[str], None),  # noqa: UP045 - people still write it
        ("null", Union[int, None], None),  # noqa: UP007
        ("", int | None, None),
        ("3", Annotated[int, "positive"], 3),
        ("1,2,3", tuple[int, ...], (1, 2, 3)),
        ("(1, 2, 3)", tuple[int, ...], (1, 2, 3)),
        ("[1,2,3]", list[int], [1, 2, 3]),
        ("1,2", Sequence[float], [1.0, 2.0]),
        ("a,b", list[str], ["a", "b"]),
        ("5", tuple[int, ...], (5,)),
        ("", list[int], []),
        ([1, 2], tuple[float, float], (1.0, 2.0)),
        ((1, 2), list, [1, 2]),
        ("2", Literal[1, 2], 2),
        ("none", Literal["none", "all"], "none"),
        ("9" * 30, int, int("9" * 30)),
        (3, float, 3.0),
        ("", str, ""),
    ],
)
def test_a_value_is_converted_to_its_annotation(value: object, annotation: Any, expected: object) -> None:
    result = convert(value, annotation)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("3.5", int),
        ("1e3", int),
        ([], int),
        ("x", float),
        (None, float),
        (10**400, float),
        (3, str),
        ("maybe", bool),
        ("x", int | None),
        ("1,2,3", tuple[int, int]),
        ("1,x", list[int]),
        ({"a": 1}, list[int]),
        ("3", Literal[1, 2]),
        ("x", dict),
        ("x", Path),
        ("x", int | Path),
    ],
)
def test_a_value_that_does_not_fit_its_annotation_is_refused(value: object, annotation: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        convert(value, annotation)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", math.nan, math.inf])
def test_a_number_that_no_config_can_hold_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"'model\.rate'"):
        resolved(rate=value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (int | None, "int or none"),
        (Optional[float], "float or none"),  # noqa: UP045
        (Literal["tanh", "relu"], "tanh or relu"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Sequence[int], "collections.abc.Sequence[int]"),
        (Any, "any"),
        (Path, "Path"),
    ],
)
def test_a_type_is_described_as_a_person_writes_it(annotation: Any, text: str) -> None:
    assert describe_type(annotation) == text


def test_a_setting_knows_the_name_of_its_type() -> None:
    assert Signature(factory).settings["seed"].type_name == "int or none"


def test_assignments_become_a_dict() -> None:
    parsed = parse_assignments(["model.size=300", " data.seed = 42 ", "optimizer.note=a=b"], SECTIONS)
    assert parsed == {"model.size": "300", "data.seed": "42", "optimizer.note": "a=b"}


def test_an_assignment_may_be_empty() -> None:
    assert parse_assignments(["model.note="], SECTIONS) == {"model.note": ""}


@pytest.mark.parametrize("assignment", ["model.size", "size=300", "=300", "", "model.size:300"])
def test_what_is_no_assignment_is_refused_with_an_example(assignment: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assignments([assignment], SECTIONS)
    expected = f"--set takes SECTION.KEY=VALUE, as in model.hidden_size=300, not {assignment!r}"
    assert str(caught.value) == expected


def test_a_setting_cannot_be_given_twice() -> None:
    with pytest.raises(UsageError, match=r"--set gives 'model\.size' twice"):
        parse_assignments(["model.size=1", "model.size=2"], SECTIONS)


def test_settings_are_parted_by_section() -> None:
    split = split_sections({"model.size": 3, "data.split": (0.5, 0.6)}, SECTIONS)
    assert split == {"model": {"size": 3}, "data": {"split": (0.5, 0.6)}, "optimizer": {}}


@pytest.mark.parametrize("key", ["size", "models.size", "model.", ".size", "", "Model.size"])
def test_a_setting_of_no_section_is_refused(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_sections({key: 1}, SECTIONS)
    assert str(caught.value) == f"no setting {key!r}: settings are model.KEY, data.KEY, optimizer.KEY"


# Paths


def with_path(file: Path) -> None: ...
def with_perhaps_a_path(file: Path | None = None) -> None: ...
def with_path_like(file: os.PathLike[str] | None = None) -> None: ...
def with_paths(file: Sequence[Path] = ()) -> None: ...
def with_text(file: str = "") -> None: ...
def with_anything(file: Any = None) -> None: ...
def with_text_or_path(file: str | Path = "") -> None: ...


@pytest.mark.parametrize(
    "value", ["/home/me/words.txt", "words.txt", Path("/home/me/words.txt")], ids=["absolute", "relative", "Path"]
)
@pytest.mark.parametrize(
    "factory", [with_path, with_paths, with_perhaps_a_path, with_path_like, with_text, with_anything, with_text_or_path]
)
def test_a_path_is_refused_in_one_sentence_and_text_is_text(factory: Any, value: str | Path) -> None:
    signature = Signature(factory)
    if isinstance(value, str) and factory in (with_text, with_anything, with_text_or_path):
        assert signature.resolve("data", {"file": value}) == {"file": value}
        return
    with pytest.raises(UsageError) as caught:
        signature.resolve("data", {"file": value})
    assert str(caught.value).startswith(f"'data.file' cannot be the path {str(value)!r}: a run records no path of this")


@pytest.mark.parametrize("given", [{}, {"file": "none"}, {"file": None}], ids=str)
def test_a_path_may_be_left_out(given: dict[str, Any]) -> None:
    assert Signature(with_perhaps_a_path).resolve("data", given) == {"file": None}
