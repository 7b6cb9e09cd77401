"""Where the data sets of the slow tests and benchmarks lie, if they are there at all."""

import os
from pathlib import Path

import pytest


def shared_data() -> Path | None:
    """Folder of data sets: SKDISTILL_DATA, else ``shared/data`` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKDISTILL_DATA") or beside)
    return folder if folder.is_dir() else None


def needs_data(name: str) -> pytest.MarkDecorator:
    """Mark a test that needs the data set `name`: it is skipped where that is absent."""
    folder = shared_data()
    present = folder is not None and (folder / name).exists()
    return pytest.mark.skipif(
        not present, reason=f"data set {name!r} is absent: set SKDISTILL_DATA"
    )
