/* potts_sweep(joint, probabilities, mask, coupling) -> sum of log-normalizers less edges

   One update of the mean field of a Potts model: first the voxels whose coordinates have an even
   sum, then the others.

   joint          log-prior + log-density of each class
   probabilities  of the classes, 0 outside of the mask: in and out
   mask           voxels of the image; None for all
   coupling       of neighbors along the three axes */
static PyObject *
potts_sweep(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"joint", "df", "KABC", READ},
        {"probabilities", "=", "KABC", WRITE},
        {"mask", "?", "ABC", OPTIONAL},
        {"coupling", "d", "T", READ},
    };
    Call call;
    double sum;
    int status;
    if (!READ_ARGUMENTS(&call, "potts_sweep", parameters)) {
        return NULL;
    }
    if (SIZE(call, 'T') != 3) {
        refuse(&call, PyExc_ValueError, "there must be three couplings");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = KERNEL(potts_sweep, call.kind)(call.data[0], call.data[1], call.data[2],
                                            SIZE(call, 'K'), SIZE(call, 'A'), SIZE(call, 'B'),
                                            SIZE(call, 'C'), call.data[3], &sum);
    Py_END_ALLOW_THREADS
    return finish(&call, status == 0 ? PyFloat_FromDouble(sum) : PyErr_NoMemory());
}
