/* Covariances of smoothed linear Gaussian states, in the steps of one run; see
   state_space_covariance_kernels.h. */

/* The same square matrix, without padding, `count` times. */
static void
ss_write(const Recursion *recursion, const double *square, double *out, ptrdiff_t count)
{
    const ptrdiff_t n = recursion->n;
    for (ptrdiff_t c = 0; c < count; c++) {
        for (ptrdiff_t i = 0; i < n; i++) {
            memcpy(out + (c * n + i) * n, square + i * recursion->padded,
                   (size_t)n * sizeof(double));
        }
    }
}

/* to += a square matrix, without padding. */
static void
ss_accumulate(const Recursion *recursion, const double *square, double *to)
{
    const ptrdiff_t n = recursion->n;
    for (ptrdiff_t i = 0; i < n; i++) {
        for (ptrdiff_t j = 0; j < n; j++) {
            to[i * n + j] += square[i * recursion->padded + j];
        }
    }
}

/* Where sums of smoothed covariances are written; see state_space_bindings.h. */
typedef struct {
    double *of_pattern, *first, *last, *information, *cross;
    double *covariances; /* or NULL */
} SmoothedSums;

/* Square matrices of the backward pass. For a filtered state with the covariance S S', the part
   W = S' A' N A S is what later observations take away. */
typedef struct {
    double *precision, *before;            /* N, and N of the step that was looked at before */
    double *explained, *explained_before;  /* W */
    double *carried, *turned;              /* (A S)' and A S */
    double *spread;                        /* A S S' */
    double *squares;                       /* D'D */
    double *precisions, *parts;            /* sums of N and of W over the steps of a run */
    double *work, *more;
} Backward;

static void
ss_swap(double **one, double **other)
{
    double *kept = *one;
    *one = *other;
    *other = kept;
}

/* out = S (count I - W) S' */
static void
ss_smoothed(const Recursion *recursion, const double *root, const double *explained,
            double count, double *work, double *out)
{
    ss_product(recursion, explained, root, NULL, work);
    for (ptrdiff_t i = 0; i < recursion->n * recursion->padded; i++) {
        work[i] = count * root[i] - work[i];
    }
    ss_cross_product(recursion, root, work, recursion->n, NULL, out);
}

/* Covariances in the steps of a run, from the last to the first. */
static void
ss_covariances_backward(const Recursion *recursion, const Run *run, Backward *b,
                        const SmoothedSums *sums)
{
    const ptrdiff_t n = recursion->n, size = n * recursion->padded, quads = size / QUAD;
    const size_t bytes = (size_t)size * sizeof(double);
    double last_change = INFINITY;
    ptrdiff_t left = run->length;

    ss_cross_product(recursion, run->design, run->design, run->n_rows, NULL, b->squares);
    memset(b->precisions, 0, bytes);
    memset(b->parts, 0, bytes);
    while (left > 0) {
        const int compared = left < run->length;
        const ptrdiff_t t = run->step + left - 1;
        ss_swap(&b->explained, &b->explained_before);
        ss_product(recursion, b->precision, b->turned, NULL, b->work);
        ss_product(recursion, b->carried, b->work, NULL, b->explained);
        ss_add(b->parts, 1.0, b->explained, quads);
        ss_add(b->precisions, 1.0, b->precision, quads);
        ss_swap(&b->precision, &b->before);
        ss_product(recursion, b->before, run->moved, NULL, b->work);
        ss_cross_product(recursion, run->moved, b->work, n, b->squares, b->precision);
        left--;

        ptrdiff_t same = 0;
        if (compared && left > 0) {
            double change = ss_change(b->before, b->precision, size);
            for (ptrdiff_t i = 0; i < size; i++) {
                const double apart = fabs(b->explained[i] - b->explained_before[i]);
                change = apart > change ? apart : change;
            }
            /* The rate of the changes has to be known. */
            const int known = last_change < INFINITY;
            if (ss_settled(change, &last_change, recursion->tolerance) &&
                (known || change == 0.0)) {
                same = left;
                ss_add(b->precisions, (double)same, b->precision, quads);
                ss_add(b->parts, (double)same, b->explained, quads);
                left = 0;
            }
        }
        const int is_last = t == recursion->n_steps - 1, is_first = left == 0 && run->step == 0;
        if (sums->covariances || is_last || is_first) {
            ss_smoothed(recursion, run->filtered, b->explained, 1.0, b->work, b->more);
        }
        if (sums->covariances) {
            ss_write(recursion, b->more, sums->covariances + (t - same) * n * n, same + 1);
        }
        if (is_last) {
            ss_write(recursion, b->more, sums->last, 1);
        }
        if (is_first) {
            ss_write(recursion, b->more, sums->first, 1);
        }
    }
    ss_smoothed(recursion, run->filtered, b->parts, (double)run->length, b->work, b->more);
    ss_accumulate(recursion, b->more, sums->of_pattern + run->pattern * n * n);
    ss_accumulate(recursion, b->precisions, sums->information);
    ss_product(recursion, b->precisions, b->spread, NULL, b->work);
    ss_accumulate(recursion, b->work, sums->cross);
}
