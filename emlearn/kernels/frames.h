/* Tables with missing entries on their way into a model and out of it: Python's side. */

/* The table and its kind of numbers; NULL with an exception set. */
static void *
hold_table(Held *held, PyObject *array, int access, Py_ssize_t *n_rows, Py_ssize_t *n_columns,
           char *kind)
{
    const Py_buffer *view = hold_strided(held, array, 0, 2, READ);
    if (view == NULL) {
        return NULL;
    }
    *n_rows = view->shape[0];
    *n_columns = view->shape[1];
    *kind = view->format[0];
    return hold(held, array, *kind, *n_rows * *n_columns, access);
}

/* Numbers of rows of a table, checked. */
static const int64_t *
hold_order(Held *held, PyObject *array, Py_ssize_t n_rows, Py_ssize_t *n_chosen)
{
    const Py_buffer *view = hold_strided(held, array, 'q', 1, READ);
    if (view == NULL) {
        return NULL;
    }
    *n_chosen = view->shape[0];
    const int64_t *order = hold(held, array, 'q', *n_chosen, READ);
    for (Py_ssize_t i = 0; order != NULL && i < *n_chosen; i++) {
        if (order[i] < 0 || order[i] >= n_rows) {
            PyErr_SetString(PyExc_IndexError, "a row number is out of range");
            return NULL;
        }
    }
    return order;
}

/* column_sums(table, weight, share, weights, totals, lowest, highest)

   Adds to `weights` the weights of the rows in which a column is observed, to `totals` what is
   observed times weight times share, and extends the ranges. Rows of weight 0 do not count.

   table    (n_rows, d) of 'd' or 'f'
   weight   n_rows of 'd', or None for 1 each
   share    float
   others   d of 'd' each */
static PyObject *
column_sums(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Py_ssize_t n_rows, d;
    char kind;
    int error = 0;
    if (!expect_arguments(n_args, 7)) {
        return NULL;
    }
    const void *table = hold_table(&held, args[0], READ, &n_rows, &d, &kind);
    if (table == NULL) {
        goto done;
    }
    const double *weight = hold_or_none(&held, args[1], 'd', n_rows, READ, &error);
    const double share = PyFloat_AsDouble(args[2]);
    double *weights = hold(&held, args[3], 'd', d, WRITE);
    double *totals = hold(&held, args[4], 'd', d, WRITE);
    double *lowest = hold(&held, args[5], 'd', d, WRITE);
    double *highest = hold(&held, args[6], 'd', d, WRITE);
    if (PyErr_Occurred()) {
        goto done;
    }
    double *part = aligned(2 * (size_t)d * sizeof(double));
    if (part == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(column_sums, kind)(table, weight, share, n_rows, d, weights, totals, lowest, highest,
                              part);
    Py_END_ALLOW_THREADS
    free(part);
    result = Py_NewRef(Py_None);
done:
    release(&held);
    return result;
}

/* column_squares(table, weight, centre, unit, squares): adds to `squares` the weighted sums of
   ((x - centre) / unit)^2 over what is observed; see `column_sums`. */
static PyObject *
column_squares(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Py_ssize_t n_rows, d;
    char kind;
    int error = 0;
    if (!expect_arguments(n_args, 5)) {
        return NULL;
    }
    const void *table = hold_table(&held, args[0], READ, &n_rows, &d, &kind);
    if (table == NULL) {
        goto done;
    }
    const double *weight = hold_or_none(&held, args[1], 'd', n_rows, READ, &error);
    const double *centre = hold(&held, args[2], 'd', d, READ);
    const double *unit = hold(&held, args[3], 'd', d, READ);
    double *squares = hold(&held, args[4], 'd', d, WRITE);
    if (PyErr_Occurred()) {
        goto done;
    }
    double *part = aligned((size_t)d * sizeof(double));
    if (part == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(column_squares, kind)(table, weight, centre, unit, n_rows, d, squares, part);
    Py_END_ALLOW_THREADS
    free(part);
    result = Py_NewRef(Py_None);
done:
    release(&held);
    return result;
}

/* standardize(table, order, centre, scale, share, out)
   out = (table[order] - centre) / scale x share, 0 where missing

   table    (n_rows, d) of 'd' or 'f'
   order    n_chosen of 'q'
   centre   d of 'd'
   scale    d of 'd'
   share    n_chosen of 'd', or None for 1 each
   out      (n_chosen, d) of 'd' */
static PyObject *
standardize(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Py_ssize_t n_rows, d, n_chosen = 0;
    char kind;
    int error = 0;
    if (!expect_arguments(n_args, 6)) {
        return NULL;
    }
    const void *table = hold_table(&held, args[0], READ, &n_rows, &d, &kind);
    const int64_t *order = table ? hold_order(&held, args[1], n_rows, &n_chosen) : NULL;
    if (order == NULL) {
        goto done;
    }
    const double *centre = hold(&held, args[2], 'd', d, READ);
    const double *scale = hold(&held, args[3], 'd', d, READ);
    const double *share = hold_or_none(&held, args[4], 'd', n_chosen, READ, &error);
    double *out = hold(&held, args[5], 'd', n_chosen * d, WRITE);
    if (PyErr_Occurred()) {
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(standardize, kind)(table, order, centre, scale, share, n_chosen, d, out);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release(&held);
    return result;
}

/* restore(values, order, missing, centre, scale, table)
   table[order] = values x scale + centre where missing

   values   (n_chosen, d) of 'd'
   order    n_chosen of 'q', no number twice
   missing  (n_chosen, d) of '?'
   centre   d of 'd'
   scale    d of 'd'
   table    (n_rows, d) of 'd' or 'f' */
static PyObject *
restore(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Py_ssize_t n_rows, d, n_chosen = 0;
    char kind;
    if (!expect_arguments(n_args, 6)) {
        return NULL;
    }
    void *table = hold_table(&held, args[5], WRITE, &n_rows, &d, &kind);
    const int64_t *order = table ? hold_order(&held, args[1], n_rows, &n_chosen) : NULL;
    if (order == NULL) {
        goto done;
    }
    const double *values = hold(&held, args[0], 'd', n_chosen * d, READ);
    const uint8_t *missing = hold(&held, args[2], '?', n_chosen * d, READ);
    const double *centre = hold(&held, args[3], 'd', d, READ);
    const double *scale = hold(&held, args[4], 'd', d, READ);
    if (PyErr_Occurred()) {
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(restore, kind)(values, order, missing, centre, scale, n_chosen, d, table);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release(&held);
    return result;
}

/* deviate(rows, share, missing, mean, out): out = rows - share x mean, 0 where missing

   rows     (n_rows, d) of 'd', 0 where missing
   share    n_rows of 'd'
   missing  (n_rows, d) of '?'
   mean     d of 'd'
   out      (n_rows, d) of 'd' */
static PyObject *
deviate(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    if (!expect_arguments(n_args, 5)) {
        return NULL;
    }
    const Py_buffer *view = hold_strided(&held, args[0], 'd', 2, READ);
    if (view == NULL) {
        goto done;
    }
    const Py_ssize_t n_rows = view->shape[0], d = view->shape[1];
    const double *rows = hold(&held, args[0], 'd', n_rows * d, READ);
    const double *share = hold(&held, args[1], 'd', n_rows, READ);
    const uint8_t *missing = hold(&held, args[2], '?', n_rows * d, READ);
    const double *mean = hold(&held, args[3], 'd', d, READ);
    double *out = hold(&held, args[4], 'd', n_rows * d, WRITE);
    if (PyErr_Occurred()) {
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    deviate_d(rows, share, missing, mean, n_rows, d, out);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release(&held);
    return result;
}
