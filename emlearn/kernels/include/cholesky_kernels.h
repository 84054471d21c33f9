/* Cholesky factors of small matrices, inverted; for large ones LAPACK is faster. */

/* Whether the matrix is positive definite beyond rounding. `lower` is for work. */
static int
invert_cholesky(const double *matrix, ptrdiff_t d, double floor, double *lower,
                double *precision_cholesky, double *log_det, double *diagonal)
{
    const double rounding = 8.0 * (double)d * 2.220446049250313e-16;
    double log_pivots = 0.0;
    for (ptrdiff_t i = 0; i < d; i++) {
        double *row = lower + i * d;
        for (ptrdiff_t j = 0; j <= i; j++) {
            double sum = matrix[i * d + j];
            for (ptrdiff_t k = 0; k < j; k++) {
                sum -= row[k] * lower[j * d + k];
            }
            if (j < i) {
                row[j] = sum / lower[j * d + j];
            } else if (sum - rounding * matrix[i * d + i] > floor * floor) {
                row[i] = sqrt(sum);
                log_pivots += log(sum);
            } else {
                return 0;
            }
        }
    }
    *log_det = log_pivots;
    /* Row j of the factor is column j of the inverse of `lower`. */
    for (ptrdiff_t j = 0; j < d; j++) {
        double *column = precision_cholesky + j * d, square;
        memset(column, 0, (size_t)j * sizeof(double));
        column[j] = 1.0 / lower[j * d + j];
        square = column[j] * column[j];
        for (ptrdiff_t i = j + 1; i < d; i++) {
            double sum = 0.0;
            for (ptrdiff_t k = j; k < i; k++) {
                sum -= lower[i * d + k] * column[k];
            }
            column[i] = sum / lower[i * d + i];
            square += column[i] * column[i];
        }
        diagonal[j] = square;
    }
    return 1;
}

/* See cholesky_bindings.h. Returns how many matrices came before the first singular one, or -1
   if out of memory. */
static ptrdiff_t
precision_cholesky_all(const double *covariances, ptrdiff_t n, ptrdiff_t d, double floor,
                       double *precision_cholesky, double *log_det, double *diagonal)
{
    double *lower = aligned_memory(add_size(0, d, d), sizeof(double));
    if (lower == NULL) {
        return -1;
    }
    ptrdiff_t k = 0;
    while (k < n && invert_cholesky(covariances + k * d * d, d, floor, lower,
                                    precision_cholesky + k * d * d, log_det + k,
                                    diagonal + k * d)) {
        k++;
    }
    aligned_free(lower);
    return k;
}
