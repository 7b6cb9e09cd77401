"""Links from the diagrams of notebooks to the documentation of a class."""

from __future__ import annotations

from typing import Any

#: The file of a class on the project's forge, which holds its full docstring.
TEMPLATE = "https://github.com/skdistill/skdistill/blob/main/{path}"


class DocLink:
    """Mixin before ``BaseEstimator``: scikit-learn's diagrams link to our documentation."""

    _doc_link_module = "skdistill"
    _doc_link_template = TEMPLATE

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        return {"path": type(self).__module__.replace(".", "/") + ".py"}


class PrivateDiagram(DocLink):
    """Mixin of teachers: the diagram of a fitted one shows no fitted attribute."""

    @property
    def _get_fitted_attr_html(self) -> Any:
        # From 1.9 on, scikit-learn's diagrams print fitted attributes by this method.
        raise AttributeError("The fitted attributes of a teacher are private.")


def doc_link(model: Any) -> str:
    """Return the address of the documentation of a model's class, or an empty text.

    The class alone decides. Only methods of scikit-learn's classes and of ours are called, because
    a method of a user's teacher might return private values.
    """
    kind = type(model)
    if kind.__module__.split(".")[0] not in ("sklearn", "skdistill"):
        return ""
    link = getattr(kind, "_get_doc_link", None)
    return "" if link is None else str(link(model))
