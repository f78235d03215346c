"""What a benchmark found: printed for people, and kept as one JSON object a measure."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


class Results:
    """Measures of one benchmark; `results/NAME.jsonl` is begun again by each run."""

    def __init__(self, benchmark: str) -> None:
        FOLDER.mkdir(exist_ok=True)
        self._file = FOLDER / f"{benchmark}.jsonl"
        self._file.write_text("", encoding="utf-8")
        print(f"\n== {benchmark}", flush=True)

    def add(
        self, name: str, value: float, unit: str, against: str = "", ratio: float | None = None
    ) -> None:
        """One measure; `ratio` is value : what `against` did in the same run."""
        row = {"name": name, "value": value, "unit": unit, "against": against, "ratio": ratio}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        beside = f"   {ratio:.2f} of {against}" if ratio is not None else ""
        print(f"{name:48} {value:>14,.1f} {unit}{beside}", flush=True)
