/* Arguments that all functions begin with:

   rows                the values of a feature after those of another, with any strides
   center, scale       rows are (rows - center) * scale; or None twice
   means               of the components
   precision_cholesky  upper triangular P with inverse covariance = P P', or inverse standard
                       deviations
   constants           added to -|P' (x - mean)|^2 / 2

   and sums that they end with:

   sum_weight, first, second  sums of r, r z and r z z' (or r z^2), z = x - mean: out */
#define GAUSSIAN_PARAMETERS(kinds) \
    {"rows", kinds, "Dn", STRIDED}, {"center", "d", "D", OPTIONAL}, \
    {"scale", "d", "D", OPTIONAL}, {"means", "d", "KD", READ}, \
    {"precision_cholesky", "d", "KD|KDD", READ}, {"constants", "d", "K", READ}
#define GAUSSIAN_SUMS \
    {"sum_weight", "d", "K", WRITE}, {"first", "d", "KD", WRITE}, \
    {"second", "d", "KD|KDD", WRITE}

/* The arguments as the kernels take them; 0 with an exception if they do not fit each other. */
static int
gaussian_arguments(Call *call, Rows *rows, Gaussians *g, Sums *sums)
{
    const Py_buffer *view = call->views;
    *rows = (Rows){.start = view->buf,
                   .feature_stride = view->strides[0],
                   .row_stride = view->strides[1],
                   .n_rows = SIZE(*call, 'n'),
                   .n_features = SIZE(*call, 'D'),
                   .center = call->data[1],
                   .scale = call->data[2]};
    *g = (Gaussians){.n_components = SIZE(*call, 'K'),
                     .means = call->data[3],
                     .precision_cholesky = call->data[4],
                     .constants = call->data[5],
                     .diagonal = view[4].ndim == 2};
    if ((rows->center == NULL) != (rows->scale == NULL)) {
        return refuse(call, PyExc_TypeError, "center and scale go together");
    }
    if (sums != NULL) {
        *sums = (Sums){call->data[7], call->data[8], call->data[9]};
        if (view[9].ndim != view[4].ndim) {
            return refuse(call, PyExc_TypeError,
                          "second must have the dimensions of precision_cholesky");
        }
    }
    return 1;
}

/* gaussian_step(..., weight, sum_weight, first, second)
       -> sum of weight x log-density of the mixture

   weight  None for 1 each; times the responsibilities it is r */
static PyObject *
gaussian_step(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        GAUSSIAN_PARAMETERS("df"), {"weight", "d", "n", OPTIONAL}, GAUSSIAN_SUMS};
    Call call;
    Rows rows;
    Gaussians g;
    Sums sums;
    double objective;
    int status;
    if (!READ_ARGUMENTS(&call, "gaussian_step", parameters) ||
        !gaussian_arguments(&call, &rows, &g, &sums)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = KERNEL(gaussian_step, call.kind)(&rows, &g, call.data[6], &sums, &objective);
    Py_END_ALLOW_THREADS
    return finish(&call, status == 0 ? PyFloat_FromDouble(objective) : PyErr_NoMemory());
}

/* gaussian_log_density(..., out) */
static PyObject *
gaussian_log_density(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                     Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {GAUSSIAN_PARAMETERS("df"), {"out", "=", "Kn", WRITE}};
    Call call;
    Rows rows;
    Gaussians g;
    int status;
    if (!READ_ARGUMENTS(&call, "gaussian_log_density", parameters) ||
        !gaussian_arguments(&call, &rows, &g, NULL)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = KERNEL(gaussian_log_density, call.kind)(&rows, &g, call.data[6]);
    Py_END_ALLOW_THREADS
    return finish(&call, nothing_or_no_memory(status));
}

/* gaussian_moments(..., responsibilities, sum_weight, first, second)

   responsibilities  r */
static PyObject *
gaussian_moments(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        GAUSSIAN_PARAMETERS("df"), {"responsibilities", "=", "Kn", READ}, GAUSSIAN_SUMS};
    Call call;
    Rows rows;
    Gaussians g;
    Sums sums;
    int status;
    if (!READ_ARGUMENTS(&call, "gaussian_moments", parameters) ||
        !gaussian_arguments(&call, &rows, &g, &sums)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = KERNEL(gaussian_moments, call.kind)(&rows, &g, call.data[6], &sums);
    Py_END_ALLOW_THREADS
    return finish(&call, nothing_or_no_memory(status));
}
