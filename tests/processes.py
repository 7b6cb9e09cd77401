"""Scripts that tests run in interpreters of their own."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
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


SERVER = """
import json, os, sys, tempfile
import skdistill, skdistill.accounting.ledger, sklearn.linear_model, sklearn.neighbors
for line in sys.stdin:
    task = json.loads(line)
    if not (child := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, path in enumerate([os.devnull, *task["files"]]):
    os.dup2(os.open(path, os.O_RDWR), number)
sys.argv[1:] = task["arguments"]
os.environ.clear()
os.environ.update(task["environment"])
tempfile.tempdir = None  # read from the environment again
exec(compile(task["script"], "<script>", "exec"))
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Return an interpreter that has imported the package, and forks itself for each script."""
    server, owner = start(SERVER), os.getpid()
    atexit.register(lambda: server.communicate() if os.getpid() == owner else None)
    return server


def forked(script: str, *arguments: object, ending: int = 0) -> str:
    """Run a script in a process of its own, which must end as is said; return its output.

    It is not a child of this process and shares nothing with it, but starts with the package
    imported: in a hundredth of the time of a new interpreter.
    """
    if not hasattr(os, "fork"):
        assert ending == 0
        return run(script, *arguments)
    with tempfile.NamedTemporaryFile("r+") as printed, tempfile.NamedTemporaryFile("r+") as errors:
        task = {
            "script": textwrap.dedent(script),
            "arguments": list(map(str, arguments)),
            "environment": ENVIRONMENT,
            "files": [printed.name, errors.name],
        }
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(task) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code == f"{ending}\n", (code, errors.read())
        return printed.read()
