"""Work out what a hundred machines would do, from what this one was measured to take.

    python scripts/hundred_machines.py                       the page and its plot, from machines/figures.json
    python scripts/hundred_machines.py --measure [PART ...]  measure these figures, or all, first

The page is `hundred_machines.md`, whose sections between comments are made here, and the plot
`plots/hundred_machines.png`. Measuring takes some minutes, and is best done on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "machines"))

PAGE = HERE / "hundred_machines.md"
PLOT = HERE / "plots" / "hundred_machines.png"
FIGURES = HERE / "machines" / "figures.json"


def page_of(text: str, figures: dict[str, object]) -> str:
    """The page with its sections made anew."""
    from make_readme import with_section
    from page import Figures, sections

    for name, content in sections(Figures(figures)).items():
        text = with_section(text, name, content)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", metavar="PART", help="measure figures first: all, or these parts")
    args = parser.parse_args()
    if args.measure is not None:
        from measuring import PARTS, measure

        unknown = set(args.measure) - set(PARTS)
        if unknown:
            parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
        old = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
        FIGURES.write_text(json.dumps(old | measure(args.measure), indent=2) + "\n", encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(page_of(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    from drawing import draw
    from page import Figures

    draw(Figures(figures), PLOT)


if __name__ == "__main__":
    main()
