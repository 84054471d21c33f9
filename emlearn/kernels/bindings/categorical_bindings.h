/* Releases the arguments, and returns None or raises by the status of a kernel. */
static PyObject *
finish_lookup(Call *call, int status)
{
    if (status == -2) {
        refuse(call, PyExc_IndexError, "a code is beyond the table");
        return NULL;
    }
    return finish(call, nothing_or_no_memory(status));
}

/* categorical_log_density(codes, table, out): out[k, i] += sum over g of table[k, codes[i, g]]

   codes  each within the table
   table  log-probabilities of all codes
   out    undefined where a code is not within the table */
static PyObject *
categorical_log_density(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                        Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"codes", "i", "ng", READ},
        {"table", "d", "Kc", READ},
        {"out", "d", "Kn", WRITE},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "categorical_log_density", parameters)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = categorical_log_density_all(call.data[0], SIZE(call, 'n'), SIZE(call, 'g'),
                                         call.data[1], SIZE(call, 'c'), SIZE(call, 'K'),
                                         call.data[2]);
    Py_END_ALLOW_THREADS
    return finish_lookup(&call, status);
}

/* categorical_counts(codes, counts, responsibilities)
   counts[k, c] = sum of responsibilities[k, i] over codes[i, g] == c

   codes   each below the number of counts
   counts  out; undefined where a code is not */
static PyObject *
categorical_counts(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                   Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"codes", "i", "ng", READ},
        {"counts", "d", "Kc", WRITE},
        {"responsibilities", "d", "Kn", READ},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "categorical_counts", parameters)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = categorical_counts_all(call.data[0], SIZE(call, 'n'), SIZE(call, 'g'), call.data[2],
                                    SIZE(call, 'c'), SIZE(call, 'K'), call.data[1]);
    Py_END_ALLOW_THREADS
    return finish_lookup(&call, status);
}
