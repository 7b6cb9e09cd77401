"""Publishing a student: an ordinary estimator, its statement, and a file that runs no code."""

from skdistill.publishing.archive import UnsafeFileError
from skdistill.publishing.files import load, save
from skdistill.publishing.private_parts import refuse_private_parts, refuse_private_settings
from skdistill.publishing.published import Published, PublishedClassifier, export

__all__ = [
    "Published",
    "PublishedClassifier",
    "UnsafeFileError",
    "export",
    "load",
    "refuse_private_parts",
    "refuse_private_settings",
    "save",
]
