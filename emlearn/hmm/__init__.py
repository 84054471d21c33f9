"""Hidden Markov models."""

from emlearn.hmm._durations import StateDurations, StateRuns
from emlearn.hmm._hidden_markov import HiddenMarkovEM

__all__ = ["HiddenMarkovEM", "StateDurations", "StateRuns"]
