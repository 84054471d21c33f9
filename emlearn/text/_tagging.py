"""PartOfSpeechTaggerEM: tags of words by a hidden Markov model, some or none of them known."""

from __future__ import annotations

import warnings
from itertools import chain
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import read_weight
from emlearn.distributions import Categorical
from emlearn.engine import EMEstimator
from emlearn.engine.acceleration import ACCELERATORS
from emlearn.engine.documentation import complete_docstring
from emlearn.hmm import HiddenMarkovEM
from emlearn.text._tagging_reading import read_sentences, read_tags
from emlearn.text._tagging_words import WordSymbols

Array = NDArray[np.float64]

_FROM_ONE = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0.0, None, closed="left")
#: What the fitted chain says of its fit, under the same names.
_OF_FIT = ("converged_", "n_iter_", "log_likelihood_", "lower_bound_", "lower_bounds_", "history_")


class PartOfSpeechTaggerEM(BaseEstimator):
    """Part-of-speech tags of words, by a hidden Markov model.

    The tags of a sentence are a Markov chain, and each word depends on its tag. Sentences can have
    all of their tags, some, or none: EM sums over those that are not known. So a few tagged
    sentences and many others make one model, `HiddenMarkovEM` with a categorical family.

    Words that occur less than `min_count` times with a tag are replaced by a class: their shape
    (number, capital, hyphen, ...) and the longest suffix that enough other rare words have. Words
    that were never seen get a class in the same way, so the model knows how such words are tagged.

    Parameters
    ----------
    n_tags : int, default=None
        Number of tags. None is that of the tags that occur; without any tags it must be given.
        Tags without a name are named "tag0", "tag1", ...
    min_count : int, default=2
        Words that occur less often with a known tag are replaced by their class. Without any tags,
        all occurrences count.
    suffix_length : int, default=3
        Letters of a suffix at most.
    min_suffix_count : int, default=5
        Rare words that must have a suffix for it to be a class; those of others are in the class of
        a shorter suffix.
    alpha : float, default=0.01
        Pseudo-count of each word for each tag.
    transition_alpha : float, default=0.1
        Pseudo-count of each tag as the next one of each tag, and as the first of a sentence.
    {tol}
    {max_iter}
    {n_init}
    {accelerate}
    {random_state}
    {verbose}
    {verbose_interval}
    {n_jobs}

    Attributes
    ----------
    tags_ : ndarray of shape (n_tags,) of object
        Tags, sorted; those without a name are at the end.
    words_ : ndarray of shape (n_symbols,) of object
        Words that occur often enough, then the classes of others, such as "<lower -ing>".
    emission_ : ndarray of shape (n_tags, n_symbols)
        Probabilities of the words and classes given the tag.
    transmat_ : ndarray of shape (n_tags, n_tags)
        Probabilities of the next tag (column) given the last one (row).
    startprob_ : ndarray of shape (n_tags,)
        Probabilities of the first tag of a sentence.
    hmm_ : HiddenMarkovEM
        The fitted model of the codes of the words.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    {lower_bound_}
    {lower_bounds_}
    {history_}

    See Also
    --------
    HiddenMarkovEM : The model, for any sequences.

    Notes
    -----
    A word of a class that no rare word has, such as the first number, says nothing of its tag: the
    tags around it decide.

    Without any tags, what EM finds are classes of words that occur in the same places, in any
    order. They are parts of speech as far as these explain the words best. Tags of some sentences
    name them. Many untagged sentences can outweigh the tagged ones, and the tags then become worse
    (Merialdo 1994); weights of 0.03 to 0.1 for untagged sentences help (`sample_weight`).

    References
    ----------
    J. Kupiec (1992). "Robust part-of-speech tagging using a hidden Markov model". Computer Speech
    and Language 6(3), 225-242.

    B. Merialdo (1994). "Tagging English text with a probabilistic model". Computational
    Linguistics 20(2), 155-171.

    T. Brants (2000). "TnT: a statistical part-of-speech tagger". Proceedings of ANLP 2000, 224-231.

    Examples
    --------
    >>> from emlearn.text import PartOfSpeechTaggerEM
    >>> sentences = [["the", "dog", "sleeps"], ["a", "cat", "sees", "the", "dog"], ["it", "sleeps"]]
    >>> tags = [["DET", "NOUN", "VERB"], ["DET", "NOUN", "VERB", None, None], None]
    >>> tagger = PartOfSpeechTaggerEM(min_count=1, random_state=0).fit(sentences, tags)
    >>> tagger.predict([["the", "cat", "sleeps"]])
    [['DET', 'NOUN', 'VERB']]
    """

    _doc_link_module = EMEstimator._doc_link_module
    _doc_link_template = EMEstimator._doc_link_template
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_tags": [_FROM_ONE, None],
        "min_count": [_FROM_ONE],
        "suffix_length": [Interval(Integral, 0, None, closed="left")],
        "min_suffix_count": [_FROM_ONE],
        "alpha": [_NOT_NEGATIVE],
        "transition_alpha": [_NOT_NEGATIVE],
        "tol": [_NOT_NEGATIVE, StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [_FROM_ONE],
        "accelerate": [StrOptions(set(ACCELERATORS)), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "verbose_interval": [_FROM_ONE],
        "n_jobs": [_FROM_ONE, Interval(Integral, None, -1, closed="right"), None],
    }

    def __init__(
        self,
        n_tags: int | None = None,
        *,
        min_count: int = 2,
        suffix_length: int = 3,
        min_suffix_count: int = 5,
        alpha: float = 0.01,
        transition_alpha: float = 0.1,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_tags = n_tags
        self.min_count = min_count
        self.suffix_length = suffix_length
        self.min_suffix_count = min_suffix_count
        self.alpha = alpha
        self.transition_alpha = transition_alpha
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        """Tags: the data are lists of words, not a table."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the probabilities of words and of tags.

        Parameters
        ----------
        X : list of list of str
            Sentences, as lists of words. Empty ones have no effect.
        y : list of list of str, default=None
            Tags of the words of each sentence. None stands for a tag that is not known, or for all
            tags of a sentence. Without `y` no tag is known.
        sample_weight : array-like of shape (n_sentences,), default=None
            Weights of the sentences, >= 0. A weight w has the same effect as w copies of the
            sentence. None means 1 each.

        Returns
        -------
        self : object
            The fitted tagger.

        Raises
        ------
        ValueError, TypeError
            If a hyperparameter, a sentence, its tags or the weights are invalid; if there are no
            words; or if no tags are known and `n_tags` is None. The message names the sentence.
        """
        validate_params(self)
        sentences = read_sentences(X)
        tags = read_tags(y, sentences)
        weight = read_weight(sample_weight, len(sentences), "sentence")
        kept = [
            number
            for number, sentence in enumerate(sentences)
            if sentence and (weight is None or weight[number] > 0.0)
        ]
        if not kept:
            raise ValueError("X has no words: there are no sentences, or all are empty.")
        words = list(chain.from_iterable(sentences[number] for number in kept))
        known = list(chain.from_iterable(tags[number] for number in kept))
        names = sorted({tag for tag in known if tag is not None})
        n_tags = self._count_tags(names)
        codes = {tag: code for code, tag in enumerate(names)}
        counted = words
        if names:
            counted = [word for word, tag in zip(words, known, strict=True) if tag is not None]
        self.symbols_ = WordSymbols(
            words, counted, self.min_count, self.suffix_length, self.min_suffix_count
        )
        states = np.array([-1 if tag is None else codes[tag] for tag in known])
        self.hmm_ = HiddenMarkovEM(
            n_tags,
            family=Categorical(alpha=float(self.alpha), n_levels=len(self.symbols_)),
            startprob_alpha=float(self.transition_alpha),
            transmat_alpha=float(self.transition_alpha),
            use_labels=bool(names),
            tol=self.tol,
            max_iter=self.max_iter,
            n_init=self.n_init,
            accelerate=self.accelerate,
            random_state=self.random_state,
            verbose=self.verbose,
            verbose_interval=self.verbose_interval,
            n_jobs=self.n_jobs,
        )
        with warnings.catch_warnings():
            # Light weights are what untagged sentences should have.
            warnings.filterwarnings("ignore", "The weights of", UserWarning)
            self.hmm_.fit(
                self.symbols_.encode(words)[:, None],
                states if names else None,
                [len(sentences[number]) for number in kept],
                None if weight is None else weight[kept],
            )
        self._publish(names)
        return self

    def _count_tags(self, names: list[str]) -> int:
        """Number of states."""
        if self.n_tags is None:
            if not names:
                raise ValueError("No tags are known, so n_tags must be their number.")
            return len(names)
        if self.n_tags < len(names):
            raise ValueError(
                f"n_tags={self.n_tags}, but {len(names)} different tags occur in y: "
                f"{', '.join(names[:20])}."
            )
        return int(self.n_tags)

    def _publish(self, names: list[str]) -> None:
        n_tags = len(self.hmm_.startprob_)
        self.tags_: NDArray[Any] = np.empty(n_tags, object)
        self.tags_[:] = [*names, *(f"tag{k}" for k in range(n_tags - len(names)))]
        self.words_ = self.symbols_.names()
        self.emission_ = self.hmm_.component_params_["probability"][:, 0]
        self.transmat_, self.startprob_ = self.hmm_.transmat_, self.hmm_.startprob_
        for name in _OF_FIT:
            setattr(self, name, getattr(self.hmm_, name))

    # ---- sentences after a fit --------------------------------------------------------------

    def predict(self, X: Any) -> list[list[str]]:
        """The most probable tags of each sentence.

        Parameters
        ----------
        X : list of list of str
            Sentences.

        Returns
        -------
        tags : list of list of str
            Tags of the words of each sentence, those of the most probable path; empty for an empty
            sentence.

        Raises
        ------
        ValueError, TypeError
            If a sentence is invalid. The message names it.
        """
        sentences, codes, lengths = self._encode(X)
        if not len(codes):
            return [[] for _ in sentences]
        states = iter(self.tags_[self.hmm_.predict(codes, lengths)].tolist())
        return [[next(states) for _ in sentence] for sentence in sentences]

    def predict_proba(self, X: Any) -> list[Array]:
        """Probabilities of the tags of each word, given its sentence.

        Parameters
        ----------
        X : list of list of str
            Sentences.

        Returns
        -------
        probabilities : list of ndarray of shape (n_words, n_tags)
            In the order of `tags_`.

        Raises
        ------
        ValueError, TypeError
            If a sentence is invalid. The message names it.
        """
        sentences, codes, lengths = self._encode(X)
        found = np.zeros((0, len(self.tags_)))
        if len(codes):
            found = self.hmm_.predict_proba(codes, lengths)
        ends = np.cumsum([len(sentence) for sentence in sentences], dtype=np.int64)
        return np.split(found, ends[:-1]) if sentences else []

    def score_samples(self, X: Any) -> Array:
        """Log-likelihood of each sentence, with classes in place of rare words.

        Parameters
        ----------
        X : list of list of str
            Sentences.

        Returns
        -------
        log_likelihood : ndarray of shape (n_sentences,)
            In nats; 0 for an empty sentence.

        Raises
        ------
        ValueError, TypeError
            If a sentence is invalid. The message names it.
        """
        sentences, codes, lengths = self._encode(X)
        found = np.zeros(len(sentences))
        if len(codes):
            filled = [number for number, sentence in enumerate(sentences) if sentence]
            found[filled] = self.hmm_.score_samples(codes, lengths)
        return found

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Part of the words whose tag is found, among those with a known tag.

        Parameters
        ----------
        X : list of list of str
            Sentences.
        y : list of list of str
            Their tags; None where not known.
        sample_weight : array-like of shape (n_sentences,), default=None
            Weights of the sentences.

        Returns
        -------
        accuracy : float
            Between 0 and 1.

        Raises
        ------
        ValueError, TypeError
            If sentences, tags or weights are invalid, or no tag is known.
        """
        found = self.predict(X)
        sentences = read_sentences(X)
        tags = read_tags(y, sentences)
        weight = read_weight(sample_weight, len(found), "sentence")
        weights = np.ones(len(found)) if weight is None else weight
        right = total = 0.0
        for own, true, w in zip(found, tags, weights.tolist(), strict=True):
            known = [(a, b) for a, b in zip(own, true, strict=True) if b is not None]
            right += w * sum(a == b for a, b in known)
            total += w * len(known)
        if not total:
            raise ValueError("y has no known tags to compare with.")
        return right / total

    def _encode(self, X: Any) -> tuple[list[list[str]], Array, list[int]]:
        """Sentences, codes of all words, and the lengths of those that are not empty."""
        check_is_fitted(self)
        sentences = read_sentences(X)
        codes = self.symbols_.encode(list(chain.from_iterable(sentences)))
        return sentences, codes[:, None], [len(sentence) for sentence in sentences if sentence]


complete_docstring(PartOfSpeechTaggerEM)
