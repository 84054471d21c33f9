"""Hidden Markov models."""

from emlearn.hmm._durations import StateDurations, StateRuns
from emlearn.hmm._hidden_markov import HiddenMarkovEM
from emlearn.hmm._mixture_of_chains import MixtureOfHiddenMarkovEM

__all__ = ["HiddenMarkovEM", "MixtureOfHiddenMarkovEM", "StateDurations", "StateRuns"]
