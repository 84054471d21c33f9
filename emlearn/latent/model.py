"""The model with a discrete latent label: mixtures and hidden Markov models.

Each row has an unobserved label. The labels follow a law: independent draws or a Markov chain.
Given its label, a row follows a family of distributions. With z the labels of all rows, EM
maximizes

    log sum_z P(z) prod_i f(x_i; theta_{z_i})  +  log prior,

weighted by row or by sequence. The sum is over the z that agree with the known labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.engine import BlockMapper, LatentVariableModel, Penalty, Threads, add_statistics
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.parameters import ParameterSpace
from emlearn.engine.threads import available_threads
from emlearn.latent.data import LabelBlock, LabelData, Observations
from emlearn.latent.labels import with_labels
from emlearn.latent.law import EMPTY, Law, MixtureLaw
from emlearn.latent.matching import held_components, renumbered_start
from emlearn.latent.passes import TablePasses, encode_part, encode_part_once, widened_spec
from emlearn.latent.perturb import split_component
from emlearn.latent.starts import Initializer

Array = NDArray[Any]


class LabelParams(NamedTuple):
    """Parameters. They are never modified.

    Attributes
    ----------
    law : object
        Parameters of the law of the label.
    components : object
        Parameters of the family.
    column_spec : object
        What the family learned about the columns of the fitted rows. Rows are always
        encoded with the column spec of their parameters. Parameters of another fit enter
        only through `Family.from_public`, which translates them.
    """

    law: Any
    components: Any
    column_spec: Any


class LabelStatistics(NamedTuple):
    """Expected counts for the law, and sufficient statistics for the family."""

    law: Any
    components: Any


class Precomputed(NamedTuple):
    """What every block of one E-step needs."""

    law: Any
    components: Any


@dataclass(frozen=True, eq=False)
class LabelModel(LatentVariableModel[LabelData, LabelParams, LabelStatistics]):
    """Model with a discrete latent label.

    Parameters
    ----------
    law : Law
        Law of the label: `MixtureLaw` or `ChainLaw`.
    family : Family
        Family of the rows given their labels.
    initializer : Initializer
        Strategy that finds starting parameters.
    """

    law: Law
    family: Family
    initializer: Initializer

    @property
    def n_components(self) -> int:
        """Number of components or states."""
        return self.law.n_components

    def prepare(self, X: Observations, sample_weight: Array | None = None) -> LabelData:
        """Drop rows of weight zero, encode the rest and cut it into blocks."""
        return self.law.prepare(X, sample_weight, self.family)

    def learn(self, table: BlockTable) -> Any:
        """See `LatentVariableModel`: what the family learns about the columns."""
        if not self.family.reads_blocks or not isinstance(self.law, MixtureLaw):
            raise ValueError(
                f"{self.family!r} needs all rows in memory, and cannot be fitted to rows that are "
                "read block by block. Pass the rows as an array, or some of them."
            )
        return self.family.spec_of_passes(self._passes(table))

    def prepare_part(self, part: RowPart, learned: Any) -> LabelData:
        """See `LatentVariableModel`."""
        factor = self._unlabelled_weight
        return encode_part(part, self.family, self.n_components, factor, learned)

    def open_part(self, part: RowPart, learned: Any) -> Sequence[LabelBlock]:
        """See `LatentVariableModel`: one block."""
        factor = self._unlabelled_weight
        return (encode_part_once(part, self.family, self.n_components, factor, learned),)

    def weight_of_table(self, table: BlockTable) -> float:
        """See `LatentVariableModel`."""
        return self._passes(table).weight()

    def _passes(self, table: BlockTable) -> TablePasses:
        return TablePasses(table, self.family, self._unlabelled_weight)

    @property
    def _unlabelled_weight(self) -> float:
        return float(getattr(self.law, "unlabelled_weight", 1.0))

    def initialize(self, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """Starting parameters from the initializer; they respect the known labels."""
        return self.initializer(self, data, rng)

    def from_responsibilities(
        self,
        data: LabelData,
        responsibilities: Array,
        rng: np.random.Generator,
        rows: NDArray[np.intp] | None = None,
    ) -> LabelParams:
        """Parameters from responsibilities of all rows, or of the rows at given positions.

        Parameters
        ----------
        data : LabelData
            The rows.
        responsibilities : ndarray of shape (n_components, n_rows)
            Responsibilities times weight. They need not sum to the weight.
        rng : Generator
            Source of randomness for the families that need it.
        rows : ndarray of shape (n_rows,), default=None
            Positions of the rows; None means all.

        Returns
        -------
        params : LabelParams
            The parameters.
        """
        if rows is None:
            components = self.start_components(data, responsibilities, rng)
        else:
            encoded = self.family.take(data.rows, rows)
            components = self.family.start(encoded, responsibilities, data.column_spec, rng)
        law = self.law.start(responsibilities, data)
        return LabelParams(law, components, data.column_spec)

    def start_components(
        self, data: LabelData, responsibilities: Array, rng: np.random.Generator
    ) -> Any:
        """Parameters of any number of components, from responsibilities times weight."""
        rows = data.rows
        if self.family.draws_rows:
            first, group, _ = data.distinct
            rows = self.family.take(rows, first)
            responsibilities = np.stack(
                [np.bincount(group, own, len(first)) for own in responsibilities]
            )
        return self.family.start(rows, responsibilities, data.column_spec, rng)

    def precompute(self, params: LabelParams) -> Precomputed:
        """Logarithms and factorizations, computed once for each E-step."""
        return Precomputed(
            self.law.precompute(params.law),
            self.family.precompute(params.components, params.column_spec),
        )

    def emission_log_density(self, block: LabelBlock, params: Precomputed) -> Array:
        """Log-densities (n_components, n_rows) of the rows given each label.

        The array lies in the workspace of the block. The next call overwrites it.
        """
        shape = (self.n_components, block.n_rows)
        density = block.workspace.array("log_joint", shape, np.float64)
        for part, rows in block.parts:
            whole = len(block.parts) == 1
            own = density
            if not whole:
                size = (self.n_components, part.stop - part.start)
                own = block.workspace.array("part", size, np.float64)
            own[...] = 0.0
            self.family.log_density(rows, params.components, own)
            if not whole:
                density[:, part] = own
        return density

    def posterior(self, block: LabelBlock, params: Precomputed) -> tuple[Array, Any, float]:
        """Posterior probabilities of the labels times weight, expected counts, log-likelihood."""
        joint = self.emission_log_density(block, params)
        if block.known is not None:
            block.known.impose(joint)
        counts, value = self.law.posterior(joint, block, params.law)
        return joint, counts, value

    def e_step(self, block: LabelBlock, params: Precomputed) -> tuple[LabelStatistics, float]:
        """Statistics and log-likelihood of a block."""
        if block.known is None and isinstance(self.law, MixtureLaw):
            _, rows = block.parts[0]
            counts, components, value = self.family.expect(
                rows, params.law, block.n_rows, block.weight, params.components, block.workspace
            )
            return LabelStatistics(counts, components), value
        joint, counts, value = self.posterior(block, params)
        components = None
        for part, rows in block.parts:
            own = joint if len(block.parts) == 1 else np.ascontiguousarray(joint[:, part])
            found = self.family.sufficient_statistics(rows, own, params.components)
            components = found if components is None else add_statistics(components, found)
        return LabelStatistics(counts, components), value

    def m_step(self, statistics: LabelStatistics, params: LabelParams) -> LabelParams:
        """Modes given the statistics. The law and the family handle labels without rows."""
        spec = params.column_spec
        return LabelParams(
            self.law.m_step(statistics.law, params.law),
            self.family.m_step(statistics.components, params.components, spec),
            spec,
        )

    def widened(self, learned: Any, part: RowPart) -> Any:
        """See `LatentVariableModel`: what the family knows about the columns."""
        return widened_spec(part, self.family, self._unlabelled_weight, learned)

    def carried(
        self, params: LabelParams, statistics: LabelStatistics, learned: Any
    ) -> tuple[LabelParams, LabelStatistics]:
        """See `LatentVariableModel`."""
        own = self.family.rearranged(statistics.components, params.column_spec, learned)
        return params._replace(column_spec=learned), statistics._replace(components=own)

    def recentered(
        self, statistics: LabelStatistics, params: LabelParams, moved: LabelParams
    ) -> LabelStatistics:
        """See `LatentVariableModel`."""
        own = self.family.recentered(statistics.components, params.components, moved.components)
        return statistics._replace(components=own)

    def log_prior(self, params: LabelParams) -> float:
        """Log prior of the law and of the family."""
        own = self.law.log_prior(params.law)
        return own + self.family.log_prior(params.components, params.column_spec)

    def pseudo_rows(self, params: LabelParams) -> float:
        """Number of rows that the prior counts as: that of the law, or of all components."""
        own = self.family.pseudo_rows(params.column_spec)
        return max(self.law.pseudo_rows(), self.law.n_components * own)

    def log_likelihood(self, data: LabelData, params: LabelParams, objective: float) -> float:
        """See `LatentVariableModel`: a further E-step if the family is regularized."""
        spec = self.family.unpenalized(params.column_spec)
        if spec is params.column_spec:
            return super().log_likelihood(data, params, objective)
        with BlockMapper(self, data, Threads(available_threads())) as e_step:
            return e_step(params._replace(column_spec=spec))[1]

    def candidates(
        self, data: LabelData, rng: np.random.Generator, n: int
    ) -> Iterator[LabelParams]:
        """The starts of the initializer, if it offers several; one after another if not."""
        offer = getattr(self.initializer, "candidates", None)
        return super().candidates(data, rng, n) if offer is None else offer(self, data, rng, n)

    def ranking_penalty(self, statistics: LabelStatistics, params: LabelParams) -> Penalty:
        """That of the family."""
        return self.family.ranking_penalty(statistics.components, params.column_spec)

    def unsound(self, statistics: LabelStatistics, params: LabelParams) -> list[str]:
        """Labels without rows, and those that the family doubts; each is named once."""
        return self.constrained_unsound(statistics, params, {})

    def constrained_unsound(
        self, statistics: LabelStatistics, params: LabelParams, fixed: Mapping[str, Array]
    ) -> list[str]:
        """As `unsound`, without labels of which nothing is estimated."""
        held = held_components(self, params, fixed)
        rows, noun = self.law.rows(statistics.law), self.law.noun
        told = (rows <= EMPTY * rows.sum()) & ~held
        found = []
        if told.any():
            found.append(
                f"{noun.capitalize()}(s) {np.flatnonzero(told).tolist()} {self.law.emptied}: the "
                f"data need fewer than n_components={self.n_components} {noun}s. Use fewer."
            )
        told |= held
        doubts = self.family.unsound(statistics.components, params.components, params.column_spec)
        for reason, doubted in doubts.items():
            named = np.flatnonzero(doubted & ~told)
            told = told | doubted
            if named.size:
                counts = ", ".join(f"{n:.3g}" if n < 1e3 else f"{n:.0f}" for n in rows[named])
                found.append(f"{noun.capitalize()}(s) {named.tolist()} ({counts} rows): {reason}")
        return found

    def n_parameters(self, params: LabelParams) -> int:
        """Number of free parameters."""
        own = self.law.n_parameters()
        return own + self.family.n_parameters(params.components, params.column_spec)

    def perturb(
        self, data: LabelData, params: LabelParams, rng: np.random.Generator
    ) -> LabelParams | None:
        """Remove one component and split another; see `emlearn.latent.perturb`."""
        changed = split_component(self, data, params, rng)
        if changed is None:
            return None
        if data.labels is not None:
            weight = data.row_weight
            changed = with_labels(changed / weight, data.labels) * weight
        components = self.start_components(data, changed, rng)
        return LabelParams(self.law.restart(changed, data), components, data.column_spec)

    def subset(
        self, data: LabelData, rng: np.random.Generator, size: int | None = None
    ) -> LabelData | None:
        """Random rows, or sequences, of large data."""
        return self.law.subset(data, self.family, rng, size)

    def blocks(self, data: LabelData) -> Sequence[LabelBlock]:
        """Blocks of rows, or of whole sequences."""
        return data.blocks

    def total_weight(self, data: LabelData) -> float:
        """Sum of the weights of the rows."""
        return data.total_weight

    @property
    def has_vector(self) -> bool:
        """Whether the family has a vector form."""
        return self.family.has_vector

    def to_vector(self, params: LabelParams) -> NDArray[np.float64]:
        """Vector of the law, followed by that of the family."""
        components = self.family.to_vector(params.components, params.column_spec)
        return np.concatenate([self.law.to_vector(params.law), components])

    def from_vector(self, vector: NDArray[np.float64], like: LabelParams) -> LabelParams:
        """See `to_vector`."""
        law, rest = self.law.from_vector(vector, like.law)
        components = self.family.from_vector(rest, like.components, like.column_spec)
        return LabelParams(law, components, like.column_spec)

    # ---- for standard errors and fixed entries --------------------------------------------

    def public(self, params: LabelParams) -> dict[str, Array]:
        """Parameters of the law, and those of the family."""
        own = self.family.parameters(params.components, params.column_spec)
        return {**self.law.public(params.law), **own}

    def from_public(self, public: Mapping[str, Array], like: LabelParams) -> LabelParams:
        """See `LatentVariableModel`."""
        own = self.law.public(like.law)
        components = {name: value for name, value in public.items() if name not in own}
        spec = like.column_spec
        return LabelParams(
            self.law.from_public(public), self.family.from_public(components, spec), spec
        )

    def space(self, params: LabelParams) -> ParameterSpace:
        """See `LatentVariableModel`."""
        own = self.family.space(params.components, params.column_spec)
        return ParameterSpace({**self.law.space(params.law), **own})

    def score(self, statistics: LabelStatistics, params: LabelParams) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        spec = params.column_spec
        own = self.family.score(statistics.components, params.components, spec)
        return {**self.law.score(statistics.law, params.law), **own}

    def example(self, data: LabelData) -> LabelParams:
        """The average row for all components."""
        spec = data.column_spec
        components = self.family.pooled(self.n_components, spec)
        return LabelParams(self.law.start(None, data), components, spec)

    def constrained_m_step(
        self, statistics: LabelStatistics, params: LabelParams, fixed: Mapping[str, Array]
    ) -> LabelParams:
        """See `LatentVariableModel`."""
        spec, (law, own) = params.column_spec, self._divided(params, fixed)
        return LabelParams(
            self.law.constrained_m_step(statistics.law, params.law, law),
            self.family.constrained_m_step(statistics.components, params.components, own, spec),
            spec,
        )

    def impose(self, params: LabelParams, fixed: Mapping[str, Array]) -> LabelParams:
        """See `LatentVariableModel`."""
        spec, (law, own) = params.column_spec, self._divided(params, fixed)
        return LabelParams(
            self.law.impose(params.law, law), self.family.impose(params.components, own, spec), spec
        )

    def _divided(
        self, params: LabelParams, fixed: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The entries of the law, and those of the family."""
        law = self.law.public(params.law)
        own = {name: value for name, value in fixed.items() if name not in law}
        return {name: value for name, value in fixed.items() if name in law}, own

    def with_fixed(
        self,
        data: LabelData,
        params: LabelParams,
        fixed: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> LabelParams:
        """A start with entries held, in which each label is the one that they fit best."""
        if not getattr(self.initializer, "numbered", False):
            params = renumbered_start(self, data, params, fixed, rng)
        law, own = self._divided(params, fixed)
        components = params.components
        if own:
            components = self.family.with_fixed(components, own, params.column_spec)
        return params._replace(law=self.law.impose(params.law, law), components=components)

    def constrained_penalty(
        self, statistics: LabelStatistics, params: LabelParams, fixed: Mapping[str, Array]
    ) -> Penalty:
        """That of the family."""
        spec = params.column_spec
        return self.family.constrained_penalty(statistics.components, fixed, spec)

    @property
    def has_score(self) -> bool:
        """Whether the family has one."""
        return self.family.has_score

    def log_likelihoods(self, data: LabelData, params: LabelParams) -> tuple[Array, Array]:
        """Log-likelihoods of rows, or of sequences, in the order of the blocks."""
        precomputed = self.precompute(params)
        values, weights = [], []
        for block in data.blocks:
            joint = self.emission_log_density(block, precomputed)
            if block.known is not None:
                block.known.impose(joint)
            found = self.law.log_likelihoods(joint, block, precomputed.law)
            values.append(np.array(found))
            weights.append(np.ones(len(found)) if block.weight is None else block.weight)
        return np.concatenate(values), np.concatenate(weights)
