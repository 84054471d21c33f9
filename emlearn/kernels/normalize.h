/* normalize(joint, weight, density) -> sum of weight x log-density

   joint    (n_components, n_rows) of 'd' or 'f'; overwritten by responsibilities x weight
   weight   n_rows of 'd', or None for 1 each
   density  n_rows of 'd' for the log-densities, or None */
static PyObject *
normalize(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    if (!expect_arguments(n_args, 3)) {
        return NULL;
    }
    const Py_buffer *view = hold_strided(&held, args[0], 0, 2, WRITE);
    if (view == NULL) {
        goto done;
    }
    const char kind = view->format[0];
    const Py_ssize_t n_components = view->shape[0], n_rows = view->shape[1];
    if (n_components == 0) {
        PyErr_SetString(PyExc_TypeError, "there are no components");
        goto done;
    }
    void *joint = hold(&held, args[0], kind, n_components * n_rows, WRITE);
    int error = joint == NULL;
    const double *weight = hold_or_none(&held, args[1], 'd', n_rows, READ, &error);
    double *density = hold_or_none(&held, args[2], 'd', n_rows, WRITE, &error);
    if (!error) {
        double sum;
        int status;
        Py_BEGIN_ALLOW_THREADS
        status = KERNEL(normalize, kind)(joint, n_components, n_rows, weight, density, &sum);
        Py_END_ALLOW_THREADS
        result = status == 0 ? PyFloat_FromDouble(sum) : PyErr_NoMemory();
    }
done:
    release(&held);
    return result;
}
