"""WordAlignmentEM: which words of a sentence translate which words of another."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import read_weight
from emlearn.engine import EMEstimator, GainBelow, run_em
from emlearn.engine.blocks import Threads
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.text._alignment_aligned import AlignedSentences
from emlearn.text._alignment_hmm import JumpAlignment
from emlearn.text._alignment_jumps import JumpLaw
from emlearn.text._alignment_model import Alignment, PositionAlignment
from emlearn.text._alignment_positions import (
    DiagonalPositions,
    EqualPositions,
    FreePositions,
    PositionLaw,
    Shapes,
)
from emlearn.text._alignment_reading import Bitext, Sentences, Vocabulary
from emlearn.text._alignment_translation import Lexicon, carried_translation

Array = NDArray[np.float64]

# Probability, beside that of the last fit, of pairs of words that are new to it.
_NEW = 1e-3


class WordAlignmentEM(AlignedSentences, EMEstimator):
    """Word alignment: which source word each target word translates, from pairs of sentences.

    The data are pairs of sentences that are translations of each other, without links between their
    words. Each target word is the translation of one source word of its pair, or of the null word,
    if it has no counterpart. Which one is hidden. EM estimates t(f|e), the probability of the
    target word f as the translation of the source word e, and a law of the positions.

    Parameters
    ----------
    model : {"ibm1", "ibm2", "hmm"}, default="ibm1"
        Law of the positions. "ibm1": all are equally probable. The objective has a single
        maximum (there can be several translations with the same). "ibm2": the position depends
        on that of the target word, see `alignment`. "hmm": it depends on that of the last link,
        by the width of the jump.
    null : bool, default=True
        Whether there is the null word, of which words without a counterpart are translations.
    alignment : {"position", "diagonal"}, default="position"
        Of "ibm2": "position" has a probability for each position, given that of the target word
        and the lengths of both sentences. "diagonal" lets it fall with the distance from the
        diagonal, with one parameter, the tension: that is the model of fast_align.
    tension : float, default=None
        Tension of the diagonal. None estimates it.
    null_probability : float, default=None
        Probability that a target word has no counterpart, of "hmm" and the diagonal; in [0, 1).
        None estimates it. For the other models it follows from the positions.
    max_jump : int, default=10
        Of "hmm": wider jumps share a probability, on each side.
    alpha : float, default=0.0
        Pseudo-count of each target word as the translation of each source word: the prior of t is
        Dirichlet(1 + alpha) on the target vocabulary and one more word, which stands for all
        words never seen. 0 is maximum likelihood; pairs of words that do not occur together
        are then impossible. Small values such as 0.01 give all sentences a likelihood.
    alignment_alpha : float, default=0.0
        Pseudo-count of each position ("ibm2") or width of a jump ("hmm").
    start_iter : int, default=5
        Iterations of model 1 from which "ibm2" and "hmm" start.
    tol : float or "auto", default=1e-2
        When to stop: in nats of the objective that are left to gain per target word. As there are
        as many parameters as pairs of words, "auto", as for other estimators, takes very long,
        and translations of rare words become worse by then.
    {max_iter}
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default=None
        How to take longer steps than EM; None is plain EM, which is what the literature counts
        in iterations.
    {warm_start}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    translation_ : csr_array of shape (n_source_words, n_target_words)
        t(f|e): rows are source words, and sum to 1 without `alpha`.
    unseen_translation_ : ndarray of shape (n_source_words,)
        Probability of each target word that never occurs with the source word: 0 without `alpha`.
    source_vocabulary_ : ndarray of shape (n_source_words,) of object
        Source words, sorted. With `null` the first one is the null word, None.
    target_vocabulary_ : ndarray of shape (n_target_words,) of object
        Target words, sorted.
    tension_ : float
        Tension of the diagonal. Only with ``alignment="diagonal"``.
    null_probability_ : float
        Probability of no counterpart. Only for "hmm" and the diagonal.
    jump_probabilities_ : ndarray of shape (2 * max_jump + 1,)
        Probabilities of the widths from -max_jump to max_jump, before those that leave the sentence
        are ruled out. Only for "hmm".
    {converged_}
    {n_iter_}
    {log_likelihood_}
    lower_bound_ : float
        Objective at the end of EM, per target word.
    lower_bounds_ : list of float
        The same after each iteration.
    {history_}
    {restarts_}

    See Also
    --------
    symmetrize : Joins the links of both directions.
    alignment_error_rate : Compares links with those that people made.
    parallel_corpus : Makes pairs of two lists of sentences.

    Notes
    -----
    The source is what is translated from: t(target word | source word). In NLTK it is ``mots`` of
    an ``AlignedSent``, and the target ``words``.

    The likelihood is that of the target sentence given the source sentence and its own length.

    A pair without target words has no effect, and no links. Without source words all target words
    are translations of the null word. Words that are not in the vocabulary: a target word has the
    probability of words never seen, and a source word translates to all words equally. Without
    `alpha`, a target word that no word of its source sentence translates to has no link, and the
    log-likelihood of its pair is -inf.

    The memory is 4 bytes for each link, that is pair of positions, besides the table.

    References
    ----------
    P. F. Brown, S. A. Della Pietra, V. J. Della Pietra and R. L. Mercer (1993). "The mathematics
    of statistical machine translation: parameter estimation". Computational Linguistics 19(2),
    263-311.

    S. Vogel, H. Ney and C. Tillmann (1996). "HMM-based word alignment in statistical
    translation". Proceedings of COLING 1996, 836-841.

    F. J. Och and H. Ney (2003). "A systematic comparison of various statistical alignment models".
    Computational Linguistics 29(1), 19-51.

    C. Dyer, V. Chahuneau and N. A. Smith (2013). "A simple, fast, and effective reparameterization
    of IBM model 2". Proceedings of NAACL-HLT 2013, 644-648.

    Examples
    --------
    >>> from emlearn.text import WordAlignmentEM, parallel_corpus
    >>> pairs = parallel_corpus(
    ...     ["the house", "the book", "a book", "a house is big"],
    ...     ["das Haus", "das Buch", "ein Buch", "ein Haus ist groß"],
    ... )
    >>> model = WordAlignmentEM(tol=1e-6).fit(pairs)
    >>> round(model.translation_probability("Buch", "book"), 3)
    1.0
    >>> model.predict([(["the", "book"], ["das", "Buch"])])
    [array([[0, 0],
           [1, 1]])]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": [StrOptions({"ibm1", "ibm2", "hmm"})],
        "null": ["boolean"],
        "alignment": [StrOptions({"position", "diagonal"})],
        "tension": [Interval(Real, 0.0, None, closed="left"), None],
        "null_probability": [Interval(Real, 0.0, 1.0, closed="left"), None],
        "max_jump": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0.0, None, closed="left")],
        "alignment_alpha": [Interval(Real, 0.0, None, closed="left")],
        "start_iter": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        model: str = "ibm1",
        *,
        null: bool = True,
        alignment: str = "position",
        tension: float | None = None,
        null_probability: float | None = None,
        max_jump: int = 10,
        alpha: float = 0.0,
        alignment_alpha: float = 0.0,
        start_iter: int = 5,
        tol: float | str = 1e-2,
        max_iter: int = 1000,
        accelerate: str | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.model = model
        self.null = null
        self.alignment = alignment
        self.tension = tension
        self.null_probability = null_probability
        self.max_jump = max_jump
        self.alpha = alpha
        self.alignment_alpha = alignment_alpha
        self.start_iter = start_iter
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def __sklearn_tags__(self) -> Any:
        """Tags: the data are pairs of lists of words, not a table."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the translations of words, and the law of the positions.

        Parameters
        ----------
        X : list of (list of str, list of str)
            Pairs (source tokens, target tokens), in any sequence, or a DataFrame with two columns.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of the pairs, >= 0. A weight w has the same effect as w copies of the pair.
            None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a hyperparameter, a pair or the weights are invalid, there are no target words, or,
            without `null`, a source sentence is empty. The message names the pair.
        """
        validate_params(self)
        sentences = Sentences(X)
        weight = read_weight(sample_weight, len(sentences), "pair")
        kept = np.arange(len(sentences)) if weight is None else np.flatnonzero(weight > 0.0)
        if len(kept) < len(sentences):
            sentences, weight = sentences.take(kept), weight[kept]  # type: ignore[index]  # not None
        source, target, bitext = sentences.learn(self.null)
        _check_words(bitext, kept)
        last = self._last_fit()
        lexicon, entries = Lexicon.of(bitext, len(source), len(target), float(self.alpha))
        model = self._model(lexicon, bitext)
        with blas_limited():
            start = self._start(model, bitext, weight, entries)
            data = _prepare(model, bitext, weight, entries)
            if last is not None:
                start = self._carried(last, model, start, (source, target))
        self._source, self._target = source, target
        fit = self._run_em(model, data, start=start, advice="Set alpha above 0.")
        self._lexicon, self._params = lexicon, fit.params
        self._fitted, self._matrix = model, None
        self._publish_law(model, fit.params)
        return self._report(fit)

    # ---- the model ------------------------------------------------------------------------

    def _model(self, lexicon: Lexicon, bitext: Bitext) -> PositionAlignment | JumpAlignment:
        accelerated = self.accelerate is not None
        if self.model == "hmm":
            return JumpAlignment(lexicon, self._jump_law(bitext), accelerated)
        law = self._position_law()
        return PositionAlignment(lexicon, law, Shapes.of(bitext, law.shared), accelerated)

    def _jump_law(self, bitext: Bitext) -> JumpLaw:
        return JumpLaw(
            tuple(np.unique(bitext.source_lengths - bitext.null).tolist()),
            bool(self.null),
            int(self.max_jump),
            self.null_probability,
            float(self.alignment_alpha),
        )

    def _position_law(self) -> PositionLaw:
        if self.model == "ibm1":
            return EqualPositions()
        if self.alignment == "diagonal":
            return DiagonalPositions(self.tension, self.null_probability)
        return FreePositions(float(self.alignment_alpha))

    def _start(
        self,
        model: PositionAlignment | JumpAlignment,
        bitext: Bitext,
        weight: Array | None,
        entries: NDArray[np.int32],
    ) -> Alignment:
        """Equal probabilities, or translations of model 1."""
        start = _first(model)
        if self.model == "ibm1" or not self.start_iter:
            return start
        simple = PositionAlignment(model.lexicon, EqualPositions(), Shapes.of(bitext, True), False)
        result = run_em(
            simple,
            simple.prepare(bitext, weight, entries),
            _first(simple),
            convergence=GainBelow(0.0),
            max_iter=int(self.start_iter),
            mapper=Threads(available_threads()),
            measure_steps=False,
        )
        if result.params is None:
            raise ValueError(f"WordAlignmentEM cannot be fitted: {result.message}.")
        return Alignment(result.params.translation, start.law)

    def _last_fit(self) -> tuple[Vocabulary, Vocabulary, Any, Alignment] | None:
        if not self._resumes():
            return None
        return self._source, self._target, self._fitted, self._params

    def _carried(
        self,
        last: tuple[Vocabulary, Vocabulary, Any, Alignment],
        model: PositionAlignment | JumpAlignment,
        start: Alignment,
        words: tuple[Vocabulary, Vocabulary],
    ) -> Alignment:
        """The parameters of the last fit where it has them."""
        source, target, fitted, params = last
        lexicon = model.lexicon
        translation = carried_translation(
            fitted.lexicon, params.translation, (source, target), lexicon, words, _NEW
        )
        law = start.law
        if isinstance(model, JumpAlignment):
            same = isinstance(fitted, JumpAlignment) and len(params.law) == len(law)
            law = params.law if same else law
        elif isinstance(fitted, PositionAlignment) and type(fitted.law) is type(model.law):
            law = model.law.carried(params.law, fitted.shapes, model.shapes)
        return Alignment(translation, law)

    def _publish_law(self, model: PositionAlignment | JumpAlignment, params: Alignment) -> None:
        for name in ("tension_", "null_probability_", "jump_probabilities_"):
            if hasattr(self, name):
                delattr(self, name)
        public = model.law.public(params.law)
        if "tension" in public:
            self.tension_ = float(public["tension"][0])
        if "null_probability" in public:
            self.null_probability_ = float(public["null_probability"][0])
        if "jumps" in public:
            self.jump_probabilities_ = public["jumps"]


def _first(model: PositionAlignment | JumpAlignment) -> Alignment:
    """Equal probabilities of all translations."""
    if isinstance(model, JumpAlignment):
        return Alignment(model.lexicon.uniform(), model.law.start())
    return Alignment(model.lexicon.uniform(), model.law.start(model.shapes))


def _prepare(
    model: PositionAlignment | JumpAlignment,
    bitext: Bitext,
    weight: Array | None,
    entries: NDArray[np.int32],
) -> Any:
    """What the E-step reads."""
    if isinstance(model, JumpAlignment):
        return model.prepare(bitext, weight)
    return model.prepare(bitext, weight, entries)


def _check_words(bitext: Bitext, pairs: NDArray[np.intp]) -> None:
    """Whether there is something to fit.

    Raises
    ------
    ValueError
        If there are no target words, or a source sentence is empty but the target is not.
    """
    if not len(bitext):
        raise ValueError("X has no pairs of sentences.")
    if not len(bitext.target):
        raise ValueError("X has no target words: all target sentences are empty.")
    lost = np.flatnonzero((bitext.source_lengths == 0) & (bitext.target_lengths > 0))
    if lost.size:
        raise ValueError(
            f"The source sentence of X[{pairs[lost[0]]}] is empty, but the target sentence is not. "
            "Leave the pair out, or set null=True."
        )
