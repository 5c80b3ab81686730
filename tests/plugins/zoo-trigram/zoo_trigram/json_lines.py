"""A logger that writes what it is told into a file of the run folder, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path


class JsonLines:
    """Appends to `log.jsonl`, so that a resumed run goes on in the same file."""

    def __init__(self, run_dir: Path, resumed_at: int, decimals: int = 4) -> None:
        self._file = (run_dir / "log.jsonl").open("a", encoding="utf-8")
        self._resumed_at, self._decimals = resumed_at, decimals

    def start(self, config: dict) -> None:
        self._write(event="start", model=config["model"]["name"], resumed_at=self._resumed_at)

    def steps(self, step: int, losses: list[float], lr: float) -> None:
        mean = sum(losses) / len(losses)
        self._write(event="steps", step=step, steps=len(losses), loss=round(mean, self._decimals), lr=lr)

    def evaluated(self, step: int, losses: dict, metrics: dict, model: object) -> None:
        rounded = {split: round(loss, self._decimals) for split, loss in losses.items()}
        self._write(event="evaluated", step=step, losses=rounded, metrics=metrics)

    def finish(self, metrics: dict, model: object) -> None:
        self._write(event="finish", steps=metrics["steps"])

    def close(self) -> None:
        self._file.close()

    def _write(self, **told: object) -> None:
        self._file.write(json.dumps(told) + "\n")
        self._file.flush()
