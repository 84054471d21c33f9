"""Markov chains of latent labels: sequences, recursions, and their law."""
