"""The address of the documentation, stated here only.

It is a placeholder until the site has a home.
"""

SITE = "https://scikit-em.readthedocs.io/en/latest/"
