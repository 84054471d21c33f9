/* Covariances of linear Gaussian states, in double precision; see emlearn/kernels/state_space.py.

   They do not depend on observations, only on which entries are observed (the pattern). Steps
   one after another that have the same covariances are one run. Rows of matrices are padded to
   whole quads; n is the number of states. */

/* Loops over at most this many quads of states are unrolled. */
#define SS_FEW_QUADS 2

typedef struct {
    ptrdiff_t n, quads, padded, n_noises, n_steps;
    double tolerance;         /* relative change of roots that is taken for none */
    const double *transition; /* A: (n, padded) */
    const double *turned;     /* A' */
    const double *noise;      /* L': (n_noises, padded) */
    const double *rows;       /* of observations: (n_rows, padded) */
    const int64_t *index, *bounds, *pattern;
} Recursion;

/* Where a run begins. */
typedef struct {
    ptrdiff_t step, observation;
    double change; /* of the root in the step before; infinite if that is not known */
    double *root;  /* S' of the predicted state: (n, padded) */
} Position;

/* What is kept of a run for the backward pass; n_rows entries are observed in each step. For a
   predicted state a and observations y, the innovations in standard deviations are R y - D a
   with some R, and the next predicted state is M a + a part of y. */
typedef struct {
    ptrdiff_t step, length, observation, pattern, n_rows;
    double *filtered; /* S' of the filtered state: (n, padded) */
    double *design;   /* D: (n_rows, padded) */
    double *moved;    /* M: (n, padded) */
} Run;

/* For work on one run. */
typedef struct {
    double *gain;      /* (n_rows, padded): column of the gain of each observation */
    double *precision; /* (n_rows,): one over the standard deviations of the innovations */
    double *kept;      /* H': (n, padded); H a + a part of y is the filtered state */
    double *carried;   /* M': (n, padded) */
    double *joint;     /* (n + n_noises, padded) */
    double *inner;     /* (padded,) each */
    double *sums;
    double *squares;
    double *following; /* (n, padded) */
} Update;

/* Calls a function with a constant number of quads where there are few. */
#define SS_WITH_QUADS(n_quads, function, ...) \
    ((n_quads) == 1   ? function(__VA_ARGS__, 1) \
     : (n_quads) == 2 ? function(__VA_ARGS__, 2) \
                      : function(__VA_ARGS__, n_quads))

/* n_rows (at most 4) rows and `width` (at most 2) quads of a product. */
INLINE void
ss_multiply_block(const double *left, ptrdiff_t row, ptrdiff_t column, const double *right,
                  ptrdiff_t n_inner, const double *start, double *out, ptrdiff_t padded,
                  ptrdiff_t n_rows, ptrdiff_t width)
{
    quad sum[4][2];
    UNROLL
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        UNROLL
        for (ptrdiff_t q = 0; q < width; q++) {
            sum[i][q] = start ? ((const quad *)(start + i * padded))[q] : (quad){0};
        }
    }
    for (ptrdiff_t k = 0; k < n_inner; k++) {
        const quad *from = (const quad *)(right + k * padded);
        UNROLL
        for (ptrdiff_t i = 0; i < n_rows; i++) {
            const double factor = left[i * row + k * column];
            UNROLL
            for (ptrdiff_t q = 0; q < width; q++) {
                sum[i][q] += factor * from[q];
            }
        }
    }
    UNROLL
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        UNROLL
        for (ptrdiff_t q = 0; q < width; q++) {
            ((quad *)(out + i * padded))[q] = sum[i][q];
        }
    }
}

INLINE void
ss_multiply_rows(const double *left, ptrdiff_t row, ptrdiff_t column, const double *right,
                 ptrdiff_t n_inner, const double *start, double *out, ptrdiff_t n_quads,
                 ptrdiff_t n_rows)
{
    const ptrdiff_t padded = n_quads * QUAD;
    ptrdiff_t q = 0;
    for (; q + 2 <= n_quads; q += 2) {
        ss_multiply_block(left, row, column, right + q * QUAD, n_inner,
                          start ? start + q * QUAD : NULL, out + q * QUAD, padded, n_rows, 2);
    }
    if (q < n_quads) {
        ss_multiply_block(left, row, column, right + q * QUAD, n_inner,
                          start ? start + q * QUAD : NULL, out + q * QUAD, padded, n_rows, 1);
    }
}

INLINE void
ss_multiply_quads(const double *left, ptrdiff_t row, ptrdiff_t column, const double *right,
                  ptrdiff_t n_rows, ptrdiff_t n_inner, const double *start, double *out,
                  ptrdiff_t n_quads)
{
    const ptrdiff_t padded = n_quads * QUAD;
    ptrdiff_t i = 0;
    for (; i + 4 <= n_rows; i += 4) {
        ss_multiply_rows(left + i * row, row, column, right, n_inner,
                         start ? start + i * padded : NULL, out + i * padded, n_quads, 4);
    }
    for (; i < n_rows; i++) {
        ss_multiply_rows(left + i * row, row, column, right, n_inner,
                         start ? start + i * padded : NULL, out + i * padded, n_quads, 1);
    }
}

/* out = start + B C with rows of C and out of n_quads; entry (i, k) of B is
   left[i row + k column]. `start` may be NULL, or `out`. */
static void
ss_multiply(const double *left, ptrdiff_t row, ptrdiff_t column, const double *right,
            ptrdiff_t n_rows, ptrdiff_t n_inner, const double *start, double *out,
            ptrdiff_t n_quads)
{
    SS_WITH_QUADS(n_quads, ss_multiply_quads, left, row, column, right, n_rows, n_inner, start,
                  out);
}

/* out = start + B C of square matrices. */
static void
ss_product(const Recursion *recursion, const double *left, const double *right,
           const double *start, double *out)
{
    ss_multiply(left, recursion->padded, 1, right, recursion->n, recursion->n, start, out,
                recursion->quads);
}

/* out = start + B' C, where B and C have n_rows rows. */
static void
ss_cross_product(const Recursion *recursion, const double *left, const double *right,
                 ptrdiff_t n_rows, const double *start, double *out)
{
    ss_multiply(left, 1, recursion->padded, right, recursion->n, n_rows, start, out,
                recursion->quads);
}

static void
ss_transpose(const Recursion *recursion, const double *from, double *out)
{
    const ptrdiff_t n = recursion->n, padded = recursion->padded;
    for (ptrdiff_t i = 0; i < n; i++) {
        for (ptrdiff_t j = 0; j < padded; j++) {
            out[i * padded + j] = j < n ? from[j * padded + i] : 0.0;
        }
    }
}

INLINE double
ss_dot(const double *a, const double *b, ptrdiff_t n_quads)
{
    quad sum = *(const quad *)a * *(const quad *)b;
    for (ptrdiff_t q = 1; q < n_quads; q++) {
        sum += ((const quad *)a)[q] * ((const quad *)b)[q];
    }
    return quad_sum(&sum, 1);
}

/* to += factor x from */
INLINE void
ss_add(double *restrict to, double factor, const double *restrict from, ptrdiff_t n_quads)
{
    for (ptrdiff_t q = 0; q < n_quads; q++) {
        ((quad *)to)[q] += factor * ((const quad *)from)[q];
    }
}

/* The filtered root, D and H of a run by Potter's formula for one observation after another.
   Returns the sum of the logarithms of the variances of the innovations. */
INLINE double
ss_observe_quads(const Recursion *recursion, const double *predicted, const Run *run,
                 const Update *update, ptrdiff_t n_quads)
{
    const ptrdiff_t n = recursion->n, padded = n_quads * QUAD;
    const int64_t *index = recursion->index + recursion->bounds[run->pattern];
    const size_t size = (size_t)(n * padded) * sizeof(double);
    double *restrict root = run->filtered, *restrict kept = update->kept;
    double *restrict inner = update->inner;
    double log_variance = 0.0, product = 1.0;

    memcpy(root, predicted, size);
    memset(kept, 0, size);
    for (ptrdiff_t j = 0; j < n; j++) {
        kept[j * padded + j] = 1.0;
    }
    for (ptrdiff_t i = 0; i < run->n_rows; i++) {
        const double *restrict row = recursion->rows + index[i] * padded;
        double *restrict gain = update->gain + i * padded;
        double *restrict design = run->design + i * padded;
        double variance = 1.0;
        memset(gain, 0, (size_t)padded * sizeof(double));
        for (ptrdiff_t j = 0; j < n; j++) {
            inner[j] = ss_dot(root + j * padded, row, n_quads);
            variance += inner[j] * inner[j];
            ss_add(gain, inner[j], root + j * padded, n_quads);
        }
        const double deviation = sqrt(variance), precision = 1.0 / deviation;
        const double shrink = -variance / (variance + deviation);
        for (ptrdiff_t q = 0; q < n_quads; q++) {
            ((quad *)gain)[q] /= quad_repeat(variance);
        }
        for (ptrdiff_t j = 0; j < n; j++) {
            ss_add(root + j * padded, shrink * inner[j], gain, n_quads);
            const double slope = ss_dot(kept + j * padded, row, n_quads);
            design[j] = precision * slope;
            ss_add(kept + j * padded, -slope, gain, n_quads);
        }
        for (ptrdiff_t j = n; j < padded; j++) {
            design[j] = 0.0;
        }
        update->precision[i] = precision;
        if (variance < 1e100) {
            product *= variance;
        } else {
            log_variance += log(variance);
        }
        if (product > 1e100) {
            log_variance += log(product);
            product = 1.0;
        }
    }
    return log_variance + log(product);
}

/* The root of the next predicted state: an orthogonal transformation makes [A S, L]'
   triangular, with a diagonal that is not negative. What is left of a column to rounding is
   taken for zero, since its direction would be that of the rounding. */
INLINE void
ss_propagate_quads(const Recursion *recursion, const double *filtered, const Update *update,
                   ptrdiff_t n_quads)
{
    const ptrdiff_t n = recursion->n, padded = n_quads * QUAD;
    const ptrdiff_t n_rows = n + recursion->n_noises;
    const double rounding = 4.0 * (double)n_rows * 2.220446049250313e-16;
    double *restrict joint = update->joint, *restrict root = update->following;
    quad own[SS_FEW_QUADS];
    quad *sums = n_quads <= SS_FEW_QUADS ? own : (quad *)update->sums;
    double *restrict squares = update->squares;

    ss_multiply_quads(filtered, padded, 1, recursion->turned, n, n, NULL, joint, n_quads);
    memcpy(joint + n * padded, recursion->noise,
           (size_t)(recursion->n_noises * padded) * sizeof(double));
    memset(squares, 0, (size_t)padded * sizeof(double));
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        for (ptrdiff_t q = 0; q < n_quads; q++) {
            const quad entries = ((const quad *)(joint + i * padded))[q];
            ((quad *)squares)[q] += entries * entries;
        }
    }
    for (ptrdiff_t k = 0; k < n; k++) {
        const ptrdiff_t first = n_quads <= SS_FEW_QUADS ? 0 : k / QUAD;
        double *own_row = joint + k * padded, *out = root + k * padded;
        for (ptrdiff_t q = first; q < n_quads; q++) {
            sums[q] = (quad){0};
        }
        for (ptrdiff_t i = k; i < n_rows; i++) {
            const double value = joint[i * padded + k];
            for (ptrdiff_t q = first; q < n_quads; q++) {
                sums[q] += value * ((const quad *)(joint + i * padded))[q];
            }
        }
        const double square = sums[k / QUAD][k % QUAD], pivot = own_row[k];
        memset(out, 0, (size_t)padded * sizeof(double));
        if (square < rounding * rounding * squares[k] || square < 1e-290) {
            continue;
        }
        const double norm = sqrt(square), turn = pivot < 0.0 ? -norm : norm;
        const double factor = 1.0 / (norm * (norm + fabs(pivot)));
        for (ptrdiff_t q = first; q < n_quads; q++) {
            ((quad *)out)[q] = sums[q] / norm;
            sums[q] = (sums[q] + turn * ((const quad *)own_row)[q]) * factor;
        }
        for (ptrdiff_t j = 0; j < k; j++) {
            out[j] = 0.0;
        }
        for (ptrdiff_t i = k + 1; i < n_rows; i++) {
            const double value = joint[i * padded + k];
            for (ptrdiff_t q = first; q < n_quads; q++) {
                ((quad *)(joint + i * padded))[q] -= value * sums[q];
            }
        }
    }
}

/* Whether a sequence of matrices has come to its limit, which it approaches geometrically: with
   changes d of this and e of the last step, what is left is about d / (1 - d / e). */
static int
ss_settled(double change, double *last, double tolerance)
{
    const double ratio = *last > 0.0 ? change / *last : 0.0;
    *last = change;
    return change == 0.0 || (ratio < 1.0 && change / (1.0 - ratio) < tolerance);
}

/* The largest difference of two matrices, relative to the largest entry of the second; NaN or
   infinite if one of them is not finite. */
static double
ss_change(const double *one, const double *other, ptrdiff_t size)
{
    double difference = 0.0, largest = 1e-300, total = 0.0;
    for (ptrdiff_t i = 0; i < size; i++) {
        const double apart = fabs(other[i] - one[i]), entry = fabs(other[i]);
        difference = apart > difference ? apart : difference;
        largest = entry > largest ? entry : largest;
        total += apart;
    }
    return total - total == 0.0 ? difference / largest : total;
}

/* Finds the run that begins at a position, and moves to where it ends. Returns the sum of the
   logarithms of the variances of the innovations of one of its steps. */
INLINE double
ss_next_run_quads(const Recursion *recursion, Position *at, Run *run, const Update *update,
                  ptrdiff_t n_quads)
{
    const ptrdiff_t n = recursion->n, padded = n_quads * QUAD;
    const int64_t *pattern = recursion->pattern, own = pattern[at->step];
    const size_t size = (size_t)(n * padded) * sizeof(double);
    run->step = at->step;
    run->length = 1;
    run->observation = at->observation;
    run->pattern = (ptrdiff_t)own;
    run->n_rows = (ptrdiff_t)(recursion->bounds[own + 1] - recursion->bounds[own]);

    const double log_variance = ss_observe_quads(recursion, at->root, run, update, n_quads);
    ss_multiply_quads(update->kept, padded, 1, recursion->turned, n, n, NULL, update->carried,
                      n_quads);
    ss_transpose(recursion, update->carried, run->moved);
    at->step++;
    if (at->step < recursion->n_steps) {
        ss_propagate_quads(recursion, run->filtered, update, n_quads);
        const double change = ss_change(at->root, update->following, n * padded);
        if (ss_settled(change, &at->change, recursion->tolerance)) {
            while (at->step < recursion->n_steps && pattern[at->step] == own) {
                at->step++;
            }
            at->change = INFINITY;
        }
        memcpy(at->root, update->following, size);
    }
    run->length = at->step - run->step;
    at->observation += run->length * run->n_rows;
    return log_variance;
}

static double
ss_next_run(const Recursion *recursion, Position *at, Run *run, const Update *update)
{
    return SS_WITH_QUADS(recursion->quads, ss_next_run_quads, recursion, at, run, update);
}
