/* Gaussian mixtures on rows with missing entries; see gaussian_missing_kernels.h. All functions
   return None where the precision of missing entries is not positive definite. The arguments
   beyond those of gaussian_bindings.h, with rows in double precision:

   precision  inverses of the covariances; None if the precision_cholesky is diagonal
   columns    missing columns of each pattern, in increasing order
   starts     pattern p lacks columns[starts[p]:starts[p + 1]], one at least; fastest where
              patterns with equally many are neighbors
   edges      and has the rows edges[p]:edges[p + 1], one at least, all rows together
   ridge      a variance added to observed entries only, whose term is part of `constants` as if
              rows were complete; or None

   What rows hold in the place of missing entries is not read into any result. The factor
   (2 pi)^(m/2) of a row with m missing entries is left to the caller. */
#define MISSING_PARAMETERS \
    {"precision", "d", "KDD", OPTIONAL}, {"columns", "H", "e", PRIVATE}, \
    {"starts", "q", "p+", PRIVATE}, {"edges", "q", "p+", PRIVATE}, {"ridge", "d", "D", OPTIONAL}

/* Whether the patterns fit the rows and columns; the largest is found. */
static int
check_patterns(Missing *m, ptrdiff_t n_columns, ptrdiff_t n_rows, ptrdiff_t d)
{
    const ptrdiff_t P = m->n_patterns;
    if (m->starts[0] < 0 || m->starts[P] > n_columns || m->edges[0] != 0 ||
        m->edges[P] != n_rows) {
        return 0;
    }
    for (ptrdiff_t p = 0; p < P; p++) {
        /* No difference is taken before it is known that it does not overflow. */
        if (m->starts[p + 1] <= m->starts[p] || m->starts[p + 1] > n_columns ||
            m->edges[p + 1] <= m->edges[p] || m->edges[p + 1] > n_rows) {
            return 0;
        }
        for (int64_t i = m->starts[p]; i < m->starts[p + 1]; i++) {
            if (m->columns[i] >= d || (i > m->starts[p] && m->columns[i] <= m->columns[i - 1])) {
                return 0;
            }
        }
        const ptrdiff_t order = (ptrdiff_t)(m->starts[p + 1] - m->starts[p]);
        m->largest = order > m->largest ? order : m->largest;
    }
    return 1;
}

/* The arguments as the kernels take them, those of missing entries from `first` on; 0 with an
   exception if they do not fit each other. */
static int
missing_arguments(Call *call, int first, Rows *rows, Gaussians *g, Sums *sums, Missing *m)
{
    if (!gaussian_arguments(call, rows, g, sums)) {
        return 0;
    }
    void *const *data = call->data + first;
    *m = (Missing){.n_patterns = SIZE(*call, 'p'),
                   .precision = data[0],
                   .columns = data[1],
                   .starts = data[2],
                   .edges = data[3],
                   .ridge = data[4]};
    if ((m->precision == NULL) != g->diagonal) {
        return refuse(call, PyExc_TypeError,
                      "precision goes with a triangular precision_cholesky");
    }
    return check_patterns(m, SIZE(*call, 'e'), rows->n_rows, rows->n_features) ||
           refuse(call, PyExc_ValueError,
                  "the patterns of missing entries do not fit the rows or columns");
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

/* gaussian_missing_step(..., weight, sum_weight, first, second,
                         precision, columns, starts, edges, ridge)
       -> sum of weight x log-density of the mixture

   As gaussian_step; the sums are expectations given what is observed. */
static PyObject *
gaussian_missing_step(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                      Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        GAUSSIAN_PARAMETERS("d"), {"weight", "d", "n", OPTIONAL}, GAUSSIAN_SUMS,
        MISSING_PARAMETERS};
    Call call;
    Rows rows;
    Gaussians g;
    Sums sums;
    Missing missing;
    double objective;
    int status;
    if (!READ_ARGUMENTS(&call, "gaussian_missing_step", parameters) ||
        !missing_arguments(&call, 10, &rows, &g, &sums, &missing)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = missing_step(&rows, &g, &missing, call.data[6], &sums, &objective);
    Py_END_ALLOW_THREADS
    return finish(&call, unless_singular(status, PyFloat_FromDouble(objective)));
}

/* gaussian_missing_log_density(..., out, precision, columns, starts, edges, ridge) -> True

   As gaussian_log_density. */
static PyObject *
gaussian_missing_log_density(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                             Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        GAUSSIAN_PARAMETERS("d"), {"out", "d", "Kn", WRITE}, MISSING_PARAMETERS};
    Call call;
    Rows rows;
    Gaussians g;
    Missing missing;
    int status;
    if (!READ_ARGUMENTS(&call, "gaussian_missing_log_density", parameters) ||
        !missing_arguments(&call, 7, &rows, &g, NULL, &missing)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = missing_log_density(&rows, &g, &missing, call.data[6]);
    Py_END_ALLOW_THREADS
    return finish(&call, unless_singular(status, Py_NewRef(Py_True)));
}

/* gaussian_missing_moments(..., responsibilities, sum_weight, first, second,
                            precision, columns, starts, edges, ridge) -> True

   As gaussian_moments; rows are conditioned for components with responsibilities that are not
   negligible. */
static PyObject *
gaussian_missing_moments(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                         Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        GAUSSIAN_PARAMETERS("d"), {"responsibilities", "d", "Kn", READ}, GAUSSIAN_SUMS,
        MISSING_PARAMETERS};
    Call call;
    Rows rows;
    Gaussians g;
    Sums sums;
    Missing missing;
    int status;
    if (!READ_ARGUMENTS(&call, "gaussian_missing_moments", parameters) ||
        !missing_arguments(&call, 10, &rows, &g, &sums, &missing)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = missing_moments(&rows, &g, &missing, call.data[6], &sums);
    Py_END_ALLOW_THREADS
    return finish(&call, unless_singular(status, Py_NewRef(Py_True)));
}
