"""Scripts that tests run in interpreters of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",  # so that a child can be forked safely
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(
        filter(None, [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    ),
}


def start(
    script: str, *arguments: object, preload: object = None, **options: object
) -> subprocess.Popen[str]:
    """Start a script in a new interpreter in which warnings are errors."""
    environment = ENVIRONMENT if preload is None else {**ENVIRONMENT, "LD_PRELOAD": str(preload)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def run(script: str, *arguments: object, **options: object) -> str:
    """Run a script, which must succeed; return its output."""
    with start(script, *arguments, **options) as process:
        printed, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    return printed
