"""The multivariate normal distribution: covariance structures and density kernels."""
