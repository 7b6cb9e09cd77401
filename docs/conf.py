"""Sphinx configuration. Builds without a network: no inventories, no fonts, no badges."""

import importlib.util
import re
import sys
from pathlib import Path
from shutil import copytree

from sphinx.errors import ExtensionError

import skdistill

sys.path.insert(0, str(Path(__file__).parent))
import draw_figures  # noqa: E402

# Examples whose library is not installed are shown, and not run: they would end the build.
NEEDS = {"keras": "keras", "pytorch": "skorch"}
not_run = [name for name, library in NEEDS.items() if importlib.util.find_spec(library) is None]

project = "skdistill"
author = "The skdistill developers"
copyright = f"2026, {author}"
version = release = skdistill.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "auto_examples/*.py"]
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types, with shapes
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# A link to a name that has no page ends the build, except to other projects and to modules.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(sklearn|json)\..*"), (r"py:mod", r"skdistill\..*")]

# Formulas without a network: MathJax and its fonts are copied into the pages. (As an extension the
# package would copy 24 MB, of which speech in ten languages is most.)
MATHJAX = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
MATHJAX_PARTS = ["tex-chtml.js", "output/chtml/fonts/woff-v2"]
mathjax_path = "mathjax/tex-chtml.js"

# Copy code without the prompts and without the output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "gallery_order.ReadingOrder",
    "filename_pattern": "plot_" + "".join(f"(?!{name})" for name in not_run),
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "gallery_style.apply"),
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}

templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
toc_object_entries_show_parents = "hide"
# Pages that are in no section have no use for a list of the section's pages.
html_sidebars = {
    page: []
    for page in (
        *("benchmarks", "changelog", "comparison", "contributing", "differences", "index"),
        *("quickstart", "scaling", "sharp_edges", "theory"),
    )
}
html_title = "skdistill"
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def escape_trailing_underscores(app, what, name, obj, options, lines):
    """Keep reStructuredText from taking ``(m, n_features_in_)`` in a shape for a link."""
    lines[:] = [re.sub(r"(?<![`*\w])(\w+)_(?=[,)*]|$)", r"\1\\_", line) for line in lines]


def copy_mathjax(app, failure):
    target = Path(app.outdir) / "_static" / "mathjax"
    if failure is None and app.builder.format == "html":
        for part in MATHJAX_PARTS:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            if (MATHJAX / part).is_dir():
                copytree(MATHJAX / part, target / part, dirs_exist_ok=True)
            else:
                (target / part).write_bytes((MATHJAX / part).read_bytes())


def check_figures(app):
    if stale := draw_figures.stale():
        raise ExtensionError(f"Run python docs/draw_figures.py: {stale} differ from docs/figures.")


def setup(app):
    app.connect("builder-inited", check_figures)
    app.connect("build-finished", copy_mathjax)
    app.connect("autodoc-process-docstring", escape_trailing_underscores, priority=900)
