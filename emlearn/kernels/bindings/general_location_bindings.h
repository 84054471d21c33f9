/* The general location model: arguments that its functions have in common.

   numbers            0 where missing
   missing            rows should be sorted by pattern
   codes              the level within its category; negative where missing
   offsets            the first level of each category, and their total number T
   log_weights        logarithms of the weights of the classes
   log_probabilities  logarithms of the probabilities of levels
   means              of the numbers in each class
   effects            of levels on the numbers
   covariances        one, or one for each class
   most               combinations of missing levels up to which they are enumerated */
#define LOCATION_ARGUMENTS \
    {"numbers", "d", "nq", READ}, {"missing", "?", "nq", READ}, {"codes", "i", "nj", READ}, \
        {"offsets", "q", "j+", PRIVATE}, {"log_weights", "d", "K", READ}, \
        {"log_probabilities", "d", "Kt", READ}, {"means", "d", "Kq", READ}, \
        {"effects", "d", "tq", READ}, {"covariances", "d", "cqq", READ}, {"most", "#", "", READ}

#define MOST_COMBINATIONS 16777216.0

/* Returns 0 with an exception if the arguments do not fit each other. */
static int
read_location(Call *call, LocationModel *m)
{
    const int64_t *offsets = call->data[3];
    const double most = call->number[9];
    *m = (LocationModel){
        .n = SIZE(*call, 'n'), .q = SIZE(*call, 'q'), .J = SIZE(*call, 'j'),
        .T = SIZE(*call, 't'), .K = SIZE(*call, 'K'), .n_covariances = SIZE(*call, 'c'),
        .numbers = call->data[0], .missing = call->data[1], .codes = call->data[2],
        .offsets = offsets, .log_weights = call->data[4], .log_probabilities = call->data[5],
        .means = call->data[6], .effects = call->data[7], .covariances = call->data[8],
    };
    if (m->n_covariances != 1 && m->n_covariances != m->K) {
        return refuse(call, PyExc_ValueError, "there must be one covariance, or one for each class");
    }
    if (!(most >= 1.0 && most <= MOST_COMBINATIONS)) {
        return refuse(call, PyExc_ValueError, "most is out of range");
    }
    m->most = (ptrdiff_t)most;
    for (ptrdiff_t j = 0; j < m->J; j++) {
        if (offsets[j + 1] <= offsets[j]) {
            return refuse(call, PyExc_ValueError, "a category has no level");
        }
    }
    if (offsets[0] != 0 || offsets[m->J] != m->T) {
        return refuse(call, PyExc_ValueError, "offsets do not fit the levels");
    }
    return 1;
}

static PyObject *
finish_location(Call *call, int status, PyObject *(*result)(double), double value)
{
    if (status == -2) {
        refuse(call, PyExc_IndexError, "a code is beyond its category");
        return NULL;
    }
    if (status == -3) {
        refuse(call, PyExc_ArithmeticError, "a covariance is not positive definite");
        return NULL;
    }
    if (status < 0) {
        return finish(call, PyErr_NoMemory());
    }
    return finish(call, result ? result(value) : Py_NewRef(Py_None));
}

/* location_expect(..., weight, weights, first, second, pairs, cross) -> log-likelihood

   weight   of the rows
   weights, first, second
            out: of the classes, and moments of their numbers; lower triangles
   pairs    out: of levels; upper triangles, on the diagonal of single levels
   cross    out: sums of numbers of rows with each level */
static PyObject *
general_location_expect(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                        Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        LOCATION_ARGUMENTS,
        {"weight", "d", "n", READ},
        {"weights", "d", "K", WRITE},
        {"first", "d", "Kq", WRITE},
        {"second", "d", "Kqq", WRITE},
        {"pairs", "d", "Ktt", WRITE},
        {"cross", "d", "Ktq", WRITE},
    };
    Call call;
    LocationModel m;
    int status;
    double value = 0.0;
    if (!READ_ARGUMENTS(&call, "general_location_expect", parameters) ||
        !read_location(&call, &m)) {
        return NULL;
    }
    LocationSums sums = {.weight = call.data[11],
                         .first = call.data[12],
                         .second = call.data[13],
                         .pairs = call.data[14],
                         .cross = call.data[15]};
    Py_BEGIN_ALLOW_THREADS
    status = location_expect(&m, call.data[10], &sums, &value);
    Py_END_ALLOW_THREADS
    return finish_location(&call, status, PyFloat_FromDouble, value);
}

/* general_location_condition(..., density, shares, levels, mean, variance)

   density         out: log-density of the observed entries
   shares, levels  out: probabilities of classes, and of levels
   mean, variance  out: of the numbers */
static PyObject *
general_location_condition(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                           Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        LOCATION_ARGUMENTS,
        {"density", "d", "n", WRITE},
        {"shares", "d", "nK", WRITE},
        {"levels", "d", "nt", WRITE},
        {"mean", "d", "nq", WRITE},
        {"variance", "d", "nq", WRITE},
    };
    Call call;
    LocationModel m;
    int status;
    if (!READ_ARGUMENTS(&call, "general_location_condition", parameters) ||
        !read_location(&call, &m)) {
        return NULL;
    }
    const LocationOut out = {call.data[10], call.data[11], call.data[12], call.data[13],
                             call.data[14]};
    Py_BEGIN_ALLOW_THREADS
    status = location_condition(&m, &out);
    Py_END_ALLOW_THREADS
    return finish_location(&call, status, NULL, 0.0);
}

/* general_location_draw(..., uniform, normal, drawn_numbers, drawn_codes)

   uniform, normal             random numbers
   drawn_numbers, drawn_codes  out: completed rows */
static PyObject *
general_location_draw(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                      Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        LOCATION_ARGUMENTS,
        {"uniform", "d", "nj+", READ},
        {"normal", "d", "nq", READ},
        {"drawn_numbers", "d", "nq", WRITE},
        {"drawn_codes", "i", "nj", WRITE},
    };
    Call call;
    LocationModel m;
    int status;
    if (!READ_ARGUMENTS(&call, "general_location_draw", parameters) ||
        !read_location(&call, &m)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = location_draw(&m, call.data[10], call.data[11], call.data[12], call.data[13]);
    Py_END_ALLOW_THREADS
    return finish_location(&call, status, NULL, 0.0);
}
