/* solve_blocks(matrix, columns, starts, edges, vectors, out, factor, weights, target, log_det)
   -> whether all blocks are positive definite

   For each pattern p with the columns c = columns[starts[p]:starts[p + 1]], in increasing order,
   and the block B of these rows and columns of the matrix,
       out[r, c] = factor x inv(B) vectors[r, c]     for the rows r in edges[p]:edges[p + 1]
       target[c, c] += weights[p] x inv(B)
       log_det[p] = log|B|.

   matrix   (d, d) of 'd', symmetric
   columns  of 'H'
   starts   n_patterns + 1 of 'q'
   edges    n_patterns + 1 of 'q'
   vectors  (n_rows, d) of 'd', or None
   out      (n_rows, d) of 'd', which may be `vectors`; None if they are
   factor   float
   weights  n_patterns of 'd', or None
   target   (d, d) of 'd', of which the lower triangle is read; None if there are no weights
   log_det  n_patterns of 'd': out */
static PyObject *
solve_blocks(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    if (!expect_arguments(n_args, 10)) {
        return NULL;
    }
    Blocks_d in;
    const Py_buffer *matrix = hold_strided(&held, args[0], 'd', 2, READ);
    const Py_buffer *columns = matrix ? hold_strided(&held, args[1], 'H', 1, READ) : NULL;
    const Py_buffer *starts = columns ? hold_strided(&held, args[2], 'q', 1, READ) : NULL;
    if (starts == NULL) {
        goto done;
    }
    const Py_ssize_t d = matrix->shape[0], n_patterns = starts->shape[0] - 1;
    const Py_ssize_t n_entries = columns->shape[0];
    Py_ssize_t n_rows = 0;
    if (args[4] != Py_None) {
        const Py_buffer *vectors = hold_strided(&held, args[4], 'd', 2, READ);
        if (vectors == NULL) {
            goto done;
        }
        n_rows = vectors->shape[0];
    }
    if (n_patterns < 0 || (args[4] == Py_None) != (args[5] == Py_None) ||
        (args[7] == Py_None) != (args[8] == Py_None)) {
        PyErr_SetString(PyExc_TypeError, "arguments that belong together are not both given");
        goto done;
    }
    int error = 0;
    in.n_columns = d;
    in.matrix = hold(&held, args[0], 'd', d * d, READ);
    in.columns = hold(&held, args[1], 'H', n_entries, READ);
    in.starts = hold(&held, args[2], 'q', n_patterns + 1, READ);
    in.edges = hold(&held, args[3], 'q', n_patterns + 1, READ);
    in.vectors = hold_or_none(&held, args[4], 'd', n_rows * d, READ, &error);
    in.out = hold_or_none(&held, args[5], 'd', n_rows * d, WRITE, &error);
    in.factor = PyFloat_AsDouble(args[6]);
    in.weights = hold_or_none(&held, args[7], 'd', n_patterns, READ, &error);
    in.target = hold_or_none(&held, args[8], 'd', d * d, WRITE, &error);
    in.log_det = hold(&held, args[9], 'd', n_patterns, WRITE);
    if (error || PyErr_Occurred()) {
        goto done;
    }
    Py_ssize_t largest = 0;
    int fits = n_patterns == 0 || (in.starts[0] >= 0 && in.edges[0] >= 0 &&
                                   in.starts[n_patterns] <= n_entries);
    for (Py_ssize_t p = 0; fits && p < n_patterns; p++) {
        const int64_t order = in.starts[p + 1] - in.starts[p];
        fits = order >= 0 && order <= d && in.edges[p + 1] >= in.edges[p];
        largest = order > largest ? (Py_ssize_t)order : largest;
    }
    fits = fits && (in.vectors == NULL || n_patterns == 0 || in.edges[n_patterns] <= n_rows);
    for (Py_ssize_t i = 0; fits && i < n_entries; i++) {
        fits = in.columns[i] < d;
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the blocks do not fit the matrix or the rows");
        goto done;
    }
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = solve_blocks_d(&in, n_patterns, largest);
    Py_END_ALLOW_THREADS
    result = status < 0 ? PyErr_NoMemory() : PyBool_FromLong(status);
done:
    release(&held);
    return result;
}
