"""Files that are given as words and hold something else: each is refused or warned of in one line that says what to do,
and what does hold words is read as it always was.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import unicodedata
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from conftest import SHARED_NAMES, Zoo

from zoo import DataError, TextDataset
from zoo.data.files.reading import read_file
from zoo.data.files.settings import resolve_file_settings
from zoo.data.summary.other_kinds import NORMALISE
from zoo.text import message

pytestmark = pytest.mark.usefixtures("typed")  # what these lines advise is tried as commands

CASES = SHARED_NAMES.parent.parent / "cases"
NAMES = [a + b + c for a in "abeln" for b in "abeln" for c in "aeo"]
LINES = "\n".join(NAMES)
ACCENTS = [f"{name}é" for name in NAMES]
DECOMPOSED = [unicodedata.normalize("NFD", word) for word in ACCENTS]


def table(separator: str, *columns: object, header: str = "") -> str:
    rows = [separator.join([name, *(str(column) for column in columns)]) for name in NAMES]
    return "\n".join([*([header] if header else []), *rows])


def zipped() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("names.txt", LINES)
    return file.getvalue()


PROSE = "\n\n".join(
    ["Once there was a cat that sat on the mat.\nIt sat there.", "The dog of the house saw it and ran."] * 9
)
REFUSED: dict[str, tuple[str | bytes, tuple[str, ...]]] = {  # file: its content, and what is said
    "names with counts": (
        table(",", "F", 1000),
        ("3 columns separated by commas", "--column 1 --set data.header=false"),
    ),
    "tabs": (table("\t", 7), ("2 columns separated by tabs", "--format tsv --column 1 ")),
    "tabs without numbers": (table("\t", "x"), ("2 columns separated by tabs",)),
    "semicolons": (table(";", "f", 3), ("3 columns separated by semicolons", "--format csv --column 1 ")),
    "two columns": (table(",", 12), ("2 columns separated by commas",)),
    "numbers first": ("\n".join(f"{i},{name}" for i, name in enumerate(NAMES)), ("--format csv --column 2 ",)),
    "counts of uniq -c": (
        "\n".join(f"{i:7} {name}" for i, name in enumerate(NAMES)),
        ("separated by spaces", "print $2"),
    ),
    "a header": (table(",", 3, header="first,count"), ("--format csv --column first",)),
    "a header that is known": (table("\t", "f", header="name\tsex"), ("--format tsv --column name",)),
    "quotes": (table(",", '"a, b"', 3), ("3 columns separated by commas",)),
    "prose": (PROSE, ("looks like running text", "--format text")),
    "prose without spaces": ("\n".join(["猫が、いた。犬も、いた。鳥も、いた。"] * 9), ("--format text",)),
    "one line": ("ab" * 500_000, ("one line of 1,000,000 characters", "--format text")),
    "one line and its end": ("\n" + "a b" * 500_000 + "\n", ("one line of 1,500,000 characters",)),
    "a table that starts like a PDF": ("%PDF,1\n" + table(",", 1), ("2 columns separated by commas",)),
    "JSON": (json.dumps(NAMES), ("is JSON", "one a line")),
    "an object": (json.dumps({"names": NAMES}, indent=1), ("is JSON",)),
    "JSON lines": ("\n".join(json.dumps({"name": name}) for name in NAMES), ("is JSON",)),
    "HTML": (f"<!DOCTYPE html>\n<html>\n{LINES}", ("is an HTML page", "download the file itself")),
    "HTML and a mark": (f"\ufeff\n<HTML lang=en>\n{LINES}", ("is an HTML page",)),
    "XML": (f'<?xml version="1.0"?>\n{LINES}', ("is an XML file",)),
    "RTF": (f"{{\\rtf1\\ansi\n{LINES}", ("is an RTF document",)),
    "a terminal's output": ("\n".join(f"\x1b[1m{name}\x1b[0m" for name in NAMES), ("control characters in 75 of 75",)),
    "a terminal's clipboard": ("\n".join(["\x1b]52;c;cm0gLXJm\x07"] * 60), ("control characters in 60 of 60",)),
    "a fifth with control characters": (LINES + "\na\x07" * 18, ("control characters in 18 of 93 lines",)),
    "line separators": ("\n".join(f"{name}\u2028{name}" for name in NAMES), ("U+2028 line separators", "perl")),
    "mixed line ends": (LINES.replace("\n", "\r") + "\n" + LINES, ("carriage returns in 1 of 76",)),
    "a gzip file": (gzip.compress(LINES.encode()), ("is a gzip file", "gunzip -c FILE > NEW")),
    "a ZIP archive": (zipped(), ("is a ZIP archive",)),
    "Parquet": (b"PAR1\x15\x04\0\xff" * 9, ("is a Parquet file", "read_parquet(FILE)")),
    "PDF": (b"%PDF-1.7\n\xe2\xe3\n" + LINES.encode(), ("is a PDF", "pdftotext")),
    "UTF-16": (LINES.encode("utf-16"), ("is UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE > NEW")),
    "UTF-32": (LINES.encode("utf-32"), ("is UTF-32 text",)),
    "Latin-1": ("\n".join(ACCENTS).encode("latin-1"), ("is not UTF-8 text (byte 3)", "iconv -f WINDOWS-1252")),
}
NOTICED: dict[str, tuple[list[str], tuple[str, ...]]] = {  # file: its words, and what is said of it
    "a header": (["Name", *NAMES], ("the first line, 'Name', looks like a header", "--format csv --column Name")),
    "decomposed": (
        DECOMPOSED,
        ("75 of 75 words are in decomposed form (NFD): each accent", NORMALISE),
    ),
    "mixed": ([*ACCENTS[::2], *DECOMPOSED[1::2]], ("37 of 75 words are in decomposed form", "the others in composed")),
    "two forms": ([*ACCENTS, *DECOMPOSED[:7]], ("7 of 82 words are in decomposed form (NFD); of 7 the composed",)),
    "Hangul": (["각" * i for i in range(1, 9)] + ["\u1100\u1161"], ("1 of 9 words are in decomposed form",)),
    "a control character": ([*NAMES, "a\x07b"], ("1 of 76 words have control characters", "word 76 ('a\\x07b')")),
    "a line separator": ([*NAMES, "a\u2028b"], ("1 of 76 words have U+2028 line separators", "word 76")),
    "a tab": ([*NAMES, "a\tb"], ("1 of 76 words have tabs",)),
    "carriage returns": ([*NAMES, "a\rb"], ("1 of 76 words have carriage returns", "tr '\\r' '\\n'")),
    "lost characters": ([*NAMES, "zo\ufffd"], ("word 76 ('zo\ufffd') has U+FFFD",)),
    "a very long line": (["ab" * 70_000, *NAMES], ("word 1 has 140,000 characters",)),
    "a long line": ([*NAMES, "ab" * 1000], ("word 76 has 2,000 characters",)),
}
WORDS: dict[str, list[str]] = {  # these are words, about which there is nothing to say
    "names": NAMES,
    "numbers": [str(i * 37) for i in range(90)],
    "dots": [f"jr. {name}" for name in NAMES],
    "composed": ACCENTS,
    "names of persons": [f"{name}, {other}" for name, other in zip(NAMES, reversed(NAMES), strict=True)],
    "some with commas": [*NAMES, "a,b", "1,5"],
    "a long line first": ["ab" * 400, "x" * 900, *NAMES],
    "names of films": ["the cat", "the house on the hill", "blue", "a night in may", "gone", "two men", "up"] * 3,
    "some long titles": [*NAMES, *["the cat that sat on the mat"] * 5],
    "sequences": ["ACGT" * 200, "GATTACA", *["CCGG" * i for i in range(1, 9)]],
    "brackets": ["[PAD]", "[unused1]", "{x}", *NAMES],
    "smilies": ["<3", "<html-like", ":)", *NAMES],
    "Devanagari": ["हिन्दी", "क़लम".replace("क़", "क\u093c"), "नमस्ते", *NAMES],
    "joiners": ["نام\u200cها", *NAMES],
    "the magic of a binary file": ["PAR1", "BZh", "%PDF", *NAMES],
    "a word that is often a header": ["name", *NAMES, "name"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.txt"


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_evidently_no_list_of_words_is_refused(file: Path, kind: str) -> None:
    content, says = REFUSED[kind]
    data = content if isinstance(content, bytes) else content.encode()
    file.write_bytes(data)
    with pytest.raises(DataError) as caught:
        TextDataset.from_file(file, guess=True)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert message(text) == text
    assert all(part in text for part in says), text
    if isinstance(content, str) and content.count("\n") > 6:  # whoever says that it is words gets words
        assert "--format words reads each line as a word" in text
        assert TextDataset.from_file(file).notices == ()


@pytest.mark.parametrize("kind", NOTICED)
def test_what_is_doubtful_is_told_and_read(file: Path, kind: str) -> None:
    words, says = NOTICED[kind]
    file.write_text("\n".join(words), newline="")
    dataset = TextDataset.from_file(file, guess=True)
    assert dataset.words == words
    [notice] = dataset.notices
    assert notice.startswith(f"{file}: ")
    assert message(notice) == notice
    assert all(part in notice for part in says), notice
    assert TextDataset.from_file(file).notices == ()
    assert dataset.arranged(split=None, shuffle_seed=1).notices == dataset.notices


@pytest.mark.parametrize("kind", WORDS)
def test_words_are_read_without_a_notice(file: Path, kind: str) -> None:
    file.write_text("\n".join(WORDS[kind]))
    dataset = TextDataset.from_file(file, guess=True)
    assert (dataset.words, dataset.notices) == (WORDS[kind], ())


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_the_lines_may_end_in_any_way(file: Path, end: str) -> None:
    file.write_bytes("\ufeff".join(["", end.join(NAMES) + end, end.join(NAMES)]).encode())
    dataset = TextDataset.from_file(file, guess=True)
    assert (dataset.words, dataset.notices) == (NAMES * 2, ())


REMEDIES = {  # a kind of file, the program that a remedy starts, what it makes of the file
    "a fifth with control characters": (LINES + "\na\x07" * 18, ("control characters in 18 of 93 lines",)),
    "line separators": ("perl", [name for name in NAMES for _ in "ab"]),
    "a terminal's output": ("perl", [f"[1m{name}[0m" for name in NAMES]),
    "counts of uniq -c": ("awk", NAMES),
    "two forms": ("python3", [*ACCENTS, *ACCENTS[:7]]),
    "carriage returns": ("tr", [*NAMES, "a", "b"]),
    "a control character": ("perl", [*NAMES, "ab"]),
    "a gzip file": ("gunzip", NAMES),
    "UTF-16": ("iconv", NAMES),
}


@pytest.mark.parametrize("kind", REMEDIES)
def test_the_commands_that_are_advised_do_what_is_said(tmp_path: Path, kind: str) -> None:
    program, words = REMEDIES[kind]
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    if kind in REFUSED:
        content = REFUSED[kind][0]
        (tmp_path / "FILE").write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DataError) as caught:
            TextDataset.from_file(tmp_path / "FILE", guess=True)
        text = str(caught.value)
    else:
        (tmp_path / "FILE").write_text("\n".join(NOTICED[kind][0]), newline="")
        [text] = TextDataset.from_file(tmp_path / "FILE", guess=True).notices
    start = text.index(f"{program} ")
    command = text[start : text.index("> NEW", start) + 5].replace("python3", sys.executable)
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)
    assert TextDataset.from_file(tmp_path / "NEW").words == words


@pytest.mark.parametrize("kind", [kind for kind, (_, told) in REFUSED.items() if "column" in " ".join(told)])
def test_the_options_that_are_advised_for_a_table_read_its_words(tmp_path: Path, kind: str) -> None:
    content = REFUSED[kind][0]
    assert isinstance(content, str)
    path = tmp_path / "FILE"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        TextDataset.from_file(path, guess=True)
    advised = re.search(r"--format (\S+) --column (\S+)(?: --set data.header=(\S+))?", str(caught.value))
    if advised is None:
        pytest.skip("its columns are not separated as those of a table are")
    given = dict(zip(("format", "column", "header"), advised.groups(), strict=True))
    settings = resolve_file_settings(path, {key: value for key, value in given.items() if value is not None})
    dataset = read_file(path, settings)
    assert isinstance(dataset, TextDataset)
    assert dataset.words[-len(NAMES) :] == NAMES


def test_a_run_refuses_a_table_and_warns_of_a_header(zoo_here: Zoo) -> None:
    Path("table.txt").write_text(table("\t", 7))
    outcome = zoo_here("run", "bigram", "--dataset", "table.txt", "--steps", 2)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "zoo: error: table.txt: looks like a table" in outcome.err
    assert not Path("runs").exists()
    Path("header.txt").write_text(f"name\n{LINES}")
    outcome = zoo_here("run", "bigram", "--dataset", "header.txt", "--steps", 2, "--no-plots", "--out", "r")
    assert outcome.code == 0
    [warning] = outcome.err.splitlines()
    assert outcome.read.startswith(
        "header.txt: 76 words, 7 different characters, the longest word 4; 0.0% of validation"
    )
    assert warning.startswith("zoo: warning: header.txt: the first line, 'name', looks like a header")
    for command in (("eval", "r"), ("sample", "r", "--seed", 1), ("resume", "r", "--steps", 3, "--no-plots")):
        assert zoo_here(*command).err == ""  # it was told when the run began


def test_a_run_of_before_such_files_were_told_apart_goes_on(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("table.txt").write_text(table("\t", 7))
    with monkeypatch.context() as patch:
        patch.setattr("zoo.data.datasets.check_lines", lambda content: None)
        patch.setattr("zoo.data.datasets.notices", lambda words, vocabulary: [])
        assert zoo_here("run", "bigram", "--dataset", "table.txt", "--steps", 2, "--no-plots", "--out", "r").code == 0
    for command in (("eval", "r"), ("sample", "r", "--seed", 1), ("resume", "r", "--steps", 3, "--no-plots")):
        outcome = zoo_here(*command)
        assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the project")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("plain.txt", None),
        ("bom_mid.txt", None),  # the same words as plain.txt
        ("cr_only.txt", None),  # and again
        ("dots.txt", None),
        ("numbers.txt", None),
        ("nfc_nfd.txt", "100 of 200 words are in decomposed form (NFD), the others in composed form"),
        ("nfd.txt", "90 of 90 words are in decomposed form (NFD): each accent"),
        ("two_forms.txt", "30 of 60 words are in decomposed form (NFD); of 1 the composed form"),
        ("clear.txt", "refused: control characters in 60 of 60"),
        ("osc52.txt", "refused: control characters in 60 of 60"),
        ("lsep.txt", "refused: U+2028 line separators in 200 of 200"),
        ("paragraphs.txt", "refused: looks like running text"),
        ("ssa.csv.txt", "refused: looks like a table, 3 columns separated by commas"),
        ("tabs.txt", "refused: looks like a table, 2 columns separated by tabs"),
    ],
)
def test_the_files_that_people_have(name: str, says: str | None) -> None:
    path = CASES / name
    if says and says.startswith("refused: "):
        with pytest.raises(DataError) as caught:
            TextDataset.from_file(path, guess=True)
        assert says.removeprefix("refused: ") in str(caught.value)
        return
    dataset = TextDataset.from_file(path, guess=True)
    assert [says in notice for notice in dataset.notices if says] == [True] * (says is not None)
    assert len(dataset.notices) == (says is not None)
    if name in ("bom_mid.txt", "cr_only.txt"):
        assert dataset.words == TextDataset.from_file(CASES / "plain.txt").words
