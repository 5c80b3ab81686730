"""Write a table of made-up houses: `python scripts/examples/houses.py houses.csv`. The first lines are printed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

HEATING = {"gas": 0, "oil": -12_000, "heat pump": 25_000}  # what each adds to the price


def houses(count: int, seed: int = 1) -> list[str]:
    """Rows of a CSV file: area in square metres, age in years, heating, district, price."""
    rng = random.Random(seed)
    rows = ["area,age,heating,district,price"]
    for _ in range(count):
        area, age = rng.uniform(40, 220), rng.randrange(80)
        heating, district = rng.choice([*HEATING]), rng.choice(["north", "south"])
        square_metre = 3200 if district == "north" else 4100
        price = area * square_metre * (1 - 0.004 * age) + HEATING[heating] + rng.gauss(0, 9000)
        rows.append(f"{area:.1f},{age},{heating},{district},{price:.0f}")
    return rows


if __name__ == "__main__":
    lines = houses(1000)
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines[:4], sep="\n")
