/* Whether columns, starts and edges stay within the matrix and the rows, and the largest block;
   an exception if not. */
static int
check_blocks(Call *call, const Blocks_d *blocks, ptrdiff_t *largest)
{
    const ptrdiff_t n_entries = SIZE(*call, 'e'), d = SIZE(*call, 'd');
    const ptrdiff_t n_patterns = SIZE(*call, 'p');
    const int64_t *starts = blocks->starts, *edges = blocks->edges;
    int fits = starts[0] >= 0 && edges[0] >= 0 && starts[n_patterns] <= n_entries;
    *largest = 0;
    for (ptrdiff_t p = 0; fits && p < n_patterns; p++) {
        fits = starts[p + 1] >= starts[p] && edges[p + 1] >= edges[p];
        const ptrdiff_t order = fits ? (ptrdiff_t)(starts[p + 1] - starts[p]) : 0;
        fits = fits && order <= d;
        *largest = order > *largest ? order : *largest;
    }
    fits = fits && (blocks->vectors == NULL || edges[n_patterns] <= SIZE(*call, 'n'));
    for (ptrdiff_t i = 0; fits && i < n_entries; i++) {
        fits = blocks->columns[i] < d;
    }
    return fits || refuse(call, PyExc_ValueError, "the blocks do not fit the matrix or the rows");
}

/* solve_blocks(matrix, columns, starts, edges, vectors, out, factor, weights, target, log_det)
   -> whether all blocks are positive definite

   For each pattern p with the columns c = columns[starts[p]:starts[p + 1]], in increasing order,
   and the block B of these rows and columns of the matrix,
       out[r, c] = factor x inv(B) vectors[r, c]     for the rows r in edges[p]:edges[p + 1]
       target[c, c] += weights[p] x inv(B)
       log_det[p] = log|B|.

   matrix   symmetric
   vectors  or None
   out      may be `vectors`; None if they are
   weights  or None
   target   of which the lower triangle is read; None if there are no weights
   log_det  out */
static PyObject *
solve_blocks(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"matrix", "d", "dd", READ},        {"columns", "H", "e", PRIVATE},
        {"starts", "q", "p+", PRIVATE},     {"edges", "q", "p+", PRIVATE},
        {"vectors", "d", "nd", OPTIONAL},   {"out", "d", "nd", OPTIONAL | WRITE},
        {"factor", "#", "", READ},          {"weights", "d", "p", OPTIONAL},
        {"target", "d", "dd", OPTIONAL | WRITE}, {"log_det", "d", "p", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "solve_blocks", parameters)) {
        return NULL;
    }
    const Blocks_d blocks = {.matrix = call.data[0], .n_columns = SIZE(call, 'd'),
                             .columns = call.data[1], .starts = call.data[2],
                             .edges = call.data[3], .vectors = call.data[4], .out = call.data[5],
                             .factor = call.number[6], .weights = call.data[7],
                             .target = call.data[8], .log_det = call.data[9]};
    ptrdiff_t largest;
    int status;
    if ((arguments[4] == Py_None) != (arguments[5] == Py_None) ||
        (arguments[7] == Py_None) != (arguments[8] == Py_None)) {
        refuse(&call, PyExc_TypeError, "arguments that belong together are not both given");
        return NULL;
    }
    if (!check_blocks(&call, &blocks, &largest)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = solve_blocks_d(&blocks, SIZE(call, 'p'), largest);
    Py_END_ALLOW_THREADS
    return finish(&call, status < 0 ? PyErr_NoMemory() : PyBool_FromLong(status));
}
