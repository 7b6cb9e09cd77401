import re

import sklearn

import skdistill
from skdistill._show_versions import show_versions


def test_the_versions_are_those_in_use(capsys):
    show_versions()
    text = capsys.readouterr().out
    shown = dict(re.findall(r"^ *([\w-]+): (.+)$", text, flags=re.MULTILINE))
    assert shown["skdistill"] == skdistill.__version__
    assert shown["scikit-learn"] == sklearn.__version__
    assert shown["python"][:2] == "3."
    assert {"numpy", "scipy", "joblib", "diffprivlib", "keras", "torch", "skops"} <= set(shown)


def test_no_path_is_shown(capsys):
    show_versions()
    assert "/" not in capsys.readouterr().out
