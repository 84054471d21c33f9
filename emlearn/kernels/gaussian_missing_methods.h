/* Gaussian mixtures on rows with missing entries; see gaussian_missing.h. All functions return
   None where the precision of missing entries is not positive definite. The arguments beyond
   those of gaussian_methods.h, of which all numbers are of 'd':

   precision  (n_components, n_features, n_features), inverses of the covariances; None if the
              root is diagonal
   columns    of 'H': missing columns of each pattern, in increasing order
   starts     n_patterns + 1 of 'q': pattern p lacks columns[starts[p]:starts[p + 1]], one at
              least; fastest where patterns with equally many are neighbours
   edges      n_patterns + 1 of 'q': and has the rows edges[p]:edges[p + 1], one at least, all
              rows together
   ridge      n_features: a variance added to observed entries only, whose term is part of
              `constants` as if rows were complete; or None

   What rows hold in the place of missing entries is not read into any result. The factor
   (2 pi)^(m/2) of a row with m missing entries is left to the caller. */

#define MISSING_ARGUMENTS 5

/* Items of 1-dimensional arrays of one kind, copied: what is used for indexing must not change
   after it is checked. NULL with an exception set. */
static void *
copy_items(PyObject *array, char kind, size_t size, Py_ssize_t *n_items)
{
    Held held = {.n_held = 0};
    const Py_buffer *view = hold_strided(&held, array, kind, 1, READ);
    char *copy = NULL;
    if (view != NULL) {
        *n_items = view->shape[0];
        copy = malloc((size_t)*n_items * size + 1);
        if (copy == NULL) {
            PyErr_NoMemory();
        }
        if (copy && view->strides[0] == (Py_ssize_t)size) {
            memcpy(copy, view->buf, (size_t)*n_items * size);
        } else {
            for (Py_ssize_t i = 0; copy && i < *n_items; i++) {
                memcpy(copy + (size_t)i * size, (char *)view->buf + i * view->strides[0], size);
            }
        }
    }
    release(&held);
    return copy;
}

/* What `parse_missing` copied. */
typedef struct {
    uint16_t *columns;
    int64_t *starts, *edges;
} Index;

static void
free_index(Index *index)
{
    free(index->columns);
    free(index->starts);
    free(index->edges);
}

/* Whether the patterns fit the rows and columns; the largest is found. */
static int
check_patterns(Missing *m, Py_ssize_t n_columns, Py_ssize_t n_rows, Py_ssize_t d)
{
    const Py_ssize_t P = m->n_patterns;
    if (m->starts[0] < 0 || m->starts[P] > n_columns || m->edges[0] != 0 ||
        m->edges[P] != n_rows) {
        return 0;
    }
    for (Py_ssize_t p = 0; p < P; p++) {
        /* No difference is taken before it is known that it does not overflow. */
        if (m->starts[p + 1] <= m->starts[p] || m->starts[p + 1] > n_columns ||
            m->edges[p + 1] <= m->edges[p] || m->edges[p + 1] > n_rows) {
            return 0;
        }
        for (int64_t i = m->starts[p]; i < m->starts[p + 1]; i++) {
            if (m->columns[i] >= d ||
                (i > m->starts[p] && m->columns[i] <= m->columns[i - 1])) {
                return 0;
            }
        }
        const Py_ssize_t order = (Py_ssize_t)(m->starts[p + 1] - m->starts[p]);
        m->largest = order > m->largest ? order : m->largest;
    }
    return 1;
}

/* Arguments `precision` to `ridge`; 0 with an exception set. */
static int
parse_missing(Held *held, PyObject *const *args, const Rows *rows, const Gaussians *g,
              Index *index, Missing *m)
{
    const Py_ssize_t d = rows->n_features, K = g->n_components;
    Py_ssize_t n_columns = 0, n_starts = 0, n_edges = 0;
    int error = 0;
    *m = (Missing){.n_patterns = 0};
    m->precision = hold_or_none(held, args[0], 'd', K * d * d, READ, &error);
    m->ridge = hold_or_none(held, args[4], 'd', d, READ, &error);
    if (error) {
        return 0;
    }
    if ((m->precision == NULL) != g->diagonal) {
        PyErr_SetString(PyExc_TypeError, "precisions go with triangular roots");
        return 0;
    }
    m->columns = index->columns = copy_items(args[1], 'H', sizeof(uint16_t), &n_columns);
    m->starts = index->starts =
        m->columns ? copy_items(args[2], 'q', sizeof(int64_t), &n_starts) : NULL;
    m->edges = index->edges =
        m->starts ? copy_items(args[3], 'q', sizeof(int64_t), &n_edges) : NULL;
    if (m->edges == NULL) {
        return 0;
    }
    m->n_patterns = n_starts - 1;
    if (K < 1 || n_starts < 1 || n_starts != n_edges ||
        !check_patterns(m, n_columns, rows->n_rows, d)) {
        PyErr_SetString(PyExc_ValueError,
                        "the patterns of missing entries do not fit the rows or columns");
        return 0;
    }
    return 1;
}

/* What all functions take: first arguments, and patterns from `last` on. Only rows of 'd'. */
static int
parse_incomplete(Held *held, PyObject *const *args, PyObject *const *last, Rows *rows,
                 Gaussians *g, Index *index, Missing *m)
{
    const char kind = parse_gaussians(held, args, rows, g);
    if (kind == 'f') {
        PyErr_SetString(PyExc_TypeError, "rows with missing entries are of kind 'd'");
    }
    return kind == 'd' && parse_missing(held, last, rows, g, index, m);
}

/* `done`, or None if a matrix is singular. Steals a reference to `done`. */
static PyObject *
unless_singular(int status, PyObject *done)
{
    if (status == SUCCESS) {
        return done;
    }
    Py_XDECREF(done);
    return status == SINGULAR ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

/* gaussian_missing_step(rows, center, scale, means, root, constants, weight, sum_weight, first,
                         second, precision, columns, starts, edges, ridge)
       -> sum of weight x log-density of the mixture

   As gaussian_step; the sums are expectations given what is observed. */
static PyObject *
gaussian_missing_step(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    Index index = {NULL, NULL, NULL};
    PyObject *result = NULL;
    Rows rows;
    Gaussians g;
    Missing missing;
    Sums sums;
    int error = 0;
    if (!expect_arguments(n_args, 10 + MISSING_ARGUMENTS)) {
        return NULL;
    }
    if (parse_incomplete(&held, args, args + 10, &rows, &g, &index, &missing)) {
        const double *weight = hold_or_none(&held, args[6], 'd', rows.n_rows, READ, &error);
        if (!error && hold_sums(&held, args + 7, &g, rows.n_features, &sums)) {
            double objective;
            int status;
            Py_BEGIN_ALLOW_THREADS
            status = missing_step(&rows, &g, &missing, weight, &sums, &objective);
            Py_END_ALLOW_THREADS
            result = unless_singular(status, PyFloat_FromDouble(objective));
        }
    }
    free_index(&index);
    release(&held);
    return result;
}

/* gaussian_missing_log_density(rows, center, scale, means, root, constants, out,
                                precision, columns, starts, edges, ridge) -> True

   As gaussian_log_density. */
static PyObject *
gaussian_missing_log_density(PyObject *Py_UNUSED(module), PyObject *const *args,
                             Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    Index index = {NULL, NULL, NULL};
    PyObject *result = NULL;
    Rows rows;
    Gaussians g;
    Missing missing;
    if (!expect_arguments(n_args, 7 + MISSING_ARGUMENTS)) {
        return NULL;
    }
    if (parse_incomplete(&held, args, args + 7, &rows, &g, &index, &missing)) {
        double *out = hold(&held, args[6], 'd', g.n_components * rows.n_rows, WRITE);
        if (out) {
            int status;
            Py_BEGIN_ALLOW_THREADS
            status = missing_log_density(&rows, &g, &missing, out);
            Py_END_ALLOW_THREADS
            result = unless_singular(status, Py_NewRef(Py_True));
        }
    }
    free_index(&index);
    release(&held);
    return result;
}

/* gaussian_missing_moments(rows, center, scale, means, root, constants, shares, sum_weight,
                            first, second, precision, columns, starts, edges, ridge) -> True

   As gaussian_moments; rows are conditioned for components with shares that are not
   negligible. */
static PyObject *
gaussian_missing_moments(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    Index index = {NULL, NULL, NULL};
    PyObject *result = NULL;
    Rows rows;
    Gaussians g;
    Missing missing;
    Sums sums;
    if (!expect_arguments(n_args, 10 + MISSING_ARGUMENTS)) {
        return NULL;
    }
    if (parse_incomplete(&held, args, args + 10, &rows, &g, &index, &missing)) {
        const double *shares =
            hold(&held, args[6], 'd', g.n_components * rows.n_rows, READ);
        if (shares && hold_sums(&held, args + 7, &g, rows.n_features, &sums)) {
            int status;
            Py_BEGIN_ALLOW_THREADS
            status = missing_moments(&rows, &g, &missing, shares, &sums);
            Py_END_ALLOW_THREADS
            result = unless_singular(status, Py_NewRef(Py_True));
        }
    }
    free_index(&index);
    release(&held);
    return result;
}
