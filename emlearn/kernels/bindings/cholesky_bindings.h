/* precision_cholesky(covariances, floor, precision_cholesky, log_det, diagonal)
       -> index of the first singular matrix, or -1

   covariances         symmetric matrices
   floor               smallest standard deviation of a feature given those before it
   precision_cholesky  upper triangular P with inverse = P P': out
   log_det             logarithms of the determinants: out
   diagonal            diagonals of the inverses: out */
static PyObject *
precision_cholesky(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                   Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"covariances", "d", "ndd", READ},
        {"floor", "#", "", READ},
        {"precision_cholesky", "d", "ndd", WRITE},
        {"log_det", "d", "n", WRITE},
        {"diagonal", "d", "nd", WRITE},
    };
    Call call;
    ptrdiff_t n_regular;
    if (!READ_ARGUMENTS(&call, "precision_cholesky", parameters)) {
        return NULL;
    }
    const ptrdiff_t n = SIZE(call, 'n');
    /* A few microseconds: to hand over the lock would cost as much. */
    n_regular = precision_cholesky_all(call.data[0], n, SIZE(call, 'd'), call.number[1],
                                       call.data[2], call.data[3], call.data[4]);
    if (n_regular < 0) {
        return finish(&call, PyErr_NoMemory());
    }
    return finish(&call, PyLong_FromSsize_t(n_regular < n ? n_regular : -1));
}
