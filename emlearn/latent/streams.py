"""Streams of rows with a latent label, after a fit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from emlearn.distributions._domain import named_columns
from emlearn.engine import FixedParameters, LatentVariableModel
from emlearn.engine.estimator import Fit
from emlearn.engine.parameters import Public
from emlearn.engine.partial_fit import PartialFit
from emlearn.engine.stepwise import Stream
from emlearn.latent.model import LabelModel
from emlearn.latent.starts import STARTS


class LabelStreaming(PartialFit):
    """`partial_fit` of mixtures: errors name the columns of a data frame."""

    def _naming(self) -> AbstractContextManager[None]:
        return named_columns(getattr(self, "feature_names_in_", None))


def stream_after(model: LabelModel, fit: Fit) -> Stream:
    """The stream that goes on after a fit of the model.

    Starts, which can hold as much as the rows do, are left out.
    """
    own: LatentVariableModel[Any, Any, Any] = replace(model, initializer=STARTS["rows"])
    if fit.fixed:
        own = FixedParameters(own, fit.fixed)
    weight = fit.model.total_weight(fit.data)
    return Stream.after(own, fit.params.column_spec, fit.params, fit.best.statistics, weight)


def held_by(model: LatentVariableModel[Any, Any, Any]) -> Public:
    """The entries of published parameters that a model holds."""
    return dict(model.fixed) if isinstance(model, FixedParameters) else {}
