/* Filtering and smoothing of linear Gaussian states; see state_space_bindings.h.

   The forward pass finds the runs of steps with the same covariances, and writes filtered means
   and innovations where they belong. What the backward pass needs of the runs is kept for one
   segment of them at a time; the roots at which earlier segments begin are kept too, and their
   runs are found again. */

/* Numbers that a segment may have at least. */
#define SS_SEGMENT 131072

/* What the caller gives; see state_space_bindings.h. */
typedef struct {
    ptrdiff_t n, n_noises, n_rows, n_patterns, n_steps, n_sequences, n_observations;
    double tolerance;
    const double *transition, *noise_root, *rows, *initial_root;
    const double *observations, *inputs, *initial;
    const int64_t *index, *bounds, *pattern;
} StateSpace;

/* Memory of one call. */
typedef struct {
    Recursion recursion;
    Update update;
    Position at;
    Sequences sequences;
    double *columns, *part; /* for ss_closed_form */
    double *square[12];     /* (n, padded) each */
    double *memory;
} Pass;

/* The next `count` numbers of the memory. */
static double *
ss_take(double **next, ptrdiff_t count)
{
    double *own = *next;
    *next += round_up(count, ALIGNMENT / 8);
    return own;
}

/* Most entries that a pattern has. */
static ptrdiff_t
ss_most_rows(const StateSpace *problem)
{
    ptrdiff_t most = 0;
    for (ptrdiff_t p = 0; p < problem->n_patterns; p++) {
        const ptrdiff_t count = (ptrdiff_t)(problem->bounds[p + 1] - problem->bounds[p]);
        most = count > most ? count : most;
    }
    return most;
}

/* Begins a forward pass. Not 0 if out of memory. */
static int
ss_begin(const StateSpace *problem, double *innovations, double *filtered, double *predicted,
         Pass *pass)
{
    const ptrdiff_t n = problem->n, padded = round_up(n, QUAD), n_rows = problem->n_rows;
    const ptrdiff_t n_noises = problem->n_noises, quads = padded / QUAD;
    const ptrdiff_t most = ss_most_rows(problem);
    /* Squares, rows, gains, noises, sequences, vectors, the closed form, and what is lost to
       alignment. */
    size_t size = add_size(0, padded, n);
    size = size < PTRDIFF_MAX ? add_size(0, (ptrdiff_t)size, 19) : SIZE_MAX;
    size = add_size(add_size(size, padded, n_rows), padded + 1, most);
    size = add_size(add_size(size, 2 * padded, n_noises), padded, problem->n_sequences);
    size = add_size(add_size(size, padded, 5), 7 * SS_FEW, SS_FEW);
    size = add_size(size, 32, ALIGNMENT / 8);
    pass->memory = aligned_memory(size, sizeof(double));
    if (pass->memory == NULL) {
        return -1;
    }
    double *next = pass->memory;
    const ptrdiff_t square = n * padded;
    double *transition = ss_take(&next, square), *turned = ss_take(&next, square);
    double *noise = ss_take(&next, n_noises * padded), *rows = ss_take(&next, n_rows * padded);
    pass->update = (Update){.gain = ss_take(&next, most * padded),
                            .precision = ss_take(&next, most),
                            .kept = ss_take(&next, square),
                            .carried = ss_take(&next, square),
                            .joint = ss_take(&next, square + n_noises * padded),
                            .inner = ss_take(&next, padded),
                            .sums = ss_take(&next, padded),
                            .squares = ss_take(&next, padded),
                            .following = ss_take(&next, square)};
    pass->at = (Position){.change = INFINITY, .root = ss_take(&next, square)};
    pass->columns = ss_take(&next, 2 * SS_FEW * 3 * SS_FEW);
    pass->part = ss_take(&next, SS_FEW * SS_FEW);
    for (ptrdiff_t i = 0; i < 12; i++) {
        pass->square[i] = ss_take(&next, square);
    }
    pass->sequences = (Sequences){.n = n, .n_sequences = problem->n_sequences,
                                  .n_steps = problem->n_steps,
                                  .n_observations = problem->n_observations,
                                  .observations = problem->observations,
                                  .inputs = problem->inputs, .innovations = innovations,
                                  .filtered = filtered, .predicted = predicted,
                                  .state = ss_take(&next, problem->n_sequences * padded),
                                  .work = ss_take(&next, 2 * padded)};
    pass->recursion = (Recursion){.n = n, .quads = quads, .padded = padded,
                                  .n_noises = n_noises, .n_steps = problem->n_steps,
                                  .tolerance = problem->tolerance, .transition = transition,
                                  .turned = turned, .noise = noise, .rows = rows,
                                  .index = problem->index, .bounds = problem->bounds,
                                  .pattern = problem->pattern};
    quad_pad(problem->transition, n, n, padded, transition);
    ss_transpose(&pass->recursion, transition, turned);
    for (ptrdiff_t k = 0; k < n_noises; k++) {
        for (ptrdiff_t j = 0; j < padded; j++) {
            noise[k * padded + j] = j < n ? problem->noise_root[j * n_noises + k] : 0.0;
        }
    }
    quad_pad(problem->rows, n_rows, n, padded, rows);
    quad_pad(problem->initial, problem->n_sequences, n, padded, pass->sequences.state);
    for (ptrdiff_t k = 0; k < n; k++) {
        for (ptrdiff_t j = 0; j < padded; j++) {
            pass->at.root[k * padded + j] = j < n ? problem->initial_root[j * n + k] : 0.0;
        }
    }
    return 0;
}

/* The next run, and its means. Returns its sum of the logarithms of the variances of the
   innovations. */
static double
ss_run_forward(Pass *pass, Run *run)
{
    const double log_variance = ss_next_run(&pass->recursion, &pass->at, run, &pass->update);
    ss_forward(&pass->recursion, &pass->sequences, run, &pass->update, pass->part,
               pass->columns);
    return (double)run->length * log_variance;
}

/* Numbers that are kept of a run. */
static size_t
ss_run_size(const Recursion *recursion, ptrdiff_t most)
{
    return add_size(0, recursion->padded, 2 * recursion->n + most);
}

/* Memory of run number i of a segment. */
static void
ss_place_run(const Recursion *recursion, double *memory, size_t size, ptrdiff_t i, Run *run)
{
    const ptrdiff_t square = recursion->n * recursion->padded;
    run->filtered = memory + (size_t)i * size;
    run->moved = run->filtered + square;
    run->design = run->moved + square;
}

/* See state_space_bindings.h. Returns 0, or -1 if out of memory. */
static int
filter_states_all(const StateSpace *problem, double *innovations, double *predicted,
                  double *filtered, double *covariances, double *last_root,
                  double *log_determinant)
{
    const ptrdiff_t n = problem->n, n_steps = problem->n_steps;
    Pass pass;
    if (ss_begin(problem, innovations, filtered, predicted, &pass) < 0) {
        return -1;
    }
    const Recursion *recursion = &pass.recursion;
    const size_t size = ss_run_size(recursion, ss_most_rows(problem));
    double *kept = aligned_memory(size, sizeof(double));
    double *square = pass.square[0], *before = pass.square[1];
    double total = 0.0;
    Run run;
    if (kept == NULL) {
        aligned_free(pass.memory);
        return -1;
    }
    ss_place_run(recursion, kept, size, 0, &run);
    while (pass.at.step < n_steps) {
        if (covariances) {
            ss_cross_product(recursion, pass.at.root, pass.at.root, n, NULL, before);
        }
        total += ss_run_forward(&pass, &run);
        if (covariances) {
            double *to = covariances + run.step * n * n;
            ss_cross_product(recursion, run.filtered, run.filtered, n, NULL, square);
            ss_write(recursion, before, to, run.length);
            ss_write(recursion, square, to + n_steps * n * n, run.length);
        }
    }
    ss_transpose(recursion, run.filtered, square);
    ss_write(recursion, square, last_root, 1);
    *log_determinant = total;
    aligned_free(kept);
    aligned_free(pass.memory);
    return 0;
}

/* Runs of one segment, and where segments begin. */
typedef struct {
    ptrdiff_t most_runs, n_runs, n_segments;
    size_t size; /* numbers that are kept of a run */
    Run *runs;
    Position *begins;
    double *memory, *roots;
} Segments;

/* Not 0 if out of memory. */
static int
ss_begin_segments(const StateSpace *problem, const Recursion *recursion, Segments *segments)
{
    const ptrdiff_t n_steps = recursion->n_steps, square = recursion->n * recursion->padded;
    const size_t size = ss_run_size(recursion, ss_most_rows(problem));
    ptrdiff_t most = (ptrdiff_t)sqrt((double)n_steps) + 1;
    if (size < SS_SEGMENT && most < SS_SEGMENT / (ptrdiff_t)size) {
        most = SS_SEGMENT / (ptrdiff_t)size;
    }
    most = most < n_steps ? most : n_steps;
    const ptrdiff_t n_segments = (n_steps - 1) / most + 1;
    segments->most_runs = most;
    segments->size = size;
    segments->runs = aligned_memory((size_t)most, sizeof(Run));
    segments->begins = aligned_memory((size_t)n_segments, sizeof(Position));
    segments->memory = size > PTRDIFF_MAX ? NULL
                                          : aligned_memory(add_size(0, most, (ptrdiff_t)size),
                                                           sizeof(double));
    segments->roots = aligned_memory(add_size(0, n_segments, square), sizeof(double));
    if (!segments->runs || !segments->begins || !segments->memory || !segments->roots) {
        return -1;
    }
    for (ptrdiff_t i = 0; i < most; i++) {
        ss_place_run(recursion, segments->memory, size, i, &segments->runs[i]);
    }
    return 0;
}

static void
ss_end_segments(Segments *segments)
{
    aligned_free(segments->runs);
    aligned_free(segments->begins);
    aligned_free(segments->memory);
    aligned_free(segments->roots);
}

static void
ss_copy_position(const Recursion *recursion, const Position *from, Position *to)
{
    double *root = to->root;
    memcpy(root, from->root, (size_t)(recursion->n * recursion->padded) * sizeof(double));
    *to = *from;
    to->root = root;
}

static double
ss_smooth_forward(Pass *pass, Segments *segments)
{
    const Recursion *recursion = &pass->recursion;
    double total = 0.0;
    segments->n_segments = 0;
    while (pass->at.step < recursion->n_steps) {
        if (segments->n_segments == 0 || segments->n_runs == segments->most_runs) {
            Position *begin = &segments->begins[segments->n_segments];
            begin->root =
                segments->roots + segments->n_segments * recursion->n * recursion->padded;
            ss_copy_position(recursion, &pass->at, begin);
            segments->n_segments++;
            segments->n_runs = 0;
        }
        total += ss_run_forward(pass, &segments->runs[segments->n_runs++]);
    }
    return total;
}

static void
ss_smooth_backward(Pass *pass, Segments *segments, Backward *backward, const SmoothedSums *sums)
{
    const Recursion *recursion = &pass->recursion;
    const ptrdiff_t n_last = segments->n_segments - 1;
    memset(backward->precision, 0,
           (size_t)(recursion->n * recursion->padded) * sizeof(double));
    memset(pass->sequences.state, 0,
           (size_t)(pass->sequences.n_sequences * recursion->padded) * sizeof(double));
    for (ptrdiff_t segment = n_last; segment >= 0; segment--) {
        if (segment < n_last) {
            ss_copy_position(recursion, &segments->begins[segment], &pass->at);
            segments->n_runs = segments->most_runs;
            for (ptrdiff_t i = 0; i < segments->n_runs; i++) {
                ss_next_run(recursion, &pass->at, &segments->runs[i], &pass->update);
            }
        }
        for (ptrdiff_t i = segments->n_runs - 1; i >= 0; i--) {
            const Run *run = &segments->runs[i];
            ss_product(recursion, run->filtered, recursion->turned, NULL, backward->carried);
            ss_transpose(recursion, backward->carried, backward->turned);
            ss_product(recursion, backward->turned, run->filtered, NULL, backward->spread);
            ss_backward(recursion, &pass->sequences, run, backward->spread);
            ss_covariances_backward(recursion, run, backward, sums);
        }
    }
}

/* See state_space_bindings.h. Returns 0, or -1 if out of memory. */
static int
smooth_states_all(const StateSpace *problem, double *innovations, double *means,
                  double *last_mean, double *last_root, const SmoothedSums *sums,
                  double *log_determinant)
{
    const ptrdiff_t n = problem->n, n_steps = problem->n_steps;
    const size_t bytes = (size_t)(n * n) * sizeof(double);
    Pass pass;
    Segments segments = {0};
    if (ss_begin(problem, innovations, means, NULL, &pass) < 0) {
        return -1;
    }
    const Recursion *recursion = &pass.recursion;
    const int status = ss_begin_segments(problem, recursion, &segments);
    if (status == 0) {
        double **square = pass.square;
        Backward backward = {square[0], square[1], square[2], square[3], square[4],  square[5],
                             square[6], square[7], square[8], square[9], square[10], square[11]};
        memset(sums->of_pattern, 0, (size_t)problem->n_patterns * bytes);
        memset(sums->information, 0, bytes);
        memset(sums->cross, 0, bytes);
        *log_determinant = ss_smooth_forward(&pass, &segments);
        for (ptrdiff_t g = 0; g < problem->n_sequences; g++) {
            memcpy(last_mean + g * n, means + ((g + 1) * n_steps - 1) * n,
                   (size_t)n * sizeof(double));
        }
        ss_transpose(recursion, segments.runs[segments.n_runs - 1].filtered, backward.work);
        ss_write(recursion, backward.work, last_root, 1);
        ss_smooth_backward(&pass, &segments, &backward, sums);
    }
    ss_end_segments(&segments);
    aligned_free(pass.memory);
    return status;
}
