"""The shells: the script of each, and how it wants its completions.

A script hands over the command line up to the cursor, as it was typed, and gets a line for each completion: whether a
space follows, the text to insert, and what it is. Files are listed here too, so that all shells show the same.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from zoo.errors import UsageError, suggest

ASKED = "_ZOO_COMPLETE"  # the variables of the environment: the shell's name,
LINE = "_ZOO_LINE"  # the line up to the cursor,
WORD = "_ZOO_WORD"  # and the part of its last word that bash replaces

NO_SPACE = "nospace"  # the type of a completion that goes on: a folder, or `model.hidden_size=`

_SPECIAL = re.compile(r"([^\w@%+=:,./-])")  # what a backslash must quote, in a name
_BREAKS = "=:"  # at which bash begins a new word


class ShellWords(NamedTuple):
    """A command line up to the cursor: the words before the one at the cursor, that word, and how it was typed."""

    before: list[str]
    current: str
    typed: str
    replaced: str

    @classmethod
    def of_environment(cls) -> ShellWords:
        line = os.environ.get(LINE, "")
        words, typed = split_arg_string(line), _last_word(line)
        before, current = (words[1:-1], words[-1]) if typed and words else (words[1:], "")
        return cls(before, current, typed, os.environ.get(WORD, ""))

    @property
    def option(self) -> str:
        """`--dataset=` where the word is `--dataset=na`: completions are those of the value."""
        name, equals, _ = self.current.partition("=")
        return f"{name}=" if equals and name.startswith("--") else ""


class Shell(ShellComplete):
    """A shell.

    Attributes:
        install: what to do with the script, as comments at its top.
        script: defines the completion of `zoo`.
    """

    install: str
    script: str

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        try:
            return super().get_completions(args, incomplete)
        except click.UsageError:  # there is no such command
            return []

    def source(self) -> str:
        return "".join(f"# {line}\n" for line in self.install.split("\n")) + self.script

    @classmethod
    def row(cls, words: ShellWords, item: CompletionItem) -> list[str]:
        """A completion as the script reads it."""
        value = words.option + str(item.value)
        text = value if words.typed.startswith(("'", '"')) else quoted(value)
        return ["nospace" if item.type == NO_SPACE else "plain", text, item.help or ""]


class Bash(Shell):
    """Bash. It begins a new word at = and :, so that what stands before one must not be inserted again."""

    name = "bash"
    install = (
        "Completion of zoo for bash. For this shell:  source <(zoo completion bash)\n"
        "For all: add that line to ~/.bashrc, or, which is faster, write this to the folder of completions:\n"
        "  mkdir -p ~/.local/share/bash-completion/completions\n"
        "  zoo completion bash > ~/.local/share/bash-completion/completions/zoo"
    )
    script = """\
_zoo_completion() {
    local kind value help
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value help; do
        COMPREPLY+=("$value")
        if [[ $kind == nospace ]]; then compopt -o nospace 2>/dev/null; fi
    done < <(_ZOO_COMPLETE=bash _ZOO_LINE="${COMP_LINE:0:COMP_POINT}" _ZOO_WORD="${COMP_WORDS[COMP_CWORD]}" \\
        "$1" 2>/dev/null </dev/null)
}
complete -o nosort -F _zoo_completion zoo 2>/dev/null || complete -F _zoo_completion zoo
"""

    @classmethod
    def row(cls, words: ShellWords, item: CompletionItem) -> list[str]:
        kind, text, about = super().row(words, item)
        replaced = words.replaced.lstrip(_BREAKS)
        kept = len(words.typed) - len(replaced) if words.typed.endswith(replaced) else 0
        after_break = kept > 0 and words.typed[kept - 1] in _BREAKS
        return [kind, text[kept:] if after_break else text, about]


class Zsh(Shell):
    """Zsh."""

    name = "zsh"
    install = (
        "Completion of zoo for zsh. For this shell:  source <(zoo completion zsh)\n"
        'For all: add that line to ~/.zshrc, below "autoload -Uz compinit && compinit"'
    )
    script = """\
_zoo() {
    local -a plain nospace plain_shown nospace_shown
    local kind value help
    while IFS=$'\\t' read -r kind value help; do
        if [[ $kind == nospace ]]; then
            nospace+=("$value") nospace_shown+=("$value${help:+  -- $help}")
        else
            plain+=("$value") plain_shown+=("$value${help:+  -- $help}")
        fi
    done < <(_ZOO_COMPLETE=zsh _ZOO_LINE="${(j: :)words[1,CURRENT]}" "${words[1]}" 2>/dev/null </dev/null)
    (( $#plain )) && compadd -Q -U -V zoo -l -d plain_shown -a plain
    (( $#nospace )) && compadd -Q -U -V zoo -l -S '' -d nospace_shown -a nospace
}
compdef _zoo zoo
"""


class Fish(Shell):
    """Fish, which quotes by itself."""

    name = "fish"
    install = (
        "Completion of zoo for fish. For this shell:  zoo completion fish | source\n"
        "For all:  zoo completion fish > ~/.config/fish/completions/zoo.fish"
    )
    script = """\
function _zoo_completion
    set -lx _ZOO_COMPLETE fish
    set -lx _ZOO_LINE (commandline -cp)
    zoo 2>/dev/null </dev/null
end
complete -c zoo -f -a '(_zoo_completion)'
"""

    @classmethod
    def row(cls, words: ShellWords, item: CompletionItem) -> list[str]:
        return [words.option + str(item.value), *([item.help] if item.help else [])]


SHELLS: dict[str, type[Shell]] = {shell.name: shell for shell in (Bash, Zsh, Fish)}


def shell_named(name: str) -> type[Shell]:
    """Raises UsageError where there is no completion for a shell."""
    if name not in SHELLS:
        raise UsageError(f"no completion for shell {name!r}; {suggest(name, SHELLS)}")
    return SHELLS[name]


def quoted(text: str) -> str:
    """A name as a shell reads it, with backslashes; a tilde at its start stays what it is."""
    return text[:1] + _SPECIAL.sub(r"\\\1", text[1:]) if text.startswith("~/") else _SPECIAL.sub(r"\\\1", text)


def _last_word(line: str) -> str:
    """The word at the end of a line as it was typed, quotes and backslashes included; empty where a new one begins."""
    word, quote, escaped = "", "", False
    for character in line:
        if character.isspace() and not (quote or escaped):
            word = ""
            continue
        word += character
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif character in "'\"" and quote in ("", character):
            quote = "" if quote else character
    return word
