"""Entries that docstrings share, in a class of its own."""

import inspect

from emlearn.engine.documentation import ATTRIBUTES, PARAMETERS, complete_docstring


class Own:
    """Has entries.

    Parameters
    ----------
    {max_iter}
    {accelerate}
    other : str
        {braces} within a text stay.

    Attributes
    ----------
    {converged_}
    """

    def __init__(self, max_iter=7, accelerate="auto"):
        pass


def test_entries_have_the_defaults_of_the_class_and_the_indent_of_their_line():
    complete_docstring(Own)
    lines = Own.__doc__.splitlines()
    at = lines.index(f"    max_iter : {PARAMETERS['max_iter'][0]}, default=7")
    assert lines[at + 1].startswith("        Largest number of iterations")
    assert f'    accelerate : {PARAMETERS["accelerate"][0]}, default="auto"' in lines
    assert "        {braces} within a text stay." in lines
    kind, text = ATTRIBUTES["converged_"]
    assert inspect.getdoc(Own).endswith(f"converged_ : {kind}\n    {text}")


def test_a_class_without_a_docstring_stays_without():
    class Silent:
        pass

    complete_docstring(Silent)
    assert Silent.__doc__ is None
