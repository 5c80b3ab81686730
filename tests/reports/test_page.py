"""The page in a browser: what every report is, whatever its sections show."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import OpenPage
from conftest import Zoo
from forging import changer
from reported_runs import sections
from safetensors.torch import load_file

import zoo
from zoo.reports.page import render
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Section
from zoo.reports.sections import about

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RUNS = ["mlp-char", "lstm", "digits-cnn", "linear-table"]
HOSTILE = "</script><img src=x onerror=document.title='hacked'><marquee>"


def shown(page: Page, figures: int = 1) -> Page:
    """The page when its figures are drawn."""
    page.wait_for_function("count => document.querySelectorAll('.legend').length >= count", arg=figures)
    return page


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports with the sections that are quick."""
    sections(monkeypatch, "summary", "overlaid", "losses", "embedding", "about")


class Scripts(HTMLParser):
    """The scripts of a page that a browser would run, the handlers in its elements, and its policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.outside: list[str] = []
        self.policy = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self._inside = tag == "script" and known.get("type") != "application/json"
        self.handlers += [name for name in known if name.startswith("on")]
        self.outside += [
            name for name, value in attrs if name in ("src", "href") and not (value or "").startswith(("#", "data:"))
        ]
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def test_the_policy_names_each_script_and_nothing_else(reported: Path) -> None:
    found = Scripts(zoo.report(reported / "mlp-char", out="page.html").read_text())
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in found.scripts}
    assert set(re.findall("'sha256-([^']+)'", found.policy)) == digests
    assert len(digests) > 3
    assert found.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search("script-src[^;]*(unsafe|http|data:)", found.policy)
    assert (found.handlers, found.outside) == ([], [])


def test_a_script_that_got_into_the_page_would_not_run(reported: Path, browser: Browser, few: None) -> None:
    path = zoo.report(reported / "linear-table", out="page.html")
    path.write_text(path.read_text().replace("</main>", "<script>document.title = 'hacked'</script></main>"))
    page = browser.new_page()
    page.goto(path.resolve().as_uri())
    assert page.title() == "linear-table on prices.csv"
    page.close()


@pytest.mark.parametrize("name", RUNS)
def test_a_page_fits_a_desk_a_phone_and_the_dark(name: str, reported: Path, digits: None, open_page: OpenPage) -> None:
    page = shown(open_page(zoo.report(reported / name, out="page.html")))
    assert page.locator("h1").inner_text().startswith(f"{name} on ")
    facts = dict(
        zip(page.locator(".facts th").all_inner_texts(), page.locator(".facts td").all_inner_texts(), strict=True)
    )
    assert {"Model", "Data", "Steps", "Parameters", "Device", "Time"} <= facts.keys()
    assert "val " in next(text for fact, text in facts.items() if fact.startswith("Loss ("))
    light = ground(page)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert ground(page) != light
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert axis_colour(page) == page.evaluate("zoo.colour('ink')") != "rgb(34, 49, 63)"


def ground(page: Page) -> str:
    found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


def axis_colour(page: Page) -> str:
    found: str = page.evaluate("Bokeh.documents[0].roots()[0].left[0].axis_label_text_color")
    return found


def test_the_button_switches_and_the_system_follows(reported: Path, open_page: OpenPage, few: None) -> None:
    page = shown(open_page(zoo.report(reported / "mlp-char", out="page.html"), dark=True), 2)
    button, dark = page.locator("#theme"), ground(page)
    assert button.inner_text() == "Light"
    button.click()
    assert (button.inner_text(), axis_colour(page)) == ("Dark", "rgb(34, 49, 63)")
    assert ground(page) == "rgb(255, 255, 255)" != dark
    page.emulate_media(color_scheme="light")
    assert ground(page) == "rgb(255, 255, 255)"


def test_the_keyboard_reaches_every_control(reported: Path, open_page: OpenPage) -> None:
    page = shown(open_page(zoo.report(reported / "mlp-char", out="page.html")), 2)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.evaluate("window.reached = new Set()")
    for _ in range(120):
        page.keyboard.press("Tab")
        page.evaluate("reached.add(document.activeElement)")
    # of a group of radio buttons, the keyboard reaches the chosen one; arrow keys choose another
    wanted = "main :is(button, input:not([type=radio]:not(:checked)), select, summary)"
    controls = f"[...document.querySelectorAll('{wanted}')]"
    assert page.evaluate(f"{controls}.filter((one) => !reached.has(one)).map((one) => one.outerHTML)") == []
    assert page.evaluate(f"{controls}.length") > 10


def test_the_navigation_leads_to_every_section_and_stays(reported: Path, open_page: OpenPage, few: None) -> None:
    page = shown(open_page(zoo.report(reported / "mlp-char", out="page.html")), 2)
    targets = page.locator("nav a").evaluate_all("links => links.map((link) => link.hash.slice(1))")
    assert targets == page.locator("main > section").evaluate_all("all => all.map((section) => section.id)")
    page.locator("nav a").nth(2).click()
    page.wait_for_function("scrollY > 300")
    assert page.locator("nav").bounding_box()["y"] == 0  # type: ignore[index]
    heading = page.locator(f"#{targets[2]} h2").bounding_box()
    assert heading is not None
    assert 40 <= heading["y"] < 200


def test_paper_is_light_shows_everything_and_has_pictures(reported: Path, open_page: OpenPage, few: None) -> None:
    page = shown(open_page(zoo.report(reported / "mlp-char", out="page.html"), dark=True), 2)
    page.set_viewport_size({"width": 700, "height": 900})  # of paper
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert ground(page) == "rgb(255, 255, 255)"
    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".figure .plot:visible, .controls:visible, nav:visible, #theme:visible").count() == 0
    pictures = page.locator(".printed")
    assert pictures.count() == page.locator(".figure").count() == 2
    for box in (pictures.nth(0).bounding_box(), pictures.nth(1).bounding_box()):
        assert box is not None
        assert box["width"] <= 700
        assert box["height"] > 150
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert pictures.count() == 0
    assert page.locator("details[open]").count() == 0
    assert ground(page) != "rgb(255, 255, 255)"


def test_hostile_names_are_shown_as_text(reported: Path, open_page: OpenPage) -> None:
    Path("words.txt").write_text("\n".join(a + b + c for a in "<>&\"'" for b in "/=`ab" for c in "xyz") + "\n")
    run = zoo.run("mlp-char", dataset="words.txt", device="cpu", steps=8, plots=False, validate_every=4)
    folder = Path(shutil.move(run.path, "a<img src=x onerror=alert(1)>"))
    weights = folder / "model.safetensors"
    changer(folder)("dataset.name", HOSTILE)
    for place in ("training.device", "optimizer.name", "optimizer.plugin.distribution", "versions.torch"):
        changer(folder)(place, HOSTILE)
    assert load_file(weights)  # which is as it was
    (folder / "metrics.json").unlink()
    page = shown(open_page(zoo.report(folder, folder, out="page.html", dataset="words.txt")), 5)
    page.locator(".typed").first.fill("<")
    assert page.locator("img, marquee").count() == 0
    assert "hacked" not in page.title().replace(HOSTILE, "")
    assert HOSTILE in page.locator(".facts").first.inner_text()
    assert page.locator("#overlaid .legend .name").first.inner_text() == folder.name
    assert page.locator("#embedding .found h4").first.inner_text() == "Nearest to <"
    assert point_at(page, "#overlaid")[0] == folder.name
    assert page.locator("img, marquee").count() == 0


def point_at(page: Page, section: str) -> list[str]:
    """Move the mouse over a figure until there is a tooltip; what it says."""
    page.locator(f"{section} .plot").scroll_into_view_if_needed()
    box = page.locator(f"{section} .plot").bounding_box()
    assert box is not None
    for down in range(40, int(box["height"]) - 60, 3):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + down)
        if found := page.locator(".bk-tooltip-row-value").all_inner_texts():
            return found
    raise AssertionError("there is no tooltip")


def test_a_hostile_unit_and_hostile_values_are_shown_as_text(reported: Path, open_page: OpenPage, few: None) -> None:
    folder = Path(shutil.copytree(reported / "linear-table", "run"))
    changer(folder)("loss.unit", HOSTILE)
    page = shown(open_page(zoo.report(folder, out="page.html")))
    assert page.locator("img, marquee").count() == 0
    assert HOSTILE in page.locator(".facts").inner_text()


@pytest.mark.parametrize("place", ["dataset.examples", "loss", "metrics", "model.plugin", "training.lr", "versions"])
@pytest.mark.parametrize("value", [7, {"a": [None]}], ids=str)
def test_values_of_any_type_cost_no_traceback(
    place: str, value: object, zoo_here: Zoo, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections(monkeypatch, "summary", "differences", "overlaid", "losses", "metrics", "about")
    folder = Path(shutil.copytree(reported / "mlp-char", "run"))
    changer(folder)(place, value)
    outcome = zoo_here("report", folder, reported / "lstm", "--out", "page.html")
    assert outcome.code in (0, 1)
    assert "unexpected" not in outcome.err
    assert outcome.err.count("\n") <= 1


def test_a_run_of_200_000_steps_is_under_two_megabytes(run_copy: Path) -> None:
    """Of the lecture's net, with every section."""
    folder = run_copy
    lines = [f"{step},{2.3 + 1 / (step + 1) + (step * 7919 % 1000) / 3000!r}" for step in range(200_000)]
    (folder / "losses.csv").write_text("\n".join(["step,loss", *lines]) + "\n")
    evaluations = [f"{step},{2.2 + 1 / step!r}" for step in range(100, 200_001, 100)]
    (folder / "validation.csv").write_text("\n".join(["step,loss", *evaluations]) + "\n")
    assert zoo.report(folder, out="page.html").stat().st_size < 2_000_000


def test_bokeh_is_in_a_page_with_figures_only(reported: Path) -> None:
    registry = zoo.api._registry()
    run = ReportedRun.read(str(reported / "mlp-char"), "run", 0, registry, zoo.Fetcher(Path("cache")))
    assert len(render("title", [run], [Section("about", "Config", about.make)])) < 100_000
