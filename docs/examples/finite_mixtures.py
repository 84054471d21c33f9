"""Mixtures of other than Gaussian rows: counts, answers with holes, tables, part labels.

Prints what docs/finite_mixtures.md shows. Run it from anywhere; it takes some seconds.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from emlearn import FiniteMixtureEM
from emlearn.distributions import Bernoulli, Poisson

# ---- counts: deaths a day of women over 80, London 1910 to 1912 ------------------------

deaths = np.arange(10)[:, None]
days = [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]
print("Deaths a day as a mixture of Poisson counts")
for n_components in (1, 2, 3):
    mixture = FiniteMixtureEM(n_components, family=Poisson(alpha=0), random_state=0)
    mixture.fit(deaths, sample_weight=days)
    rates = np.sort(mixture.component_params_["rate"][:, 0])
    print(
        f"  {n_components}: log-likelihood {mixture.log_likelihood_:9.2f}  "
        f"BIC {mixture.bic(deaths, sample_weight=days):7.1f}  rates",
        *(f"{rate:.2f}" for rate in rates),
    )

# ---- answers in words, some of them missing: latent class analysis ---------------------

rng = np.random.default_rng(0)
truth = rng.choice(3, 600, p=[0.5, 0.3, 0.2])
chance = np.array([[0.8, 0.15, 0.05], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
words = np.array(["never", "sometimes", "often"], object)
answers = words[(rng.random((600, 6, 1)) >= chance[truth].cumsum(axis=1)[:, None, :2]).sum(axis=2)]
answers[rng.random(answers.shape) < 0.1] = np.nan
print("\nSix questions to 600 people, a tenth of the answers missing")
for n_components in (1, 2, 3, 4):
    encoder = OrdinalEncoder()
    classes = make_pipeline(
        encoder, FiniteMixtureEM(n_components, family="categorical", random_state=0)
    ).fit(answers)
    codes, mixture = encoder.transform(answers), classes[-1]
    print(f"  {n_components}: BIC {mixture.bic(codes):7.1f}  ICL {mixture.icl(codes):7.1f}")

# ---- a table of several types ----------------------------------------------------------

group = rng.integers(2, size=400)
table = pd.DataFrame(
    {
        "visits": rng.poisson(np.where(group, 1.0, 5.0)),
        "age": rng.normal(np.where(group, 30.0, 45.0), 8.0),
        "plan": np.where(rng.random(400) < np.where(group, 0.8, 0.3), "basic", "full"),
    }
)
table.loc[rng.random(400) < 0.1, "age"] = np.nan
encode = make_column_transformer(
    (OrdinalEncoder(), ["plan"]), remainder="passthrough", verbose_feature_names_out=False
).set_output(transform="pandas")
family = [("poisson", ["visits"]), ("gaussian", ["age"]), ("categorical", ["plan"])]
customers = make_pipeline(encode, FiniteMixtureEM(2, family=family, random_state=0)).fit(table)
mixture = customers[-1]
print("\nA table with counts, numbers with holes, and categories")
for k, weight in enumerate(mixture.weights_):
    params = {name: value[k] for name, value in mixture.component_params_.items()}
    print(
        f"  {weight:.2f}: {params['rate'][0]:.1f} visits, age {params['mean'][0]:.0f}, "
        f"basic plan {params['probability'][0, 0]:.2f}"
    )

# ---- classes known of some rows --------------------------------------------------------

digits, labels = load_digits(return_X_y=True)
pixels = (digits > 7).astype(float)
print("\nDigits, of which some are labelled: accuracy on the others")
print(f"  {'labelled':>8} {'these alone':>12} {'all, weight 0.05':>17} {'all, weight 1':>14}")
for n_known in (30, 50, 100, 200):
    right = np.zeros(3)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        known = np.concatenate(
            [rng.choice(np.flatnonzero(labels == c), n_known // 10, False) for c in range(10)]
        )
        part = np.full(len(labels), -1)
        part[known] = labels[known]
        for i, weight in enumerate((0.0, 0.05, 1.0)):
            bayes = FiniteMixtureEM(
                family=Bernoulli(alpha=0.5), use_labels=True, unlabelled_weight=weight
            )
            found = bayes.fit(pixels, part).predict(pixels)
            right[i] += np.mean((found == labels)[part == -1]) / 10
    print(f"  {n_known:>8} {right[0]:>12.3f} {right[1]:>17.3f} {right[2]:>14.3f}")
