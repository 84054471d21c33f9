"""The general location model with latent classes: tables of numbers and categories."""
