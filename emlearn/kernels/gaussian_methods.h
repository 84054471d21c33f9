/* Arguments of all functions:

   rows       (n_features, n_rows) of 'd' or 'f', with any strides
   center, scale  n_features of 'd' each: rows are (rows - center) * scale; or None twice
   means      (n_components, n_features) of 'd'
   root       (n_components, n_features, n_features) of 'd', upper triangular, or
              (n_components, n_features): inverse standard deviations
   constants  n_components of 'd', added to -|root' (x - mean)|^2 / 2 */
static inline char
parse_gaussians(Held *held, PyObject *const *args, Rows *rows, Gaussians *g)
{
    int error = 0;
    const Py_buffer *view = hold_strided(held, args[0], 0, 2, READ);
    if (view == NULL) {
        return 0;
    }
    const char kind = view->format[0];
    const Py_ssize_t d = view->shape[0];
    *rows = (Rows){.start = view->buf,
                   .feature_stride = view->strides[0],
                   .row_stride = view->strides[1],
                   .n_rows = view->shape[1],
                   .n_features = d};
    rows->center = hold_or_none(held, args[1], 'd', d, READ, &error);
    rows->scale = hold_or_none(held, args[2], 'd', d, READ, &error);
    const Py_buffer *means = hold_strided(held, args[3], 'd', 2, READ);
    if (error || means == NULL) {
        return 0;
    }
    const Py_ssize_t K = means->shape[0];
    g->n_components = K;
    g->means = hold(held, args[3], 'd', K * d, READ);
    Py_buffer root;
    if (PyObject_GetBuffer(args[4], &root, PyBUF_ND) < 0) {
        return 0;
    }
    g->diagonal = root.ndim == 2;
    PyBuffer_Release(&root);
    g->root = hold(held, args[4], 'd', g->diagonal ? K * d : K * d * d, READ);
    g->constants = hold(held, args[5], 'd', K, READ);
    if (g->means == NULL || g->root == NULL || g->constants == NULL) {
        return 0;
    }
    if ((rows->center == NULL) != (rows->scale == NULL)) {
        PyErr_SetString(PyExc_TypeError, "center and scale go together");
        return 0;
    }
    return kind;
}

static inline int
hold_sums(Held *held, PyObject *const *args, const Gaussians *g, Py_ssize_t d, Sums *sums)
{
    const Py_ssize_t K = g->n_components;
    sums->weight = hold(held, args[0], 'd', K, WRITE);
    if (sums->weight == NULL) {
        return 0;
    }
    sums->first = hold(held, args[1], 'd', K * d, WRITE);
    if (sums->first == NULL) {
        return 0;
    }
    sums->second = hold(held, args[2], 'd', g->diagonal ? K * d : K * d * d, WRITE);
    return sums->second != NULL;
}

/* gaussian_step(rows, center, scale, means, root, constants, weight, sum_weight, first, second)
       -> sum of weight x log-density of the mixture

   weight      n_rows of 'd', or None for 1 each
   sum_weight, first, second  of 'd', sizes K, K d, and K d d (or K d): sums of r, r z and
               r z z' (or r z^2), z = x - mean, under the weighted responsibilities r: out */
static PyObject *
gaussian_step(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Rows rows;
    Gaussians g;
    if (!expect_arguments(n_args, 10)) {
        return NULL;
    }
    const char kind = parse_gaussians(&held, args, &rows, &g);
    if (kind) {
        int error = 0;
        const double *weight = hold_or_none(&held, args[6], 'd', rows.n_rows, READ, &error);
        Sums sums;
        if (!error && hold_sums(&held, args + 7, &g, rows.n_features, &sums)) {
            double objective;
            int status;
            Py_BEGIN_ALLOW_THREADS
            status = KERNEL(gaussian_step, kind)(&rows, &g, weight, &sums, &objective);
            Py_END_ALLOW_THREADS
            result = status == 0 ? PyFloat_FromDouble(objective) : PyErr_NoMemory();
        }
    }
    release(&held);
    return result;
}

/* gaussian_log_density(rows, center, scale, means, root, constants, out)

   out   (n_components, n_rows) of the kind of the rows */
static PyObject *
gaussian_log_density(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Rows rows;
    Gaussians g;
    if (!expect_arguments(n_args, 7)) {
        return NULL;
    }
    const char kind = parse_gaussians(&held, args, &rows, &g);
    void *out = kind ? hold(&held, args[6], kind, g.n_components * rows.n_rows, WRITE) : NULL;
    if (out) {
        int status;
        Py_BEGIN_ALLOW_THREADS
        status = KERNEL(gaussian_log_density, kind)(&rows, &g, out);
        Py_END_ALLOW_THREADS
        if (status == 0) {
            result = Py_NewRef(Py_None);
        } else {
            PyErr_NoMemory();
        }
    }
    release(&held);
    return result;
}

/* gaussian_moments(rows, center, scale, means, root, constants, shares,
                    sum_weight, first, second)

   shares   (n_components, n_rows) of the kind of the rows, in the place of r above */
static PyObject *
gaussian_moments(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    Rows rows;
    Gaussians g;
    Sums sums;
    if (!expect_arguments(n_args, 10)) {
        return NULL;
    }
    const char kind = parse_gaussians(&held, args, &rows, &g);
    const void *shares =
        kind ? hold(&held, args[6], kind, g.n_components * rows.n_rows, READ) : NULL;
    if (shares && hold_sums(&held, args + 7, &g, rows.n_features, &sums)) {
        int status;
        Py_BEGIN_ALLOW_THREADS
        status = KERNEL(gaussian_moments, kind)(&rows, &g, shares, &sums);
        Py_END_ALLOW_THREADS
        if (status == 0) {
            result = Py_NewRef(Py_None);
        } else {
            PyErr_NoMemory();
        }
    }
    release(&held);
    return result;
}
