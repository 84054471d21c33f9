/* factor(covariances, floor, roots, log_det, diagonal) -> index of a singular matrix, or -1

   Cholesky factors of small matrices, inverted; for large ones LAPACK is faster.

   covariances  (n, d, d) of 'd'
   floor        smallest standard deviation of a feature given those before it
   roots        (n, d, d) of 'd': upper triangular P with inverse = P P': out
   log_det      n of 'd': logarithms of the determinants: out
   diagonal     (n, d) of 'd': diagonals of the inverses: out */

/* Whether the matrix is positive definite beyond rounding. `lower` is for work. */
static int
factor_one(const double *matrix, Py_ssize_t d, double floor, double *lower, double *root,
           double *log_det, double *diagonal)
{
    const double rounding = 8.0 * (double)d * 2.220446049250313e-16;
    double log_pivots = 0.0;
    for (Py_ssize_t i = 0; i < d; i++) {
        double *row = lower + i * d;
        for (Py_ssize_t j = 0; j <= i; j++) {
            double sum = matrix[i * d + j];
            for (Py_ssize_t k = 0; k < j; k++) {
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
    /* Row j of the root is column j of the inverse of `lower`. */
    for (Py_ssize_t j = 0; j < d; j++) {
        double *column = root + j * d, square;
        memset(column, 0, (size_t)j * sizeof(double));
        column[j] = 1.0 / lower[j * d + j];
        square = column[j] * column[j];
        for (Py_ssize_t i = j + 1; i < d; i++) {
            double sum = 0.0;
            for (Py_ssize_t k = j; k < i; k++) {
                sum -= lower[i * d + k] * column[k];
            }
            column[i] = sum / lower[i * d + i];
            square += column[i] * column[i];
        }
        diagonal[j] = square;
    }
    return 1;
}

static PyObject *
factor(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    double *lower = NULL;
    if (!expect_arguments(n_args, 5)) {
        return NULL;
    }
    const Py_buffer *view = hold_strided(&held, args[0], 'd', 3, READ);
    if (view == NULL) {
        goto done;
    }
    const Py_ssize_t n = view->shape[0], d = view->shape[1];
    const double floor = PyFloat_AsDouble(args[1]);
    if (floor == -1.0 && PyErr_Occurred()) {
        goto done;
    }
    const double *matrices = hold(&held, args[0], 'd', n * d * d, READ);
    double *roots = matrices ? hold(&held, args[2], 'd', n * d * d, WRITE) : NULL;
    double *log_det = roots ? hold(&held, args[3], 'd', n, WRITE) : NULL;
    double *diagonal = log_det ? hold(&held, args[4], 'd', n * d, WRITE) : NULL;
    if (diagonal == NULL) {
        goto done;
    }
    lower = aligned((size_t)(d * d) * sizeof(double));
    if (lower == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    Py_ssize_t k = 0;
    while (k < n && factor_one(matrices + k * d * d, d, floor, lower, roots + k * d * d,
                               log_det + k, diagonal + k * d)) {
        k++;
    }
    result = PyLong_FromSsize_t(k < n ? k : -1);
done:
    free(lower);
    release(&held);
    return result;
}
