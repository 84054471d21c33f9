"""Mixed models: fixed and random effects."""
