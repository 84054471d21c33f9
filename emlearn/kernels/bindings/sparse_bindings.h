/* Sparse matrices are given by the start of each column among the entries, and the row of each
   entry. Of symmetric matrices there is the upper triangle. */

/* Whether the starts of the columns are within the entries and rise, and the rows within the
   matrix: in the upper triangle with the diagonal, or in the lower one without. */
static int
check_columns(Call *call, const int64_t *starts, const int32_t *rows, ptrdiff_t n_columns,
              ptrdiff_t n_entries, ptrdiff_t n_rows, int upper)
{
    int fits = starts[0] == 0 && starts[n_columns] == n_entries && n_columns <= n_rows &&
               n_rows < INT32_MAX;
    for (ptrdiff_t k = 0; fits && k < n_columns; k++) {
        ptrdiff_t last = upper ? -1 : k;
        const ptrdiff_t end = upper ? k + 1 : n_rows;
        fits = starts[k + 1] >= starts[k] && starts[k + 1] <= n_entries;
        for (int64_t e = starts[k]; fits && e < starts[k + 1]; e++) {
            fits = rows[e] > last && rows[e] < end;
            last = rows[e];
        }
    }
    return fits || refuse(call, PyExc_ValueError,
                          "there must be starts that rise, and rows that rise within columns and "
                          "stay within the matrix");
}

/* cholesky_counts(starts, rows, counts)

   starts, rows  of the matrix
   counts        numbers of entries of the columns of L, the diagonal included: out */
static PyObject *
cholesky_counts(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"starts", "q", "n+", PRIVATE},
        {"rows", "i", "e", PRIVATE},
        {"counts", "q", "n", WRITE},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "cholesky_counts", parameters) ||
        !check_columns(&call, call.data[0], call.data[1], SIZE(call, 'n'), SIZE(call, 'e'),
                       SIZE(call, 'n'), 1)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = count_columns(SIZE(call, 'n'), call.data[0], call.data[1], call.data[2]);
    Py_END_ALLOW_THREADS
    return finish(&call, nothing_or_no_memory(status));
}

/* cholesky_pattern(starts, rows, factor_starts, factor_rows)

   starts, rows   of the matrix
   factor_starts  of the first columns of L
   factor_rows    rows of these columns below the diagonal, increasing: out */
static PyObject *
cholesky_pattern(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"starts", "q", "n+", PRIVATE},
        {"rows", "i", "e", PRIVATE},
        {"factor_starts", "q", "p+", PRIVATE},
        {"factor_rows", "i", "f", WRITE},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "cholesky_pattern", parameters) ||
        !check_columns(&call, call.data[0], call.data[1], SIZE(call, 'n'), SIZE(call, 'e'),
                       SIZE(call, 'n'), 1)) {
        return NULL;
    }
    const ptrdiff_t n = SIZE(call, 'n'), n_sparse = SIZE(call, 'p');
    const int64_t *starts = call.data[2];
    int fits = n_sparse <= n && starts[0] == 0 && starts[n_sparse] == SIZE(call, 'f');
    for (ptrdiff_t k = 0; fits && k < n_sparse; k++) {
        fits = starts[k + 1] >= starts[k];
    }
    if (!fits) {
        refuse(&call, PyExc_ValueError, "there must be factor_starts that rise to the number of factor_rows");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = find_columns(n, call.data[0], call.data[1], n_sparse, starts, call.data[3]);
    Py_END_ALLOW_THREADS
    if (status > 0) {
        refuse(&call, PyExc_ValueError, "there must be as many factor_rows as the factor has entries");
        return NULL;
    }
    return finish(&call, nothing_or_no_memory(status));
}

/* factorize_sparse(starts, rows, matrix, factor_starts, factor_rows, factor, pivots, tail)
       -> number of the first pivot that is not positive, or -1

   starts, rows, matrix        of the matrix
   factor_starts, factor_rows  of the first columns of L, as cholesky_pattern finds them
   factor                      entries of these columns below the diagonal: out
   pivots                      of these columns: out
   tail                        what is left of the other columns, lower triangle: out */
static PyObject *
factorize_sparse(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"starts", "q", "n+", PRIVATE},        {"rows", "i", "e", PRIVATE},
        {"matrix", "d", "e", READ},            {"factor_starts", "q", "p+", PRIVATE},
        {"factor_rows", "i", "f", PRIVATE},    {"factor", "d", "f", WRITE},
        {"pivots", "d", "p", WRITE},           {"tail", "d", "tt", WRITE},
    };
    Call call;
    ptrdiff_t n_positive;
    if (!READ_ARGUMENTS(&call, "factorize_sparse", parameters)) {
        return NULL;
    }
    const Factor factor = {.n = SIZE(call, 'n'), .n_sparse = SIZE(call, 'p'),
                           .starts = call.data[3], .rows = call.data[4]};
    if (SIZE(call, 't') != factor.n - factor.n_sparse) {
        refuse(&call, PyExc_ValueError, "there must be as many columns before the tail and in it as in the matrix");
        return NULL;
    }
    if (!check_columns(&call, call.data[0], call.data[1], factor.n, SIZE(call, 'e'), factor.n,
                       1) ||
        !check_columns(&call, factor.starts, factor.rows, factor.n_sparse, SIZE(call, 'f'),
                       factor.n, 0)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    n_positive = factorize_columns(&factor, call.data[0], call.data[1], call.data[2],
                                   call.data[5], call.data[6], call.data[7]);
    Py_END_ALLOW_THREADS
    if (n_positive == -2) {
        refuse(&call, PyExc_ValueError, "there must be the factor_rows of this matrix");
        return NULL;
    }
    if (n_positive < 0) {
        return finish(&call, PyErr_NoMemory());
    }
    return finish(&call, PyLong_FromSsize_t(n_positive < factor.n_sparse ? n_positive : -1));
}

/* solve_sparse(starts, rows, factor, right, backward)

   starts, rows, factor  of the first columns of L, below the diagonal
   right                 overwritten by inv(L) right, where the other columns of L count as those
                         of the identity
   backward              not 0: by inv(L') right */
static PyObject *
solve_sparse(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"starts", "q", "p+", PRIVATE}, {"rows", "i", "f", PRIVATE}, {"factor", "d", "f", READ},
        {"right", "d", "nk", WRITE},    {"backward", "#", "", READ},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "solve_sparse", parameters)) {
        return NULL;
    }
    const Factor factor = {.n = SIZE(call, 'n'), .n_sparse = SIZE(call, 'p'),
                           .starts = call.data[0], .rows = call.data[1]};
    if (!check_columns(&call, factor.starts, factor.rows, factor.n_sparse, SIZE(call, 'f'),
                       factor.n, 0)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    solve_columns(&factor, call.data[2], call.data[3], SIZE(call, 'k'), call.number[4] != 0.0);
    Py_END_ALLOW_THREADS
    return finish(&call, Py_NewRef(Py_None));
}

/* selected_inverse(starts, rows, factor, pivots, tail, inverse, diagonal)

   starts, rows, factor  of the first columns of L, below the diagonal
   pivots                of these columns
   tail                  inverse of the matrix in the other columns, lower triangle
   inverse               entries of the inverse where `factor` has its own: out
   diagonal              of the inverse, in the first columns: out */
static PyObject *
selected_inverse(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"starts", "q", "p+", PRIVATE}, {"rows", "i", "f", PRIVATE}, {"factor", "d", "f", READ},
        {"pivots", "d", "p", READ},     {"tail", "d", "tt", READ},   {"inverse", "d", "f", WRITE},
        {"diagonal", "d", "p", WRITE},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "selected_inverse", parameters)) {
        return NULL;
    }
    const ptrdiff_t n_sparse = SIZE(call, 'p');
    const Factor factor = {.n = n_sparse + SIZE(call, 't'), .n_sparse = n_sparse,
                           .starts = call.data[0], .rows = call.data[1]};
    if (!check_columns(&call, factor.starts, factor.rows, n_sparse, SIZE(call, 'f'), factor.n,
                       0)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = invert_selected(&factor, call.data[2], call.data[3], call.data[4], call.data[5],
                             call.data[6]);
    Py_END_ALLOW_THREADS
    return finish(&call, nothing_or_no_memory(status));
}
