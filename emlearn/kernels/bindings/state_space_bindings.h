/* Linear Gaussian states of a group of sequences; see emlearn/kernels/state_space.py.

   The first arguments of both functions are

   transition    A: (states, states)
   noise_root    L: (states, noises)
   rows          of observations of unit noise: (rows, states)
   index         rows that are observed in each pattern, one pattern after another
   bounds        where each pattern begins and ends in `index`
   pattern       of each step
   initial_root  root of the covariance of the first state: (states, states)
   observations  observed entries, one step after another: (sequences, observations)
   inputs        what is added after each step: (sequences, steps, states), or None
   initial       expected first states: (sequences, states)
   tolerance     relative change of roots of covariances that is taken for none
   innovations   in standard deviations: (sequences, observations): out */

#define STATE_SPACE_PARAMETERS \
    {"transition", "d", "NN", READ},     {"noise_root", "d", "Nq", READ}, \
    {"rows", "d", "mN", READ},           {"index", "q", "e", PRIVATE}, \
    {"bounds", "q", "P+", PRIVATE},      {"pattern", "q", "T", PRIVATE}, \
    {"initial_root", "d", "NN", READ},   {"observations", "d", "Go", READ}, \
    {"inputs", "d", "GTN", OPTIONAL},    {"initial", "d", "GN", READ}, \
    {"tolerance", "#", "", READ},        {"innovations", "d", "Go", WRITE}

/* The problem that the first arguments describe; an exception if they do not fit each other. */
static int
read_state_space(Call *call, StateSpace *problem)
{
    const ptrdiff_t n_patterns = SIZE(*call, 'P'), n_steps = SIZE(*call, 'T');
    const ptrdiff_t n_observations = SIZE(*call, 'o');
    *problem = (StateSpace){
        .n = SIZE(*call, 'N'), .n_noises = SIZE(*call, 'q'), .n_rows = SIZE(*call, 'm'),
        .n_patterns = n_patterns, .n_steps = n_steps, .n_sequences = SIZE(*call, 'G'),
        .n_observations = n_observations, .tolerance = call->number[10],
        .transition = call->data[0], .noise_root = call->data[1], .rows = call->data[2],
        .index = call->data[3], .bounds = call->data[4], .pattern = call->data[5],
        .initial_root = call->data[6], .observations = call->data[7], .inputs = call->data[8],
        .initial = call->data[9]};
    const int64_t *bounds = problem->bounds, *pattern = problem->pattern;
    int fits = bounds[0] >= 0 && bounds[n_patterns] <= SIZE(*call, 'e');
    for (ptrdiff_t p = 0; fits && p < n_patterns; p++) {
        fits = bounds[p] <= bounds[p + 1];
    }
    for (ptrdiff_t i = 0; fits && i < SIZE(*call, 'e'); i++) {
        fits = problem->index[i] >= 0 && problem->index[i] < problem->n_rows;
    }
    if (!fits) {
        return refuse(call, PyExc_ValueError, "there are patterns that do not fit the rows");
    }
    ptrdiff_t left = n_observations;
    for (ptrdiff_t t = 0; fits && t < n_steps; t++) {
        fits = pattern[t] >= 0 && pattern[t] < n_patterns;
        left -= fits ? (ptrdiff_t)(bounds[pattern[t] + 1] - bounds[pattern[t]]) : 0;
        fits = fits && left >= 0;
    }
    return (fits && left == 0) ||
           refuse(call, PyExc_ValueError, "there are other observations than the patterns say");
}

/* filter_states(..., innovations, predicted, filtered, covariances, last_root)
       -> sum of the logarithms of the variances of the innovations of a sequence

   predicted    expected states given earlier observations: (sequences, steps, states): out
   filtered     the same given also those of the step: out
   covariances  of the predicted states and of the filtered ones: (2, steps, states, states):
                out, or None
   last_root    root of the covariance of the last filtered state: (states, states): out */
static PyObject *
filter_states(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        STATE_SPACE_PARAMETERS,
        {"predicted", "d", "GTN", WRITE},
        {"filtered", "d", "GTN", WRITE},
        {"covariances", "d", "KTNN", OPTIONAL | WRITE},
        {"last_root", "d", "NN", WRITE},
    };
    Call call;
    StateSpace problem;
    double log_determinant = 0.0;
    int status;
    if (!READ_ARGUMENTS(&call, "filter_states", parameters) ||
        !read_state_space(&call, &problem)) {
        return NULL;
    }
    if (call.data[14] && SIZE(call, 'K') != 2) {
        refuse(&call, PyExc_ValueError, "there must be room for two covariances of each step");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = filter_states_all(&problem, call.data[11], call.data[12], call.data[13],
                               call.data[14], call.data[15], &log_determinant);
    Py_END_ALLOW_THREADS
    return finish(&call, status < 0 ? PyErr_NoMemory() : PyFloat_FromDouble(log_determinant));
}

/* smooth_states(..., innovations, means, of_pattern, squares, covariances, last_mean)
       -> sum of the logarithms of the variances of the innovations of a sequence

   means        expected states given all observations: (sequences, steps, states): out
   of_pattern   sums of their covariances over the steps of each pattern: (patterns, states,
                states): out
   squares      covariances of the first and of the last state, sums of N and of N A P, and a
                root of the covariance of the last filtered state: (5, states, states): out
   covariances  of the states: (steps, states, states): out, or None
   last_mean    last filtered states: (sequences, states): out */
static PyObject *
smooth_states(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        STATE_SPACE_PARAMETERS,
        {"means", "d", "GTN", WRITE},
        {"of_pattern", "d", "PNN", WRITE},
        {"squares", "d", "KNN", WRITE},
        {"covariances", "d", "TNN", OPTIONAL | WRITE},
        {"last_mean", "d", "GN", WRITE},
    };
    Call call;
    StateSpace problem;
    double log_determinant = 0.0;
    int status;
    if (!READ_ARGUMENTS(&call, "smooth_states", parameters) ||
        !read_state_space(&call, &problem)) {
        return NULL;
    }
    if (SIZE(call, 'K') != 5) {
        refuse(&call, PyExc_ValueError, "there must be 5 squares");
        return NULL;
    }
    double *squares = call.data[14];
    const ptrdiff_t square = problem.n * problem.n;
    const SmoothedSums sums = {.of_pattern = call.data[13], .first = squares,
                               .last = squares + square, .information = squares + 2 * square,
                               .cross = squares + 3 * square, .covariances = call.data[15]};
    Py_BEGIN_ALLOW_THREADS
    status = smooth_states_all(&problem, call.data[11], call.data[12], call.data[16],
                               squares + 4 * square, &sums, &log_determinant);
    Py_END_ALLOW_THREADS
    return finish(&call, status < 0 ? PyErr_NoMemory() : PyFloat_FromDouble(log_determinant));
}
