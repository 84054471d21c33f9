/* Tables with missing entries, NaN, on their way into a model and out of it. */

/* Whether these are numbers of rows of the table; an exception if not. */
static int
check_order(Call *call, const int64_t *order, ptrdiff_t n_chosen, ptrdiff_t n_rows)
{
    for (ptrdiff_t i = 0; i < n_chosen; i++) {
        if (order[i] < 0 || order[i] >= n_rows) {
            return refuse(call, PyExc_IndexError, "a row number is out of range");
        }
    }
    return 1;
}

/* column_sums(table, weight, factor, weights, totals, lowest, highest)

   Adds to `weights` the weights of the rows in which a column is observed, to `totals` what is
   observed times weight times factor, and extends the ranges. Rows of weight 0 do not count. */
static PyObject *
column_sums(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"table", "df", "nD", READ},  {"weight", "d", "n", OPTIONAL}, {"factor", "#", "", READ},
        {"weights", "d", "D", WRITE}, {"totals", "d", "D", WRITE},    {"lowest", "d", "D", WRITE},
        {"highest", "d", "D", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "column_sums", parameters)) {
        return NULL;
    }
    const ptrdiff_t d = SIZE(call, 'D');
    double *part = aligned_memory(add_size(0, 2, d), sizeof(double));
    if (part == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(column_sums, call.kind)(call.data[0], call.data[1], call.number[2], SIZE(call, 'n'), d,
                                   call.data[3], call.data[4], call.data[5], call.data[6], part);
    Py_END_ALLOW_THREADS
    aligned_free(part);
    return finish(&call, Py_NewRef(Py_None));
}

/* column_squares(table, weight, center, unit, squares): adds to `squares` the weighted sums of
   ((x - center) / unit)^2 over what is observed; see `column_sums`. */
static PyObject *
column_squares(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"table", "df", "nD", READ}, {"weight", "d", "n", OPTIONAL}, {"center", "d", "D", READ},
        {"unit", "d", "D", READ},    {"squares", "d", "D", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "column_squares", parameters)) {
        return NULL;
    }
    const ptrdiff_t d = SIZE(call, 'D');
    double *part = aligned_memory(add_size(0, 1, d), sizeof(double));
    if (part == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(column_squares, call.kind)(call.data[0], call.data[1], call.data[2], call.data[3],
                                      SIZE(call, 'n'), d, call.data[4], part);
    Py_END_ALLOW_THREADS
    aligned_free(part);
    return finish(&call, Py_NewRef(Py_None));
}

/* standardize(table, order, center, scale, factor, out)
   out = (table[order] - center) / scale x factor, 0 where missing

   order   numbers of rows
   factor  one for each of these rows, or None for 1 each */
static PyObject *
standardize(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"table", "df", "nD", READ}, {"order", "q", "m", PRIVATE},    {"center", "d", "D", READ},
        {"scale", "d", "D", READ},   {"factor", "d", "m", OPTIONAL}, {"out", "d", "mD", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "standardize", parameters) ||
        !check_order(&call, call.data[1], SIZE(call, 'm'), SIZE(call, 'n'))) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(standardize, call.kind)(call.data[0], call.data[1], call.data[2], call.data[3],
                                   call.data[4], SIZE(call, 'm'), SIZE(call, 'D'), call.data[5]);
    Py_END_ALLOW_THREADS
    return finish(&call, Py_NewRef(Py_None));
}

/* fill_missing(values, order, missing, center, scale, table)
   table[order] = values x scale + center where missing

   order    numbers of rows, none twice
   missing  for each of these rows */
static PyObject *
fill_missing(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"values", "d", "mD", READ}, {"order", "q", "m", PRIVATE}, {"missing", "?", "mD", READ},
        {"center", "d", "D", READ},  {"scale", "d", "D", READ},    {"table", "df", "nD", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "fill_missing", parameters) ||
        !check_order(&call, call.data[1], SIZE(call, 'm'), SIZE(call, 'n'))) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    KERNEL(fill_missing, call.kind)(call.data[0], call.data[1], call.data[2], call.data[3],
                                    call.data[4], SIZE(call, 'm'), SIZE(call, 'D'), call.data[5]);
    Py_END_ALLOW_THREADS
    return finish(&call, Py_NewRef(Py_None));
}

/* center_observed(rows, factor, missing, mean, out): out = rows - factor x mean, 0 where missing

   rows    0 where missing */
static PyObject *
center_observed(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"rows", "d", "nD", READ}, {"factor", "d", "n", READ}, {"missing", "?", "nD", READ},
        {"mean", "d", "D", READ},  {"out", "d", "nD", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "center_observed", parameters)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    center_observed_d(call.data[0], call.data[1], call.data[2], call.data[3], SIZE(call, 'n'),
                      SIZE(call, 'D'), call.data[4]);
    Py_END_ALLOW_THREADS
    return finish(&call, Py_NewRef(Py_None));
}
