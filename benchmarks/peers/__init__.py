"""Benchmarks against peers: one module a subject. Run by `run.py`, told by `render.py`."""

from peers import (
    gaussian_mixtures,
    imputation,
    latent_classes,
    markov_models,
    memory,
    mixed_models,
    scaling,
)

SUBJECTS = {
    module.SUBJECT.name: module.SUBJECT
    for module in (
        gaussian_mixtures,
        markov_models,
        latent_classes,
        imputation,
        mixed_models,
        scaling,
        memory,
    )
}
