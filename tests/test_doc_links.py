"""Diagrams link a class to its documentation: by its class alone, to a file that exists."""

import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

import skdistill
from skdistill import _doc_links, audit, neural, students, transfer
from skdistill._doc_links import doc_link

ROOT = Path(__file__).resolve().parents[1]
CLASSES = [
    skdistill.NewtonClassifier,
    skdistill.NewtonRegressor,
    skdistill.PrivateClassifier,
    skdistill.PrivateDistiller,
    skdistill.PrivateRegressor,
    skdistill.TableFeatures,
    skdistill.TeacherEnsemble,
    neural.NetworkClassifier,
    neural.NetworkRegressor,
    students.ThresholdedStudent,
    transfer.MarginalSampler,
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_link_leads_to_the_file_of_the_class(kind):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    start = project["urls"]["Source"] + "/blob/main/"
    assert start + "{path}" == _doc_links.TEMPLATE
    link = doc_link(kind.__new__(kind))
    assert link.startswith(start)
    source = (ROOT / link.removeprefix(start)).read_text("utf-8")
    assert f"\nclass {kind.__name__}(" in source


def test_scikit_learn_links_to_its_own_pages_and_ours_to_ours():
    page = estimator_html_repr(make_pipeline(skdistill.TableFeatures((0, 1)), LogisticRegression()))
    assert "scikit-learn.org" in page
    assert "/blob/main/skdistill/transfer/table_features.py" in page


def test_a_distiller_links_itself_its_teacher_and_its_student():
    teacher = skdistill.TeacherEnsemble(LogisticRegression())
    page = skdistill.PrivateDistiller(teacher, LogisticRegression())._repr_html_()
    links = [found.attrib["href"] for found in ElementTree.fromstring(page).iter("a")]
    assert [link.rsplit("/", 1)[1] for link in links] == [
        *("distiller.py", "ensemble.py", "sklearn.linear_model.LogisticRegression.html")
    ]


def test_no_method_of_a_users_teacher_is_asked_for_a_link():
    """Its answer might be a private value: here it would be in the page."""

    class Telling(LogisticRegression):
        _doc_link_module = "tests"

        def _get_doc_link(self):
            return "https://SECRET"

    assert doc_link(Telling()) == ""
    assert "SECRET" not in skdistill.PrivateDistiller(Telling())._repr_html_()


@pytest.mark.parametrize("model", [audit.ShadowDistiller, object(), None, "text", 3])
def test_other_objects_have_no_link(model):
    assert doc_link(model) == ""
