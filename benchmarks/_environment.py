"""The environment that a table was measured in."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def environment() -> str:
    """Return one line: Python, package versions, processor, cores."""
    found = []
    peers = ("diffprivlib", "interpret-core", "smartnoise-synth")
    for name in ("numpy", "scipy", "scikit-learn", *peers):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"Python {platform.python_version()}, {', '.join(found)}; {processor()}, "
        f"{os.cpu_count()} cores"
    )


def processor() -> str:
    """Return the processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
