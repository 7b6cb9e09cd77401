"""Publishing a student: an ordinary estimator, its statement, and a file that runs no code."""

from skdistill.publishing.files import UnsafeFileError, load, save
from skdistill.publishing.private_parts import (
    refuse_private_parts,
    refuse_private_settings,
    without_memory,
)
from skdistill.publishing.published import Published, publish

__all__ = [
    "Published",
    "UnsafeFileError",
    "load",
    "publish",
    "refuse_private_parts",
    "refuse_private_settings",
    "save",
    "without_memory",
]
