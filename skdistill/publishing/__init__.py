"""Publishing a student: an ordinary estimator, its statement, and a file that runs no code."""

from skdistill.publishing.files import UnsafeFileError, load, save
from skdistill.publishing.private_parts import refuse_private_parts, refuse_private_settings
from skdistill.publishing.published import Published

__all__ = [
    "Published", "UnsafeFileError", "load", "refuse_private_parts", "refuse_private_settings",
    "save",
]  # fmt: skip
