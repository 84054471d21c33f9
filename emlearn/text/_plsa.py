"""PLSA: probabilistic latent semantic analysis."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import read_weight
from emlearn.engine import EMEstimator, EMResult, run_em
from emlearn.engine.blocks import Threads
from emlearn.engine.threads import available_threads
from emlearn.text._plsa_documents import TopicsOfDocuments
from emlearn.text._plsa_folding import log_likelihoods
from emlearn.text._plsa_model import Corpus, TopicModel, Topics
from emlearn.text._plsa_reading import documents_at, read_components, read_documents
from emlearn.text._plsa_tempering import temper

Array = NDArray[np.float64]


class PLSA(TopicsOfDocuments, EMEstimator):
    """Probabilistic latent semantic analysis: topics of documents, from counts of words.

    Each word of document d has a topic z with probability P(z|d), and is word w of the vocabulary
    with probability P(w|z). Both are estimated by EM from a table of counts, documents x words, as
    `sklearn.feature_extraction.text.CountVectorizer` makes it. It is read as it is if it is
    sparse, and nothing of the size of its entries times topics is made.

    Parameters
    ----------
    n_components : int, default=10
        Number of topics. More topics than documents or words are allowed, but then a topic can
        be one document.
    temperature : float or "held-out", default=1.0
        Temperature T >= 1 of tempered EM: the E-step takes probabilities to the power 1/T, so
        that topics of a word are less certain, against overfitting. 1 is EM. "held-out" holds
        out a tenth of the words, at random, and raises the temperature by factors of 1/0.9 as
        long as that predicts them better; the fit to all words then goes on from there.
    document_alpha : float, default=0.0
        Pseudo-count of each topic in each document: the prior of P(z|d) is
        Dirichlet(1 + document_alpha). 0 is maximum likelihood.
    word_alpha : float, default=0.01
        Pseudo-count of each word in each topic: the prior of P(w|z) is
        Dirichlet(1 + word_alpha). The default is close to maximum likelihood, but no topic rules
        out a word, so that new documents with any word have a likelihood. 0 is maximum
        likelihood.
    components_init : array-like of shape (n_components, n_features), default=None
        P(w|z) to start from, not negative; rows are divided by their sums. Words that are 0 in
        a topic remain so without `word_alpha`. None: the mean document times random numbers.
    tol : float or "auto", default=1e-5
        When to stop: in nats of the objective that are left to gain per word of the documents, so
        that 1e-5 is one in 100000 of the perplexity. As there are parameters for each document,
        "auto", as for other estimators, takes very long here.
    {max_iter}
    {n_init}
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default=None
        How to take longer steps than EM; None is plain EM. "squarem" saves most of the steps
        where no probability goes to 0: with `document_alpha`, or a temperature above 1. Without,
        it takes more, as the guide shows.
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}
    {n_jobs}

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        P(w|z). Rows sum to 1.
    document_topics_ : ndarray of shape (n_samples, n_components)
        P(z|d) of the documents of the fit, the same as `transform` finds.
    topic_weights_ : ndarray of shape (n_components,)
        P(z), the part of all words that comes from each topic.
    temperature_ : float
        Temperature of the fit.
    tempering_ : dict of str to ndarray
        With ``temperature="held-out"``: "temperature" and "perplexity", those that were tried and
        how well they predict the words held out. Otherwise empty.
    {converged_}
    {n_iter_}
    log_likelihood_ : float
        Log-likelihood of the words, weighted, at the published parameters, in nats.
    lower_bound_ : float
        Objective at the end of EM, per word.
    lower_bounds_ : list of float
        The same after each iteration.
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    FiniteMixtureEM : With ``family="multinomial"`` or ``"dirichlet_multinomial"``, one topic for
        each document.
    sklearn.decomposition.NMF : With ``beta_loss="kullback-leibler"`` the same factorization
        without a prior, up to the scale of the rows.

    Notes
    -----
    After EM, P(z|d) is maximized once more with the topics held, for each document, until it has
    at most 1e-5 nats to gain. So the documents of a fit are treated as new ones. The log-likelihood
    is that of the words one after another, without the multinomial coefficients.

    Fractional counts, such as weights by tf-idf, are allowed: an entry then counts as that part of
    a word. The objective is not a likelihood of these.

    A document without words, or with words only that no topic has, gets the same probability for
    all topics. A column without words gets the probability of the prior, 0 without one.

    There are many local maxima; use several starts.

    References
    ----------
    T. Hofmann (1999). "Probabilistic latent semantic analysis". Proceedings of the 15th Conference
    on Uncertainty in Artificial Intelligence, 289-296.

    T. Hofmann (2001). "Unsupervised learning by probabilistic latent semantic analysis". Machine
    Learning 42, 177-196.

    E. Gaussier and C. Goutte (2005). "Relation between PLSA and NMF and implications". Proceedings
    of the 28th ACM SIGIR Conference, 601-602.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from emlearn.text import PLSA
    >>> texts = ["ship sea sail", "sea sail wind ship", "law court judge", "judge law trial court"]
    >>> analysis = make_pipeline(CountVectorizer(), PLSA(2, random_state=0)).fit(texts)
    >>> topics = analysis.transform(["ship wind", "court trial", "law of the sea"]).round(2)
    >>> bool(topics[0].argmax() != topics[1].argmax())
    True
    >>> topics[2]
    array([0.5, 0.5])
    """

    _likelihood_of_published = True
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 1.0, None, closed="left"), StrOptions({"held-out"})],
        "document_alpha": [Interval(Real, 0.0, None, closed="left")],
        "word_alpha": [Interval(Real, 0.0, None, closed="left")],
        "components_init": ["array-like", None],
    }

    def __init__(
        self,
        n_components: int = 10,
        *,
        temperature: float | str = 1.0,
        document_alpha: float = 0.0,
        word_alpha: float = 0.01,
        components_init: ArrayLike | None = None,
        tol: float | str = 1e-5,
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.temperature = temperature
        self.document_alpha = document_alpha
        self.word_alpha = word_alpha
        self.components_init = components_init
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        """Tags: counts are not negative, and may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = False
        tags.transformer_tags.preserves_dtype = ["float64"]
        return tags

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate topics and their parts in the documents.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Counts of words, one row for each document.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the documents, >= 0. A weight w has the same effect as w copies of the
            document. None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the counts or the weights are invalid; if there are no words; or
            if a word is 0 in all topics of `components_init`. The message names row and column.
        """
        validate_params(self)
        counts = read_documents(self, X, reset=True)
        weight = read_weight(sample_weight, counts.shape[0])
        used = documents_at(counts, weight)
        if not used.nnz:
            raise ValueError("X has no words: all counts of documents of positive weight are 0.")
        temperature = 1.0 if isinstance(self.temperature, str) else float(self.temperature)
        lengths: Array = np.asarray(used.sum(axis=1), np.float64) * (
            1.0 if weight is None else weight
        )
        model = TopicModel(
            int(self.n_components),
            1.0 / temperature,
            float(self.document_alpha),
            float(self.word_alpha),
            lengths,
        )
        data = model.prepare(used, weight)
        start = self._start(model, data)
        self.tempering_: dict[str, Array] = {}
        if self.temperature == "held-out":
            rng = np.random.default_rng(self._seeds(1)[0])
            found = temper(model, used, weight, rng, self._run_short)
            model, start = found.model, self._reachable(found.params, data)
            self.tempering_ = {
                "temperature": found.temperatures,
                "perplexity": found.perplexities,
            }
        fit = self._run_em(model, data, start=start)
        self.temperature_ = 1.0 / model.beta
        self._publish(fit.params, counts, weight)
        return self._report(fit)

    def _start(self, model: TopicModel, data: Corpus) -> Topics | None:
        """The given start, or that of the last fit; None to begin anew."""
        n_words, k = len(data.word_counts), model.n_topics
        documents = np.full((data.n_documents, k), 1.0 / k)
        if self._resumes() and self.components_.shape == (k, n_words):
            if self.document_topics_.shape == documents.shape:
                documents = self.document_topics_
            return self._reachable(Topics(documents, self.components_.T.copy()), data)
        if self.components_init is None:
            return None
        words = read_components(self, self.components_init, data.word_counts)
        return Topics(documents, words)

    def _reachable(self, start: Topics, data: Corpus) -> Topics:
        """A start in which no topic rules a word out for good."""
        mean = data.word_counts / data.word_counts.sum()
        words = start.words + 1e-6 * mean[:, None]
        documents = start.documents + 1e-6 / start.documents.shape[1]
        return Topics(documents / documents.sum(axis=1, keepdims=True), words / words.sum(axis=0))

    def _run_short(self, model: TopicModel, data: Corpus, params: Topics) -> EMResult:
        """EM on the words that are not held out."""
        result = run_em(
            model,
            data,
            params,
            convergence=self._convergence(np.float64),
            max_iter=self.max_iter,
            accelerator=self._accelerator(model),
            mapper=Threads(available_threads()),
        )
        if result.params is None:
            raise ValueError(f"PLSA cannot be fitted: {result.message}.")
        return result

    def _publish(self, params: Topics, counts: csr_array, weight: Array | None) -> None:
        self.components_ = np.ascontiguousarray(params.words.T)
        theta = self._fold_in(counts)
        ones = np.ones(len(theta)) if weight is None else weight
        of_documents = ones * np.asarray(counts.sum(axis=1))
        self.document_topics_ = theta
        self.topic_weights_ = of_documents @ theta / of_documents.sum()
        kept = ones > 0.0
        values = log_likelihoods(counts, theta, self.components_.T)
        self.log_likelihood_ = float(values[kept] @ ones[kept])

    def fit_transform(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Array:
        """Fit, and return the topics of the documents.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Counts of words.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        document_topics : ndarray of shape (n_samples, n_components)
            P(z|d).
        """
        return self.fit(X, y, sample_weight).document_topics_
