/* Means of linear Gaussian states of several sequences, in the steps of one run; see
   state_space_covariance_kernels.h.

   Vectors hold the states of one sequence, and the loop over the sequences is the inner one:
   their recursions do not wait for each other. */

/* Up to this many states and observed entries of a step, one matrix is applied to both. */
#define SS_FEW 8
/* Sequences whose states stay in the cache. */
#define SS_TILE 32

typedef struct {
    ptrdiff_t n, n_sequences, n_steps, n_observations;
    const double *observations; /* (n_sequences, n_observations) */
    const double *inputs;       /* (n_sequences, n_steps, n) or NULL */
    double *innovations;        /* (n_sequences, n_observations) */
    double *filtered;           /* (n_sequences, n_steps, n) */
    double *predicted;          /* the same, or NULL */
    double *state;              /* (n_sequences, padded): where the pass is */
    double *work;               /* (2, padded) */
} Sequences;

/* The quads from q on of n numbers, with zeros after them. */
INLINE quad
ss_load(const double *from, ptrdiff_t n, ptrdiff_t q)
{
    const ptrdiff_t rest = n - q * QUAD;
    from += q * QUAD;
    if (rest >= QUAD) {
        return *(const quad *)from;
    }
    quad value = {0};
    value[0] = rest > 0 ? from[0] : 0.0;
    value[1] = rest > 1 ? from[1] : 0.0;
    value[2] = rest > 2 ? from[2] : 0.0;
    return value;
}

INLINE void
ss_store(double *to, quad value, ptrdiff_t n, ptrdiff_t q)
{
    const ptrdiff_t rest = n - q * QUAD;
    to += q * QUAD;
    if (rest >= QUAD) {
        *(quad *)to = value;
        return;
    }
    if (rest > 0) {
        to[0] = value[0];
    }
    if (rest > 1) {
        to[1] = value[1];
    }
    if (rest > 2) {
        to[2] = value[2];
    }
}

/* The matrix that takes a predicted state and observations to the next predicted state, the
   filtered state and the innovations, by columns: each has the quads of one after those of the
   other. `part` is for work, (n_rows, padded). */
static void
ss_closed_form(const Recursion *recursion, const Run *run, const Update *update, double *part,
               double *columns)
{
    const ptrdiff_t n = recursion->n, padded = recursion->padded, n_rows = run->n_rows;
    const ptrdiff_t width = 2 * padded + round_up(n_rows, QUAD);
    const size_t size = (size_t)padded * sizeof(double);
    const int64_t *index = recursion->index + recursion->bounds[run->pattern];

    memset(columns, 0, (size_t)((n + n_rows) * width) * sizeof(double));
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const double *row = recursion->rows + index[i] * padded, *gain = update->gain + i * padded;
        for (ptrdiff_t j = 0; j < n; j++) {
            columns[j * width + 2 * padded + i] = -run->design[i * padded + j];
        }
        for (ptrdiff_t j = 0; j < i; j++) {
            const double slope = ss_dot(part + j * padded, row, recursion->quads);
            columns[(n + j) * width + 2 * padded + i] = -update->precision[i] * slope;
            ss_add(part + j * padded, -slope, gain, recursion->quads);
        }
        columns[(n + i) * width + 2 * padded + i] = update->precision[i];
        memcpy(part + i * padded, gain, size);
    }
    for (ptrdiff_t j = 0; j < n + n_rows; j++) {
        const double *filtered = j < n ? update->kept + j * padded : part + (j - n) * padded;
        double *column = columns + j * width;
        if (j < n) {
            memcpy(column, update->carried + j * padded, size);
        } else {
            ss_multiply(filtered, padded, 1, recursion->turned, 1, n, NULL, column,
                        recursion->quads);
        }
        memcpy(column + padded, filtered, size);
    }
}

/* The forward pass by one matrix. */
INLINE void
ss_forward_closed_quads(const Sequences *s, const Run *run, const double *columns,
                        ptrdiff_t n_quads, ptrdiff_t row_quads)
{
    const ptrdiff_t n = s->n, m = run->n_rows, padded = n_quads * QUAD;
    const ptrdiff_t used = 2 * n_quads + row_quads, width = used * QUAD;
    for (ptrdiff_t t = 0; t < run->length; t++) {
        for (ptrdiff_t g = 0; g < s->n_sequences; g++) {
            double *restrict state = s->state + g * padded;
            const ptrdiff_t entry = g * s->n_observations + run->observation + t * m;
            const ptrdiff_t at = (g * s->n_steps + run->step + t) * n;
            const double *restrict y = s->observations + entry;
            quad sum[3 * SS_FEW / QUAD];
            UNROLL
            for (ptrdiff_t q = 0; q < used; q++) {
                sum[q] = (quad){0};
            }
            if (s->inputs) {
                UNROLL
                for (ptrdiff_t q = 0; q < n_quads; q++) {
                    sum[q] = ss_load(s->inputs + at, n, q);
                }
            }
            for (ptrdiff_t j = 0; j < m; j++) {
                const quad *column = (const quad *)(columns + (n + j) * width);
                UNROLL
                for (ptrdiff_t q = 0; q < used; q++) {
                    sum[q] += y[j] * column[q];
                }
            }
            for (ptrdiff_t j = 0; j < n; j++) {
                const quad *column = (const quad *)(columns + j * width);
                UNROLL
                for (ptrdiff_t q = 0; q < used; q++) {
                    sum[q] += state[j] * column[q];
                }
            }
            if (s->predicted) {
                UNROLL
                for (ptrdiff_t q = 0; q < n_quads; q++) {
                    ss_store(s->predicted + at, ((const quad *)state)[q], n, q);
                }
            }
            UNROLL
            for (ptrdiff_t q = 0; q < n_quads; q++) {
                ((quad *)state)[q] = sum[q];
                ss_store(s->filtered + at, sum[n_quads + q], n, q);
            }
            UNROLL
            for (ptrdiff_t q = 0; q < row_quads; q++) {
                ss_store(s->innovations + entry, sum[2 * n_quads + q], m, q);
            }
        }
    }
}

static void
ss_forward_closed(const Sequences *s, const Run *run, const double *columns)
{
#define CLOSED(n_quads, row_quads) \
    case 10 * n_quads + row_quads: \
        ss_forward_closed_quads(s, run, columns, n_quads, row_quads); \
        break;
    switch (10 * (round_up(s->n, QUAD) / QUAD) + round_up(run->n_rows, QUAD) / QUAD) {
        CLOSED(1, 0)
        CLOSED(1, 1)
        CLOSED(1, 2)
        CLOSED(2, 0)
        CLOSED(2, 1)
        CLOSED(2, 2)
    }
#undef CLOSED
}

/* The forward pass, one observation after another. */
INLINE void
ss_forward_single_quads(const Recursion *recursion, const Sequences *s, const Run *run,
                        const Update *update, ptrdiff_t n_quads)
{
    const ptrdiff_t n = s->n, m = run->n_rows, padded = n_quads * QUAD;
    const int64_t *index = recursion->index + recursion->bounds[run->pattern];
    const size_t size = (size_t)n * sizeof(double);
    double *next = s->work;
    for (ptrdiff_t t = 0; t < run->length; t++) {
        const ptrdiff_t entry = run->observation + t * m, step = run->step + t;
        for (ptrdiff_t g = 0; s->predicted && g < s->n_sequences; g++) {
            memcpy(s->predicted + (g * s->n_steps + step) * n, s->state + g * padded, size);
        }
        for (ptrdiff_t i = 0; i < m; i++) {
            const double *row = recursion->rows + index[i] * padded;
            const double *gain = update->gain + i * padded, precision = update->precision[i];
            for (ptrdiff_t g = 0; g < s->n_sequences; g++) {
                double *state = s->state + g * padded;
                const ptrdiff_t at = g * s->n_observations + entry + i;
                const double innovation = s->observations[at] - ss_dot(row, state, n_quads);
                s->innovations[at] = precision * innovation;
                ss_add(state, innovation, gain, n_quads);
            }
        }
        for (ptrdiff_t g = 0; g < s->n_sequences; g++) {
            double *state = s->state + g * padded;
            memcpy(s->filtered + (g * s->n_steps + step) * n, state, size);
            ss_multiply_quads(state, padded, 1, recursion->turned, 1, n, NULL, next, n_quads);
            if (s->inputs) {
                const double *inputs = s->inputs + (g * s->n_steps + step) * n;
                for (ptrdiff_t j = 0; j < n; j++) {
                    next[j] += inputs[j];
                }
            }
            memcpy(state, next, (size_t)padded * sizeof(double));
        }
    }
}

/* The backward pass; the filtered means of the run are overwritten by smoothed ones. `state` is
   the sum r of emlearn/kernels/state_space.py, and `spread` is A P, with the covariance P of the
   filtered states. */
INLINE void
ss_backward_quads(const Sequences *s, const Run *run, const double *spread, ptrdiff_t n_quads)
{
    const ptrdiff_t n = s->n, m = run->n_rows, padded = n_quads * QUAD;
    for (ptrdiff_t t = run->length - 1; t >= 0; t--) {
        for (ptrdiff_t g = 0; g < s->n_sequences; g++) {
            double *restrict r = s->state + g * padded;
            const double *restrict e =
                s->innovations + g * s->n_observations + run->observation + t * m;
            double *restrict mean = s->filtered + (g * s->n_steps + run->step + t) * n;
            quad sum[SS_FEW_QUADS], moved[SS_FEW_QUADS];
            UNROLL
            for (ptrdiff_t q = 0; q < n_quads; q++) {
                sum[q] = (quad){0};
                moved[q] = ss_load(mean, n, q);
            }
            for (ptrdiff_t i = 0; i < m; i++) {
                UNROLL
                for (ptrdiff_t q = 0; q < n_quads; q++) {
                    sum[q] += e[i] * ((const quad *)(run->design + i * padded))[q];
                }
            }
            for (ptrdiff_t k = 0; k < n; k++) {
                UNROLL
                for (ptrdiff_t q = 0; q < n_quads; q++) {
                    sum[q] += r[k] * ((const quad *)(run->moved + k * padded))[q];
                    moved[q] += r[k] * ((const quad *)(spread + k * padded))[q];
                }
            }
            UNROLL
            for (ptrdiff_t q = 0; q < n_quads; q++) {
                ((quad *)r)[q] = sum[q];
                ss_store(mean, moved[q], n, q);
            }
        }
    }
}

/* The same with more states. */
static void
ss_backward_any(const Recursion *recursion, const Sequences *s, const Run *run,
                const double *spread)
{
    const ptrdiff_t n = s->n, m = run->n_rows, padded = recursion->padded;
    const ptrdiff_t quads = recursion->quads;
    double *sum = s->work, *moved = s->work + padded;
    for (ptrdiff_t t = run->length - 1; t >= 0; t--) {
        for (ptrdiff_t g = 0; g < s->n_sequences; g++) {
            double *r = s->state + g * padded;
            const double *e = s->innovations + g * s->n_observations + run->observation + t * m;
            double *mean = s->filtered + (g * s->n_steps + run->step + t) * n;
            ss_multiply(e, m, 1, run->design, 1, m, NULL, sum, quads);
            ss_multiply(r, padded, 1, run->moved, 1, n, sum, sum, quads);
            ss_multiply(r, padded, 1, spread, 1, n, NULL, moved, quads);
            memcpy(r, sum, (size_t)padded * sizeof(double));
            for (ptrdiff_t j = 0; j < n; j++) {
                mean[j] += moved[j];
            }
        }
    }
}

/* A tile of the sequences, from `first` on. */
static Sequences
ss_tile(const Sequences *s, ptrdiff_t first, ptrdiff_t padded)
{
    Sequences tile = *s;
    const ptrdiff_t rest = s->n_sequences - first;
    tile.n_sequences = rest < SS_TILE ? rest : SS_TILE;
    tile.observations += first * s->n_observations;
    tile.innovations += first * s->n_observations;
    tile.inputs = s->inputs ? s->inputs + first * s->n_steps * s->n : NULL;
    tile.filtered += first * s->n_steps * s->n;
    tile.predicted = s->predicted ? s->predicted + first * s->n_steps * s->n : NULL;
    tile.state += first * padded;
    return tile;
}

/* The forward pass in the steps of a run. */
static void
ss_forward(const Recursion *recursion, const Sequences *s, const Run *run, const Update *update,
           double *part, double *columns)
{
    const int closed = s->n <= SS_FEW && run->n_rows <= SS_FEW;
    if (closed) {
        ss_closed_form(recursion, run, update, part, columns);
    }
    for (ptrdiff_t first = 0; first < s->n_sequences; first += SS_TILE) {
        const Sequences tile = ss_tile(s, first, recursion->padded);
        if (closed) {
            ss_forward_closed(&tile, run, columns);
        } else {
            SS_WITH_QUADS(recursion->quads, ss_forward_single_quads, recursion, &tile, run,
                          update);
        }
    }
}

static void
ss_backward(const Recursion *recursion, const Sequences *s, const Run *run,
            const double *spread)
{
    for (ptrdiff_t first = 0; first < s->n_sequences; first += SS_TILE) {
        const Sequences tile = ss_tile(s, first, recursion->padded);
        switch (recursion->quads) {
        case 1: ss_backward_quads(&tile, run, spread, 1); break;
        case 2: ss_backward_quads(&tile, run, spread, 2); break;
        default: ss_backward_any(recursion, &tile, run, spread);
        }
    }
}
