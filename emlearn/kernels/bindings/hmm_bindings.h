/* Sequences follow one another: sequence s has the rows edges[s]:edges[s + 1]. */

/* Whether the edges rise from 0 to the number of rows; an exception if not. */
static int
check_edges(Call *call, const int64_t *edges, ptrdiff_t n_sequences, ptrdiff_t n_rows)
{
    int valid = n_sequences >= 1 && edges[0] == 0 && edges[n_sequences] == n_rows;
    for (ptrdiff_t s = 0; valid && s < n_sequences; s++) {
        valid = edges[s] < edges[s + 1];
    }
    return valid || refuse(call, PyExc_ValueError,
                           "the edges must rise from 0 to the number of rows");
}

/* forward_backward(joint, edges, start, transition, weight, density, first, xi)
       -> number of sequences that needed log space

   joint       log-densities of the rows in each state; overwritten by the posterior
               probabilities of the states, times the weight of the sequence
   start       probabilities of the states in the first row of a sequence
   transition  probabilities of the next state (column) given the last one (row)
   weight      of the sequences, positive; None for 1 each
   density     log-likelihoods of the sequences: out
   first       sum of the probabilities in first rows: out
   xi          expected number of transitions: out */
static PyObject *
forward_backward(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"joint", "d", "Kn", WRITE},     {"edges", "q", "s+", PRIVATE},
        {"start", "d", "K", READ},       {"transition", "d", "KK", READ},
        {"weight", "d", "s", OPTIONAL},  {"density", "d", "s", WRITE},
        {"first", "d", "K", WRITE},      {"xi", "d", "KK", WRITE},
    };
    Call call;
    ptrdiff_t n_log_space;
    if (!READ_ARGUMENTS(&call, "forward_backward", parameters) ||
        !check_edges(&call, call.data[1], SIZE(call, 's'), SIZE(call, 'n'))) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    n_log_space = forward_backward_all(call.data[0], SIZE(call, 'K'), SIZE(call, 'n'),
                                       call.data[1], SIZE(call, 's'), call.data[2], call.data[3],
                                       call.data[4], call.data[5], call.data[6], call.data[7]);
    Py_END_ALLOW_THREADS
    return finish(&call, n_log_space < 0 ? PyErr_NoMemory() : PyLong_FromSsize_t(n_log_space));
}

/* viterbi(joint, edges, start, transition, path, score)

   joint  log-densities, without NaN and +inf
   edges, start, transition: as in forward_backward
   path   states: out
   score  joint log-density of the path and the rows: out */
static PyObject *
viterbi(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"joint", "d", "Kn", READ}, {"edges", "q", "s+", PRIVATE},
        {"start", "d", "K", READ},  {"transition", "d", "KK", READ},
        {"path", "q", "n", WRITE},  {"score", "d", "s", WRITE},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "viterbi", parameters) ||
        !check_edges(&call, call.data[1], SIZE(call, 's'), SIZE(call, 'n'))) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = viterbi_all(call.data[0], SIZE(call, 'K'), SIZE(call, 'n'), call.data[1],
                         SIZE(call, 's'), call.data[2], call.data[3], call.data[4], call.data[5]);
    Py_END_ALLOW_THREADS
    return finish(&call, nothing_or_no_memory(status));
}
