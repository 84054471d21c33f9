"""The models of word alignment beside sums over all alignments, and their contract."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from emlearn.kernels import alignments as kernel
from emlearn.testing import check_latent_variable_model
from emlearn.text._alignment_hmm import JumpAlignment
from emlearn.text._alignment_jumps import JumpLaw
from emlearn.text._alignment_model import Alignment, PositionAlignment
from emlearn.text._alignment_positions import (
    DiagonalPositions,
    EqualPositions,
    FreePositions,
    Shapes,
)
from emlearn.text._alignment_reading import Sentences
from emlearn.text._alignment_translation import Lexicon, Translation

MODELS = ["ibm1", "ibm2", "diagonal", "held", "hmm", "narrow"]


def corpus(rng, n_pairs, n_words=5, longest=4):
    """Random pairs of short sentences; words repeat, also within a sentence."""
    pairs = []
    for _ in range(n_pairs):
        n, m = rng.integers(1, longest + 1, 2)
        source, target = rng.integers(0, n_words, n), rng.integers(0, n_words, m)
        pairs.append(([f"e{w}" for w in source], [f"f{w}" for w in target]))
    return pairs


def build(name, pairs, null=True, alpha=0.0):
    """A model of the pairs, and their codes."""
    source, target, bitext = Sentences(pairs).learn(null)
    lexicon, _ = Lexicon.of(bitext, len(source), len(target), alpha)
    if name in ("hmm", "narrow"):
        lengths = tuple(np.unique(bitext.source_lengths - null).tolist())
        width = 2 if name == "narrow" else 10
        return JumpAlignment(lexicon, JumpLaw(lengths, null, width, None, alpha)), bitext
    law = {
        "ibm1": EqualPositions(),
        "ibm2": FreePositions(alpha),
        "diagonal": DiagonalPositions(),
        "held": DiagonalPositions(2.5, 0.15),
    }[name]
    return PositionAlignment(lexicon, law, Shapes.of(bitext, law.shared)), bitext


def random_params(model, rng):
    """Parameters far from a start."""
    lexicon = model.lexicon
    entries = rng.random(len(lexicon.targets)) + 0.05
    rest = rng.random(lexicon.n_source) * 0.1 if lexicon.alpha else np.zeros(lexicon.n_source)
    total = lexicon.row_sums(entries) + rest * lexicon.n_other
    translation = Translation(entries / np.repeat(total, np.diff(lexicon.starts)), rest / total)
    if isinstance(model, JumpAlignment):
        jumps = rng.random(model.law.n_widths) + 0.05
        null = 0.3 if model.law.null else 0.0
        return Alignment(translation, np.append(null, jumps / jumps.sum()))
    if isinstance(model.law, FreePositions):
        cells = rng.random(model.shapes.n_cells) + 0.05
        return Alignment(translation, cells / model.shapes.row_sums(cells)[model.shapes.rows])
    if isinstance(model.law, DiagonalPositions):
        law = np.array([rng.uniform(0.5, 6.0), 0.3 if model.shapes.null else 0.0])
        return Alignment(
            translation, law if model.law.tension is None else model.law.start(model.shapes)
        )
    return Alignment(translation, np.zeros(0))


def table_of(model, params):
    """t(f|e) as a dense matrix."""
    lexicon = model.lexicon
    table = np.repeat(params.translation.rest[:, None], lexicon.n_target, axis=1)
    rows = np.repeat(np.arange(lexicon.n_source), np.diff(lexicon.starts))
    table[rows, lexicon.targets] = params.translation.entries
    return table


def chance_of(model, params, path, n, m, null):
    """Probability of an alignment, written from its definition; 0 is the null word if there is."""
    length = n - null
    if isinstance(model, JumpAlignment):
        p0, jumps, last, chance = params.law[0], params.law[1:], 0, 1.0
        width = model.law.max_jump

        def weight(step):
            return jumps[min(max(step, -width), width) + width]

        for link in path:
            if null and link == 0:
                chance *= p0
                continue
            place = link + 1 - null
            total = sum(weight(other - last) for other in range(1, length + 1))
            chance *= (1.0 - p0) * weight(place - last) / total
            last = place
        return chance
    chance = 1.0
    for j, link in enumerate(path):
        if isinstance(model.law, EqualPositions):
            chance /= n
        elif isinstance(model.law, FreePositions):
            shape = next(
                k
                for k, (a, b) in enumerate(
                    zip(model.shapes.n_source, model.shapes.n_target, strict=True)
                )
                if (a, b) == (n, m)
            )
            cells = params.law[model.shapes.starts[shape] : model.shapes.starts[shape + 1]]
            chance *= cells.reshape(n, m)[link, j]
        else:
            tension, p0 = params.law
            weights = [
                np.exp(-tension * abs(i / length - (j + 1) / m)) for i in range(1, length + 1)
            ]
            if null and link == 0:
                chance *= p0
            else:
                chance *= (1.0 - p0) * weights[link - null] / sum(weights)
    return chance


def enumerate_all(model, params, bitext):
    """Log-likelihood, expected numbers of pairs of words, links and best paths, by enumeration."""
    table, value = table_of(model, params), 0.0
    counts, posteriors, bests = np.zeros_like(table), [], []
    for p in range(len(bitext)):
        source = bitext.source[bitext.source_starts[p] : bitext.source_starts[p + 1]]
        target = bitext.target[bitext.target_starts[p] : bitext.target_starts[p + 1]]
        n, m = len(source), len(target)
        total, links, best = 0.0, np.zeros((n, m)), (0.0, None)
        for path in product(range(n), repeat=m):
            chance = chance_of(model, params, path, n, m, int(bitext.null))
            for j, i in enumerate(path):
                chance *= table[source[i], target[j]]
            total += chance
            links[list(path), np.arange(m)] += chance
            best = max(best, (chance, path), key=lambda pair: pair[0])
        value += np.log(total)
        links /= total
        posteriors.append(links)
        bests.append(best[1])
        np.add.at(counts, (np.repeat(source, m), np.tile(target, n)), links.ravel())
    return value, counts, posteriors, bests


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_an_e_step_is_the_sum_over_all_alignments(monkeypatch, name, null, compiled):
    if not compiled:
        monkeypatch.setattr(kernel, "compiled", None)
    rng = np.random.default_rng(3)
    model, bitext = build(name, corpus(rng, 12), null, alpha=0.2)
    params = random_params(model, rng)
    value, counts, posteriors, bests = enumerate_all(model, params, bitext)
    data = model.prepare(bitext)
    (block,) = model.blocks(data)
    statistics, found = model.e_step(block, model.precompute(params))
    np.testing.assert_allclose(found, value, rtol=1e-12)
    own = statistics.translation[: len(model.lexicon.targets)]
    rows = np.repeat(np.arange(model.lexicon.n_source), np.diff(model.lexicon.starts))
    np.testing.assert_allclose(own, counts[rows, model.lexicon.targets], atol=1e-12)
    np.testing.assert_allclose(own.sum(), len(bitext.target))
    np.testing.assert_allclose(model.log_likelihoods_of(bitext, params).sum(), value)
    flat = model.posteriors(bitext, params)
    np.testing.assert_allclose(flat, np.concatenate([p.ravel() for p in posteriors]), atol=1e-12)
    if isinstance(model, JumpAlignment):
        # Paths, not single links.
        np.testing.assert_array_equal(
            model.best_sources(bitext, params), np.concatenate([list(b) for b in bests])
        )
    else:
        best = np.concatenate([p.max(axis=0) for p in posteriors])
        chosen = model.best_sources(bitext, params)
        position = np.concatenate([np.arange(p.shape[1]) for p in posteriors])
        pair = np.repeat(np.arange(len(bitext)), bitext.target_lengths)
        taken = [posteriors[p][i, j] for p, i, j in zip(pair, chosen, position, strict=True)]
        np.testing.assert_allclose(taken, best, rtol=1e-12)


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("name", ["ibm2", "diagonal", "hmm", "narrow"])
def test_m_steps_of_the_law_lead_to_its_maximum(name, null):
    rng = np.random.default_rng(5)
    # With a prior no probability goes to 0.
    model, bitext = build(name, corpus(rng, 12), null, alpha=0.2)
    params = random_params(model, rng)
    block = model.prepare(bitext).blocks[0]
    shapes = () if isinstance(model, JumpAlignment) else (model.shapes,)

    def evaluate(law):
        point = Alignment(params.translation, law)
        statistics, value = model.e_step(block, model.precompute(point))
        after = model.m_step(statistics, point).law
        return value + model.law.log_prior(law, *shapes), after

    law = params.law
    value, after = evaluate(law)
    for _ in range(500):  # only the law moves, translations are held
        law, before = after, value
        value, after = evaluate(law)
        assert value >= before - 1e-9
    vector = model.law.to_vector(law)
    for k in range(len(vector)):
        slopes = []
        for step in (1e-4, -1e-4):
            moved = vector.copy()
            moved[k] += step
            slopes.append(evaluate(model.law.from_vector(moved, *shapes))[0])
        assert max(slopes) <= value + 1e-8, (k, law)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_contract(name, null, alpha):
    rng = np.random.default_rng(8)
    pairs = corpus(rng, 60, n_words=6)
    model, bitext = build(name, pairs, null, alpha)

    class Start(type(model)):
        def initialize(self, data, rng=None):
            start = super().initialize(data)
            entries = start.translation.entries * (0.5 + rng.random(len(self.lexicon.targets)))
            return self.m_step(
                super().e_step(data.blocks[0], self.precompute(start))[0],
                start._replace(translation=start.translation._replace(entries=entries)),
            )

    fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
    check_latent_variable_model(
        Start(**fields),
        bitext,
        take=lambda X, index: X.take(index),
        score=lambda m, params, X, w: float(
            m.log_likelihoods_of(X, params) @ (np.ones(len(X)) if w is None else w)
        ),
    )


@pytest.mark.parametrize("name", ["ibm1", "ibm2", "hmm"])
def test_blocks_add_up(monkeypatch, name):
    from emlearn.text import _alignment_hmm, _alignment_model

    rng = np.random.default_rng(2)
    bitext_of = corpus(rng, 80, 4, 6)
    model, bitext = build(name, bitext_of)
    weight = rng.random(80)
    weight[7] = 0.0
    params = random_params(model, rng)
    one = model.prepare(bitext, weight)
    monkeypatch.setattr(_alignment_model, "_WORTH", 10.0)
    monkeypatch.setattr(_alignment_model, "_LINKS_PER_ENTRY", 0.1)
    monkeypatch.setattr(_alignment_hmm, "_WORTH", 10.0)
    monkeypatch.setattr(_alignment_hmm, "_MOST_PAIRS", 40.0)
    many = model.prepare(bitext, weight)
    assert len(one.blocks) == 1
    assert len(many.blocks) > 3
    working = model.precompute(params)
    single = model.e_step(one.blocks[0], working)
    parts = [model.e_step(block, working) for block in many.blocks]
    np.testing.assert_allclose(sum(value for _, value in parts), single[1])
    for k, whole in enumerate(single[0]):
        np.testing.assert_allclose(sum(part[k] for part, _ in parts), whole, atol=1e-10)


def test_a_lexicon_for_other_pairs_gives_the_rest():
    rng = np.random.default_rng(4)
    model, _ = build("ibm1", corpus(rng, 6), alpha=0.5)
    params = random_params(model, rng)
    source, target, _ = Sentences(corpus(rng, 6)).learn(True)
    unknown = [(["e0", "new"], ["f0", "other"])]
    bitext = Sentences(unknown).encode(source, target, True)
    shapes = Shapes.of(bitext, True)
    values = np.exp(replace(model, shapes=shapes).log_likelihoods_of(bitext, params))
    assert 0.0 < values[0] < 1.0


def test_the_rest_is_the_probability_of_each_other_word():
    rng = np.random.default_rng(6)
    model, _ = build("ibm1", corpus(rng, 8), alpha=0.5)
    params = random_params(model, rng).translation
    table = table_of(model, Alignment(params, np.zeros(0)))
    # The one more word stands for all that were never seen.
    np.testing.assert_allclose(table.sum(axis=1) + params.rest, 1.0)


def test_the_prior_is_that_of_the_whole_vocabulary():
    """The M-step with a prior is that of the dense table."""
    rng = np.random.default_rng(6)
    model, bitext = build("ibm1", corpus(rng, 8), alpha=0.5)
    params = random_params(model, rng)
    statistics, _ = model.e_step(model.prepare(bitext).blocks[0], model.precompute(params))
    lexicon = model.lexicon
    counts = np.zeros((lexicon.n_source, lexicon.n_target + 1))
    rows = np.repeat(np.arange(lexicon.n_source), np.diff(lexicon.starts))
    counts[rows, lexicon.targets] = statistics.translation[: len(rows)]
    counts += 0.5
    expected = counts / counts.sum(axis=1, keepdims=True)
    after = model.m_step(statistics, params)
    np.testing.assert_allclose(table_of(model, after), expected[:, :-1])
    np.testing.assert_allclose(after.translation.rest, expected[:, -1])
