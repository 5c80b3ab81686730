"""The conformance checks that plugin authors use, over the built-in plugin, and that they do find faults."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo.testing


def test_builtin_plugin_conforms(words_file: Path) -> None:
    zoo.testing.check_plugin("zoo-models", dataset=words_file)


def test_absent_distribution_is_told() -> None:
    with pytest.raises(AssertionError, match="no plugin of 'zoo-nowhere' is loaded"):
        zoo.testing.check_plugin("zoo-nowhere")
