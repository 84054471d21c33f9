"""From the analyses of several imputations to one answer."""
