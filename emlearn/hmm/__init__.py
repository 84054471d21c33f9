"""Hidden Markov models."""

from emlearn.hmm._hidden_markov import HiddenMarkovEM

__all__ = ["HiddenMarkovEM"]
