/* Sequences lie one after another: sequence s has the rows edges[s] to edges[s + 1]. */

/* The edges of sequences, held, and their number; NULL with an exception set if they do not
   rise from 0 to n_rows, or there are no states. */
static const int64_t *
hold_edges(Held *held, PyObject *array, Py_ssize_t n_states, Py_ssize_t n_rows,
           Py_ssize_t *n_sequences)
{
    const Py_buffer *view = hold_strided(held, array, 'q', 1, READ);
    if (view == NULL) {
        return NULL;
    }
    const int64_t *edges = hold(held, array, 'q', view->shape[0], READ);
    if (edges == NULL) {
        return NULL;
    }
    *n_sequences = view->shape[0] - 1;
    int valid = n_states >= 1 && *n_sequences >= 1 && edges[0] == 0 &&
                edges[*n_sequences] == n_rows;
    for (Py_ssize_t s = 0; valid && s < *n_sequences; s++) {
        valid = edges[s] < edges[s + 1];
    }
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "the edges must rise from 0 to the number of rows");
        return NULL;
    }
    return edges;
}

/* smooth_chains(joint, edges, start, transition, weight, density, first, pairs)
       -> number of sequences that needed logarithms

   joint       (n_states, n_rows) of 'd': log-densities; overwritten by the smoothed
               probabilities of the states times the weight of the sequence
   edges       n_sequences + 1 of 'q'
   start       n_states of 'd'
   transition  n_states^2 of 'd'
   weight      n_sequences of 'd', positive, or None for 1 each
   density     n_sequences of 'd': log-likelihoods, out
   first       n_states of 'd': sum of the probabilities of the first rows, out
   pairs       n_states^2 of 'd': expected number of transitions, out */
static PyObject *
smooth_chains(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    if (!expect_arguments(n_args, 8)) {
        return NULL;
    }
    const Py_buffer *view = hold_strided(&held, args[0], 'd', 2, WRITE);
    if (view == NULL) {
        goto done;
    }
    const Py_ssize_t n_states = view->shape[0], n_rows = view->shape[1];
    const Py_ssize_t square = n_states * n_states;
    Py_ssize_t n_sequences = 0;
    const int64_t *edges = hold_edges(&held, args[1], n_states, n_rows, &n_sequences);
    if (edges == NULL) {
        goto done;
    }
    double *joint = hold(&held, args[0], 'd', n_states * n_rows, WRITE);
    const double *start = joint ? hold(&held, args[2], 'd', n_states, READ) : NULL;
    const double *transition = start ? hold(&held, args[3], 'd', square, READ) : NULL;
    int error = transition == NULL;
    const double *weight =
        error ? NULL : hold_or_none(&held, args[4], 'd', n_sequences, READ, &error);
    double *density = error ? NULL : hold(&held, args[5], 'd', n_sequences, WRITE);
    double *first = density ? hold(&held, args[6], 'd', n_states, WRITE) : NULL;
    double *pairs = first ? hold(&held, args[7], 'd', square, WRITE) : NULL;
    if (pairs != NULL) {
        Py_ssize_t n_careful;
        Py_BEGIN_ALLOW_THREADS
        n_careful = chain_smooth_all(joint, n_states, n_rows, edges, n_sequences, start,
                                     transition, weight, density, first, pairs);
        Py_END_ALLOW_THREADS
        result = n_careful < 0 ? PyErr_NoMemory() : PyLong_FromSsize_t(n_careful);
    }
done:
    release(&held);
    return result;
}

/* most_probable_paths(joint, edges, start, transition, path, score)

   joint       (n_states, n_rows) of 'd': log-densities, without NaN and +inf
   edges, start, transition: as in smooth_chains
   path        n_rows of 'q': states, out
   score       n_sequences of 'd': log-probability of the path and the rows together, out */
static PyObject *
most_probable_paths(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    if (!expect_arguments(n_args, 6)) {
        return NULL;
    }
    const Py_buffer *view = hold_strided(&held, args[0], 'd', 2, READ);
    if (view == NULL) {
        goto done;
    }
    const Py_ssize_t n_states = view->shape[0], n_rows = view->shape[1];
    Py_ssize_t n_sequences = 0;
    const int64_t *edges = hold_edges(&held, args[1], n_states, n_rows, &n_sequences);
    if (edges == NULL) {
        goto done;
    }
    const double *joint = hold(&held, args[0], 'd', n_states * n_rows, READ);
    const double *start = joint ? hold(&held, args[2], 'd', n_states, READ) : NULL;
    const double *transition =
        start ? hold(&held, args[3], 'd', n_states * n_states, READ) : NULL;
    int64_t *path = transition ? hold(&held, args[4], 'q', n_rows, WRITE) : NULL;
    double *score = path ? hold(&held, args[5], 'd', n_sequences, WRITE) : NULL;
    if (score != NULL) {
        int done_all;
        Py_BEGIN_ALLOW_THREADS
        done_all = chain_paths(joint, n_states, n_rows, edges, n_sequences, start, transition,
                               path, score);
        Py_END_ALLOW_THREADS
        if (done_all) {
            Py_INCREF(Py_None);
            result = Py_None;
        }
        else {
            PyErr_NoMemory();
        }
    }
done:
    release(&held);
    return result;
}
