"""Print the facts that an issue report needs: Python, the machine, the packages in use."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_NEEDED = ("skdistill", "scikit-learn", "numpy", "scipy", "joblib", "diffprivlib")
_OPTIONAL = (
    *("mpmath", "pandas", "polars", "matplotlib", "dask", "distributed", "pyarrow"),
    *("keras", "jax", "torch", "skorch", "skops"),
)


def show_versions() -> None:
    """Print the versions of Python, the operating system and the packages; no data, no paths.

    Examples
    --------
    >>> import skdistill
    >>> skdistill.show_versions()  # doctest: +SKIP
    System:
        python: 3.12.4
       machine: Linux-6.1-x86_64-with-glibc2.36
    ...
    """
    print("System:")
    _print_row("python", sys.version.split()[0])
    _print_row("machine", platform.platform())
    for title, names in (("Dependencies", _NEEDED), ("Optional", _OPTIONAL)):
        print(f"\n{title}:")
        for name in names:
            _print_row(name, _version(name))


def _print_row(name: str, value: str) -> None:
    print(f"{name:>14}: {value}")


def _version(name: str) -> str:
    if name == "skdistill":
        from skdistill import __version__

        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
