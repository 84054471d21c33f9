/* responsibilities(joint, weight, density) -> sum of weight x log-density

   joint    log(weight_k) + log-density_k of each row; overwritten by responsibilities x weight
   weight   None for 1 each; the log-density of a row of weight 0 does not count
   density  log-densities of the rows: out, or None */
static PyObject *
responsibilities(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"joint", "df", "Kn", WRITE},
        {"weight", "d", "n", OPTIONAL},
        {"density", "d", "n", OPTIONAL | WRITE},
    };
    Call call;
    double sum;
    int status;
    if (!READ_ARGUMENTS(&call, "responsibilities", parameters)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = KERNEL(responsibilities, call.kind)(call.data[0], SIZE(call, 'K'), SIZE(call, 'n'),
                                                 call.data[1], call.data[2], &sum);
    Py_END_ALLOW_THREADS
    return finish(&call, status == 0 ? PyFloat_FromDouble(sum) : PyErr_NoMemory());
}
