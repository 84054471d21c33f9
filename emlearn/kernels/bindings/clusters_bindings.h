/* Clusters of points, for the starts of EM. Points are columns (D, n). */

/* Whether there are as many moments as one of the shapes has; an exception if not. */
static int
check_moments(Call *call, ptrdiff_t n_moments, ptrdiff_t d)
{
    if (n_moments != 0 && n_moments != 1 && n_moments != d && n_moments != d * (d + 1) / 2) {
        return refuse(call, PyExc_ValueError, "there are 0, 1, d or d (d + 1) / 2 moments");
    }
    return 1;
}

/* Whether these are numbers of clusters; an exception if not. */
static int
check_labels(Call *call, const int64_t *labels, ptrdiff_t n, ptrdiff_t n_clusters)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        if (labels[i] < 0 || labels[i] >= n_clusters) {
            return refuse(call, PyExc_IndexError, "a label is out of range");
        }
    }
    return 1;
}

/* seed_clusters(columns, weight, draws, chosen, labels, distance) -> number of seeds

   Seeds of k-means++, each the best of some trials. There are fewer than asked for where there
   are fewer different points.

   draws     uniform random numbers, (seeds, trials)
   chosen    numbers of the points that are seeds: out
   labels    nearest seed of each point: out
   distance  squared distance from it: out */
static PyObject *
seed_clusters(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"columns", "d", "DN", READ}, {"weight", "d", "N", READ},  {"draws", "d", "KT", READ},
        {"chosen", "q", "K", WRITE},  {"labels", "q", "N", WRITE}, {"distance", "d", "N", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "seed_clusters", parameters)) {
        return NULL;
    }
    const ptrdiff_t n = SIZE(call, 'N');
    double *work = aligned_memory(add_size(0, 2, n), sizeof(double));
    ptrdiff_t found;
    if (work == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    Py_BEGIN_ALLOW_THREADS
    found = seed_clusters_all(call.data[0], call.data[1], call.data[2], n, SIZE(call, 'D'),
                              SIZE(call, 'K'), SIZE(call, 'T'), call.data[3], call.data[4],
                              call.data[5], work, work + n);
    Py_END_ALLOW_THREADS
    aligned_free(work);
    return finish(&call, PyLong_FromSsize_t(found));
}

/* lloyd(columns, weight, max_steps, centers, labels) -> number of steps that changed a label

   A step gives each point to the nearest center, and moves the centers. A center without points
   stays where it is.

   centers   (K, D), where to start: in and out
   labels    nearest center of each point before the last move: in (-1 where unknown) and out */
static PyObject *
lloyd(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"columns", "d", "DN", READ},  {"weight", "d", "N", READ},  {"max_steps", "#", "", READ},
        {"centers", "d", "KD", WRITE}, {"labels", "q", "N", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "lloyd", parameters)) {
        return NULL;
    }
    const ptrdiff_t n = SIZE(call, 'N'), k = SIZE(call, 'K');
    double *work = aligned_memory(add_size(add_size(0, 3, n), 2, k), sizeof(double));
    ptrdiff_t steps;
    if (work == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    /* Beyond this no step changes anything; infinity and NaN are not numbers of steps. */
    const double limit = call.number[2] < 1e6 ? call.number[2] : 1e6;
    Py_BEGIN_ALLOW_THREADS
    steps = lloyd_all(call.data[0], call.data[1], n, SIZE(call, 'D'), k, (ptrdiff_t)limit,
                      call.data[3], call.data[4], work);
    Py_END_ALLOW_THREADS
    aligned_free(work);
    return finish(&call, PyLong_FromSsize_t(steps));
}

/* cluster_moments(columns, weight, labels, size, mean, scatter)

   size     sum of the weights of each cluster: out
   mean     (clusters, D): out
   scatter  (clusters, moments), about the means: nothing, its trace, its diagonal, or its lower
            triangle: out */
static PyObject *
cluster_moments(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"columns", "d", "DN", READ}, {"weight", "d", "N", READ}, {"labels", "q", "N", PRIVATE},
        {"size", "d", "M", WRITE},    {"mean", "d", "MD", WRITE}, {"scatter", "d", "Mt", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "cluster_moments", parameters) ||
        !check_moments(&call, SIZE(call, 't'), SIZE(call, 'D')) ||
        !check_labels(&call, call.data[2], SIZE(call, 'N'), SIZE(call, 'M'))) {
        return NULL;
    }
    double *work = aligned_memory(add_size(0, 1, SIZE(call, 'D')), sizeof(double));
    if (work == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    Py_BEGIN_ALLOW_THREADS
    cluster_moments_all(call.data[0], call.data[1], call.data[2], SIZE(call, 'N'),
                        SIZE(call, 'D'), SIZE(call, 'M'), SIZE(call, 't'), call.data[3],
                        call.data[4], call.data[5], work);
    Py_END_ALLOW_THREADS
    aligned_free(work);
    return finish(&call, Py_NewRef(Py_None));
}

/* join_clusters(size, mean, scatter, prior, extra, entropy, n_left, labels)

   Joins two clusters at a time, those whose joining costs least. A cluster of n rows costs

       n/2 log det((scatter + prior) / (n + extra)) - entropy x n log(n / N)

   or, where there are no moments, half the sum of the squares about its mean in the place of the
   first term.

   size     weights of the clusters
   mean     (clusters, D)
   scatter  (moments, clusters): see cluster_moments, but clusters are columns
   prior    the same of `extra` pseudo-rows
   n_left   clusters to be left
   labels   which of these each cluster belongs to: out */
static PyObject *
join_clusters(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"size", "d", "M", READ},    {"mean", "d", "MD", READ},  {"scatter", "d", "tM", READ},
        {"prior", "d", "t", READ},   {"extra", "#", "", READ},   {"entropy", "#", "", READ},
        {"n_left", "#", "", READ},   {"labels", "q", "M", WRITE},
    };
    Call call;
    int status;
    if (!READ_ARGUMENTS(&call, "join_clusters", parameters) ||
        !check_moments(&call, SIZE(call, 't'), SIZE(call, 'D'))) {
        return NULL;
    }
    const ptrdiff_t m = SIZE(call, 'M');
    const double limit = call.number[6] > 1.0 ? call.number[6] : 1.0;
    const ptrdiff_t n_left = limit < (double)m ? (ptrdiff_t)limit : m;
    Py_BEGIN_ALLOW_THREADS
    status = join_clusters_all(call.data[0], call.data[1], call.data[2], call.data[3], m,
                               SIZE(call, 'D'), SIZE(call, 't'), call.number[4], call.number[5],
                               n_left, call.data[7]);
    Py_END_ALLOW_THREADS
    return finish(&call, nothing_or_no_memory(status));
}
