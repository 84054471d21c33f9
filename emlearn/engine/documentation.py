"""Descriptions of the hyperparameters and attributes that estimators have in common.

A docstring that has a line ``{tol}`` gets the entry of `tol` in its place, with the default
of the class's own constructor.
"""

from __future__ import annotations

import inspect
import re
import textwrap

PARAMETERS: dict[str, tuple[str, str]] = {
    "tol": (
        'float or "auto"',
        """
        When to stop. With g nats of the objective left to gain, estimates are off by at most
        ``sqrt(2 g)`` standard errors. "auto" stops at 1e-5 nats where iterations are cheap,
        and always below 0.125 nats (half a standard error); see
        `emlearn.engine.StatisticalGain`. A number is in nats per unit of weight (per row,
        without weights). What is left to gain is estimated from the rate of convergence; the
        last gain alone says little where EM is slow.
        """,
    ),
    "max_iter": (
        "int",
        """
        Largest number of iterations of each start. 0 publishes the parameters that the fit
        would start from.
        """,
    ),
    "n_init": (
        "int",
        """
        Number of starts or searches, of which the one that ends at the highest objective is
        kept. If starts are raced (``init_params="auto"``), it sets how many of them there are.
        """,
    ),
    "search": (
        '{"fast", "default", "thorough"}, int or SearchPlan',
        """
        How much to search for the global optimum with ``init_params="search"``: the name of
        one of `emlearn.engine.PLANS`, about how many E-steps to spend on each of the
        `n_init` searches, or a plan with numbers of your own. A search makes short EM runs
        from several starts and keeps the best; then it moves one component at a time to
        another place, and keeps the change if a few EM steps later the objective is higher.
        Large data are searched on a random part.
        """,
    ),
    "accelerate": (
        '{"auto", "squarem", "quasi-newton", "anderson"} or None',
        """
        How to take longer steps than EM where it is slow; None is plain EM. No choice lowers
        the objective. "auto" starts as plain EM and accelerates once its steps shrink
        slowly. It takes Newton steps if the model has a `curvature`, and it is plain EM for a
        family of your own that has no vector form.
        """,
    ),
    "fixed": (
        "dict of str to array-like",
        """
        Parameters, or entries of them, that are held at given values: by the name of the
        attribute without its underscore, an array of the same shape with NaN where free. The
        other entries are estimated given these, and criteria such as BIC count only them.
        None estimates all. See the guide to fixed parameters.
        """,
    ),
    "random_state": (
        "int, RandomState instance or None",
        """
        Source of all randomness: of the starts, and of draws from the fitted model. Pass an
        int for the same results in each call.
        """,
    ),
    "warm_start": (
        "bool",
        """
        Whether `fit` starts from the published parameters of the last fit instead of from
        new starts.
        """,
    ),
    "verbose": (
        "int",
        """
        1 prints one line at the end of each run, 2 also one line every `verbose_interval`
        iterations. scikit-learn's callbacks, such as its progress bar, work as well (from
        version 1.9): ``estimator.set_callbacks(ProgressBar())``.
        """,
    ),
    "verbose_interval": (
        "int",
        """
        Number of iterations between the lines that ``verbose=2`` prints.
        """,
    ),
    "stepwise": (
        "StepwisePlan",
        """
        How `partial_fit` learns: sizes of the steps, burn-in, memory. None takes the defaults of
        `emlearn.engine.StepwisePlan`. `fit` does not use it.
        """,
    ),
    "n_jobs": (
        "int",
        """
        Number of starts that run at the same time, by joblib: in threads, unless
        `joblib.parallel_config` chooses processes. None means 1; -1 means one for each core.
        A single start uses the threads that BLAS may use, and so does a race of starts, on
        which `n_jobs` has no effect. The result has the same bits for any number.
        """,
    ),
}

ATTRIBUTES: dict[str, tuple[str, str]] = {
    "converged_": ("bool", "Whether the best run converged."),
    "n_iter_": ("int", "Number of iterations of the best run."),
    "log_likelihood_": (
        "float",
        """
        Log-likelihood of what was fitted, in nats, weighted, at the published parameters.
        """,
    ),
    "lower_bound_": (
        "float",
        """
        Objective at the published parameters per unit of weight: the log-likelihood plus the
        logarithm of the priors, up to their constant.
        """,
    ),
    "lower_bounds_": ("list of float", "The same after each iteration of the best run."),
    "history_": (
        "dict of str to ndarray",
        """
        For the start and each iteration of the best run: "objective" (total), "gain",
        "rate", "remaining", "e_steps", "step", "step_norm" (see `emlearn.engine.Iteration`),
        and "standard_errors", by how many of these estimates may still be off.
        """,
    ),
    "restarts_": (
        "tuple of Restart",
        """
        How each run ended: objective, status, iterations and seed; see `emlearn.engine.Restart`.
        Starts that a race left behind have the status "outrun". All other runs are finished.
        """,
    ),
    "n_features_in_": ("int", "Number of features seen in `fit`."),
    "feature_names_in_": (
        "ndarray of shape (`n_features_in_`,)",
        "Names of the features seen in `fit`. Only if X had names that are all strings.",
    ),
}

_PLACEHOLDER = re.compile(r"^(?P<indent>[ ]*)\{(?P<name>\w+)\}$", re.MULTILINE)


def complete_docstring(cls: type) -> None:
    """Put the shared entries into the docstring of an estimator's class."""
    if cls.__doc__ is None:
        return
    defaults = inspect.signature(cls.__init__).parameters  # type: ignore[misc]  # of the class, not an instance

    def entry(match: re.Match[str]) -> str:
        name = match["name"]
        if name in PARAMETERS:
            kind, text = PARAMETERS[name]
            head = f"{name} : {kind}, default={_written(defaults[name].default)}"
        elif name in ATTRIBUTES:
            kind, text = ATTRIBUTES[name]
            head = f"{name} : {kind}"
        else:
            known = sorted({*PARAMETERS, *ATTRIBUTES})
            raise KeyError(f"{cls.__name__}: no shared entry {name!r}; there are {known}.")
        body = textwrap.indent(textwrap.dedent(text).strip(), "    ")
        return textwrap.indent(f"{head}\n{body}", match["indent"])

    cls.__doc__ = _PLACEHOLDER.sub(entry, cls.__doc__)


def _written(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else f"{default}"
