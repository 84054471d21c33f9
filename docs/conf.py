"""Configuration of the site: `sphinx-build -W --keep-going -b html docs build/html`."""

import importlib
import os
from typing import ClassVar

import matplotlib
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import emlearn

matplotlib.use("Agg")

project = "emlearn"
author = "emlearn developers"
project_copyright = author
version = release = emlearn.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["examples", "gallery", "auto_gallery/*.ipynb", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
# A name in single backticks is a link where it is the name of something, and code elsewhere.
default_role = "py:obj"
highlight_language = "none"
add_module_names = False
toc_object_entries_show_parents = "hide"
modindex_common_prefix = ["emlearn."]
nitpicky = False

# The pages are read on other sites too, so they keep to what most of these understand.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = True
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
numpydoc_use_plots = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

plot_html_show_formats = False
plot_html_show_source_link = False
plot_formats = [("png", 120)]
plot_rcparams = {"figure.figsize": (5.5, 3.8), "figure.constrained_layout.use": True}

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "plot_",
    "abort_on_example_error": True,
    "backreferences_dir": "reference/backreferences",
    "doc_module": ("emlearn",),
    "download_all_examples": False,
    "exclude_implicit_doc": set(),
    # In a browser (.ci/lite) nothing is installed, and the wheel of the site is taken.
    "first_notebook_cell": (
        'import sys\n\nif sys.platform == "emscripten":\n'
        "    %pip install -q scikit-em matplotlib pandas pillow"
    ),
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "min_reported_time": 5,
    "plot_gallery": os.environ.get("EMLEARN_PLOT_GALLERY", "True") == "True",
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "emlearn"
html_static_path = ["_static"]
html_css_files = ["emlearn.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "emlearn"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 1,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {
    page: [] for page in ("index", "getting_started", "design", "glossary", "changelog")
}


def constructor_of_named_tuples(app, what, name, obj, options, signature, annotation):
    """The signature without the types, which the docstring describes in words."""
    if what == "class" and issubclass(obj, tuple) and hasattr(obj, "_fields"):
        defaults = obj._field_defaults
        fields = (f"{f}={defaults[f]!r}" if f in defaults else f for f in obj._fields)
        return f"({', '.join(fields)})", None
    return None


def names_of_the_reference():
    """Full names by the names that pages use. A lower-case word may mean something else."""
    names = {}
    packages = "data datasets display distributions engine impute irt linkage mixed raters "
    packages += "statespace testing text tomography"
    for package in packages.split():
        module = importlib.import_module(f"emlearn.{package}")
        names |= {name: f"{module.__name__}.{name}" for name in module.__all__}
    names |= {name: f"emlearn.{name}" for name in emlearn.__all__}
    return {name: full for name, full in names.items() if not (name.isalpha() and name.islower())}


class LinkNames(SphinxTransform):
    """Names of the package in the code of a page's text link to the reference."""

    default_priority = 500
    names: ClassVar = names_of_the_reference()

    def apply(self, **kwargs):
        """Put references around the names."""
        if not self.document["source"].endswith(".md"):
            return
        for code in list(self.document.findall(nodes.literal)):
            text = code.astext()
            target = text if text.startswith("emlearn.") else self.names.get(text)
            inside = (nodes.reference, nodes.title, addnodes.pending_xref)
            if target is None or isinstance(code.parent, inside):
                continue
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refdoc=self.env.docname
            )
            code.replace_self(link)
            link += code


def setup(app):
    """Connect the above."""
    app.add_transform(LinkNames)
    app.connect("autodoc-process-signature", constructor_of_named_tuples)
