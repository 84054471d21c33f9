"""How many starts are raced, and how long."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Heat:
    """A round on a part of the data: all remaining starts make some EM steps.

    Parameters
    ----------
    rows_per_parameter, least_rows : int
        The part has `rows_per_parameter` rows for each free parameter, but at least
        `least_rows`.
    steps : int
        EM steps of each run.
    kept : int
        Number of starts that stay in the race.
    """

    rows_per_parameter: int
    least_rows: int
    steps: int
    kept: int


@dataclass(frozen=True)
class RacePlan:
    """How starts are raced.

    Parameters
    ----------
    n_candidates : int, default=10
        Number of starts.
    first_steps : int, default=3
        EM steps that every start makes on all data.
    steps : int, default=32
        Largest number of EM steps of a run, including the first steps, before the best run is
        chosen.
    n_reserves : int, default=2
        Number of other runs that are kept, in case one of them is better than the finished run.
    n_moves : int, default=0
        Perturbations of the best run, for models that have them.
    move_steps : int, default=8
        EM steps after each perturbation.
    n_large : int, default=16
        Number of starts if the data are large enough for rounds on parts of them.
    n_repeats : int, default=1
        How often these rounds are made, each time with other starts and parts.
    heats : tuple of Heat
        Rounds on parts of large data. A round is left out if its part is not much smaller than
        the data.
    """

    n_candidates: int = 10
    first_steps: int = 3
    steps: int = 32
    n_reserves: int = 2
    n_moves: int = 0
    move_steps: int = 8
    n_large: int = 16
    n_repeats: int = 1
    heats: tuple[Heat, ...] = (Heat(5, 2000, 6, 6), Heat(20, 10_000, 8, 3))

    def times(self, n_init: int) -> RacePlan:
        """The plan for `n_init` times the effort."""
        if n_init == 1:
            return self
        return replace(
            self,
            n_candidates=max(self.n_candidates, round(self.n_candidates * (n_init + 1) / 4)),
            n_moves=round(2.4 * n_init),
            n_repeats=round((n_init + 1) / 2),
        )


@dataclass(frozen=True)
class ManyStarts(RacePlan):
    """A race in which more effort means more starts, and no perturbations.

    It suits models whose starts differ enough to find the best optimum by themselves. The other
    settings are those of `RacePlan`.

    Attributes
    ----------
    most_candidates : int
        Largest number of starts, whatever the effort; by default 60.
    """

    most_candidates: int = 60

    def times(self, n_init: int) -> ManyStarts:
        """The plan for `n_init` times the starts."""
        most = self.most_candidates
        return replace(
            self,
            n_candidates=max(self.n_candidates, min(self.n_candidates * n_init, most)),
            n_repeats=max(1, min(n_init, most // self.n_large)),
        )
