"""The order of the examples in the gallery: as somebody new would read them."""

from pathlib import Path

ORDER = [
    "plot_quickstart.py",
    "plot_from_csv_to_student.py",
    "plot_which_epsilon.py",
    "plot_search_cost.py",
    "plot_teacher_ensemble.py",
    "plot_no_public_data.py",
    "plot_user_level.py",
    "plot_membership.py",
    "plot_semi_supervised_student.py",
    "plot_housing.py",
    "plot_speech.py",
    "plot_keras.py",
    "plot_pytorch.py",
]


class ReadingOrder:
    """A sorting key of sphinx-gallery. An example that is not listed ends the build."""

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> int:
        """Return the place of an example."""
        return ORDER.index(Path(filename).name)
