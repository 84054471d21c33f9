"""Record linkage beside splink: the same comparison vectors, the same m and u, and time.

    python benchmarks/bench_linkage.py [--pairs 200000 1000000] [--turns 3] [--parts fit ...]

fit         EM on given comparison vectors: all parameters free, and with u and the prevalence held
tolerance   what both packages say at the largest number of iterations
vectors     comparison vectors of a table of simulated records: pairs a second, memory
precision   how often the interval of threshold_for_precision has the true precision (simulated)
dependent   simulated records with and without the interaction of city and postcode

splink takes tables, so it gets two tables with one record of each pair, whose columns are the
levels, and a key that joins the two. Its time is that of one call for training (it joins the
tables, counts the patterns and runs EM on these counts); that of this package is one fit, which
counts the patterns, too. Splink is skipped if it is not installed. Write the values of a test with
`--write tests/reference/record_linkage.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import time
import warnings

import numpy as np
from _measure import in_child, peak_beyond

from emlearn import RecordLinkageEM
from emlearn.datasets import make_duplicate_records
from emlearn.linkage import RecordComparator, RecordPairs
from emlearn.linkage._vectors import merge

M = [[0.05, 0.10, 0.85], [0.10, 0.90], [0.02, 0.08, 0.10, 0.80], [0.10, 0.20, 0.70]]
U = [[0.90, 0.05, 0.05], [0.80, 0.20], [0.70, 0.20, 0.05, 0.05], [0.80, 0.15, 0.05]]
PREVALENCE = 0.05
KINDS = {
    "first_name": "jaro_winkler",
    "last_name": "jaro_winkler",
    "birth_date": "date",
    "city": "exact",
    "postcode": "exact",
}
BLOCK = ["birth_year", "postcode", ("first_name", "last_name")]


def vectors(n_pairs, seed=0, prevalence=PREVALENCE):
    """Comparison vectors of independent comparisons, 2 % of them missing, and the truth."""
    rng = np.random.default_rng(seed)
    match = rng.random(n_pairs) < prevalence
    columns = [
        np.where(match, rng.choice(len(m), n_pairs, p=m), rng.choice(len(u), n_pairs, p=u))
        for m, u in zip(M, U, strict=True)
    ]
    X = np.stack(columns, axis=1).astype(float)
    X[rng.random(X.shape) < 0.02] = np.nan
    return X, match


def comparison(j, held):
    """A comparison of splink that reads the level from a column."""
    column, n = f"v{j}_l", len(M[j])
    levels = [
        {"sql_condition": f"{column} IS NULL", "label_for_charts": "null", "is_null_level": True}
    ]
    for level in range(n - 1, -1, -1):
        top = level == n - 1
        levels.append(
            {
                "sql_condition": f"{column} = {level}" if level else "ELSE",
                "label_for_charts": str(level),
                "m_probability": 0.8 if top else 0.2 / (n - 1),
                "u_probability": U[j][level] if held else 0.1 if top else 0.9 / (n - 1),
            }
        )
    return {"output_column_name": f"v{j}", "comparison_levels": levels}


def splink_linker(X, held, convergence, max_iterations):
    import pandas as pd
    from splink import DuckDBAPI, Linker, SettingsCreator

    # Codes with null in place of NaN, which is a number to the database.
    left = pd.DataFrame({f"v{j}": pd.array(X[:, j], "Int64") for j in range(X.shape[1])})
    left["unique_id"] = left["pair"] = np.arange(len(X))
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=[comparison(j, held) for j in range(X.shape[1])],
        probability_two_random_records_match=PREVALENCE,
        em_convergence=convergence,
        max_iterations=max_iterations,
    )
    database = DuckDBAPI()
    tables = [database.register(left, dataset_display_name=name) for name in ("a", "b")]
    return Linker(tables, settings, log_level=logging.ERROR)


def train(linker, held):
    from splink import block_on

    with contextlib.redirect_stdout(io.StringIO()):
        return linker.training.estimate_parameters_using_expectation_maximisation(
            block_on("pair"),
            estimate_without_term_frequencies=True,
            fix_u_probabilities=held,
            fix_probability_two_random_records_match=held,
            record_sample_proportion=1.0,
        )


def splink_parameters(session):
    found = session.core_model_settings
    m, u = [], []
    for own in found.comparisons:
        levels = [level for level in own.comparison_levels if not level.is_null_level][::-1]
        m.append([float(level.m_probability) for level in levels])
        u.append([float(level.u_probability) for level in levels])
    return float(found.probability_two_random_records_match), m, u


def has_splink():
    try:
        import splink
    except ImportError:
        print("splink is not installed: skipped")
        return False
    print(f"splink {splink.__version__}")
    return True


def farthest(model, prevalence, m, u):
    """Largest difference of the prevalence, m and u."""
    each = [np.abs(a - np.array(b)).max() for a, b in zip(model.m_ + model.u_, m + u, strict=True)]
    return max(*each, abs(model.prevalence_ - prevalence))


def fit(options):
    if not has_splink():
        return
    written = {}
    for n_pairs in options.pairs:
        X, _ = vectors(n_pairs)
        for held in (False, True):
            fixed = {"u": U, "prevalence": PREVALENCE} if held else None
            times, own_times, exact_times = [], [], []
            for _ in range(options.turns):
                linker = splink_linker(X, held, 1e-9, 5000)
                begin = time.perf_counter()
                session = train(linker, held)
                times.append(time.perf_counter() - begin)
                for model, spent in (
                    (RecordLinkageEM(alpha=0.0, fixed=fixed), own_times),
                    (RecordLinkageEM(alpha=0.0, fixed=fixed, tol=1e-13), exact_times),
                ):
                    begin = time.perf_counter()
                    model.fit(X)
                    spent.append(time.perf_counter() - begin)
            prevalence, m, u = splink_parameters(session)
            difference = farthest(model, prevalence, m, u)
            ratio = np.median(np.array(times) / np.array(exact_times))
            default = np.median(np.array(times) / np.array(own_times))
            what = "u, prevalence held" if held else "all free"
            print(
                f"{n_pairs:9} pairs, {what:18}: splink {np.median(times):7.2f} s, emlearn "
                f"{np.median(exact_times):6.3f} s (tol=1e-13, ratio {ratio:.0f}), "
                f"{np.median(own_times):6.3f} s (default, ratio {default:.0f}); largest difference "
                f"of m, u, prevalence {difference:.1e}"
            )
            patterns = merge(np.where(np.isnan(X), -1, X).astype(np.int8), None)
            written["held" if held else "free"] = {"prevalence": prevalence, "m": m, "u": u}
            written |= {"levels": patterns.levels.tolist(), "counts": patterns.weight.tolist()}
            written |= {"held_u": U, "held_prevalence": PREVALENCE}
    if options.write:
        source = (
            "splink 5.0.0 with em_convergence=1e-9, by python benchmarks/bench_linkage.py --parts "
            f"fit --pairs {options.pairs[-1]} --write FILE; levels (-1 is missing) are simulated"
        )
        with open(options.write, "w", encoding="utf-8") as file:
            json.dump({"source": source, **written}, file)
            file.write("\n")


def tolerance(options):
    """Both packages stopped after three iterations."""
    X, _ = vectors(50_000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = RecordLinkageEM(alpha=0.0, max_iter=3).fit(X)
    print(f"emlearn, max_iter=3: converged_={model.converged_}, {len(caught)} warning(s)")
    if has_splink():
        handler = logging.StreamHandler(log := io.StringIO())
        logger = logging.getLogger("splink")
        logger.addHandler(handler)
        linker = splink_linker(X, False, 1e-9, 3)
        logger.setLevel(logging.INFO)
        train(linker, False)
        lines = [line for line in log.getvalue().splitlines() if "converge" in line.lower()]
        print(f"splink, max_iterations=3: {lines}")


def comparator(term_frequencies=()):
    return RecordComparator(KINDS, BLOCK, term_frequencies)


def count(n_people):
    people = make_duplicate_records(n_people, random_state=0).records
    return peak_beyond(lambda: people, lambda own: stream(own))


def stream(people):
    begin = time.perf_counter()
    patterns = comparator().patterns(people, random_state=0, n_random=0)
    return float(patterns.counts.sum()), time.perf_counter() - begin


def vectors_of_tables(options):
    for n_people in options.people:
        peak, (n_pairs, spent) = in_child(count, n_people)
        print(
            f"{n_people:7} people: {n_pairs:.3g} pairs in {spent:.2f} s, {n_pairs / spent:.3g} "
            f"pairs a second, {peak:.0f} MiB beyond the table"
        )


def precision(options):
    inside, missed = [], []
    for seed in range(options.repeats):
        X, match = vectors(20_000, seed)
        model = RecordLinkageEM().fit(X)
        found = model.threshold_for_precision(X, 0.95)
        chosen = model.predict_proba(X)[:, 1] >= found.threshold
        true = match[chosen].mean()
        inside.append(found.interval[0] <= true <= found.interval[1])
        missed.append(true - found.precision)
    print(
        f"{options.repeats} samples of 20000 pairs, wanted precision 0.95: the 95 % interval has "
        f"the true precision in {np.mean(inside):.1%}; true minus expected {np.mean(missed):+.4f} "
        f"on average, {np.std(missed):.4f} standard deviation"
    )


def dependent(options):
    people = make_duplicate_records(5000, random_state=0)
    patterns = comparator().patterns(people.records, random_state=0)
    pairs = comparator(("last_name", "first_name")).pairs(people.records)
    match = people.target[pairs.left] == people.target[pairs.right]
    print(f"{len(pairs)} pairs of {len(people.target)} records, {match.sum()} of them matches")
    blocked = merge(pairs.levels, None)
    chosen = RecordPairs(blocked.levels, pairs.names, pairs.level_names, counts=blocked.weight)
    joined = [("city", "postcode")]
    for what, rows, interactions in (
        ("pairs that share a key", chosen, None),
        ("pairs that share a key, city x postcode", chosen, joined),
        ("all pairs", patterns, None),
        ("all pairs, city x postcode", patterns, joined),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = RecordLinkageEM(interactions=interactions).fit(rows)
        plain = model.predict(pairs, frequency=np.full(pairs.levels.shape, np.nan)) == 1
        adjusted = model.predict(pairs) == 1
        print(
            f"{what:40}: BIC {model.bic(rows):.0f}, {len(caught)} warning(s), precision "
            f"{match[plain].mean():.3f}, recall {plain[match].mean():.3f}; with term frequencies "
            f"{match[adjusted].mean():.3f}, {adjusted[match].mean():.3f}"
        )


PARTS = {
    "fit": fit,
    "tolerance": tolerance,
    "vectors": vectors_of_tables,
    "precision": precision,
    "dependent": dependent,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pairs", nargs="+", type=int, default=[200_000, 1_000_000])
    parser.add_argument("--people", nargs="+", type=int, default=[10_000, 30_000])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--write", default=None)
    options = parser.parse_args()
    for part in options.parts:
        print(f"\n{part}")
        PARTS[part](options)


if __name__ == "__main__":
    main()
