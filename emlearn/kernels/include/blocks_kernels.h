/* Inverses of many small positive definite matrices, one in each lane of a vector.

   Included by float_types.h for double precision. A matrix is its lower triangle, row after row,
   each element a vector: element (i, j) of all matrices together is A[i (i + 1) / 2 + j]. */

#define TRIANGLE(i) ((i) * ((i) + 1) / 2)

/* Negative inverse in place by sweeping two pivots at a time, and the log-determinant.

   With the pivots' block B and its columns c, a sweep turns
       B into -inv(B),   c into c inv(B),   the rest R into R - c inv(B) c'.
   Two at a time halve the passes over the triangle, and so do two rows at a time.

   order      even; odd ones are padded with a row of the identity
   scratch    4 x order vectors
   returns the lanes in which a pivot was not positive */
INLINE IVEC
FN(sweep)(VEC *A, ptrdiff_t order, VEC *scratch, VEC *log_det)
{
    VEC *first = scratch, *second = first + order;
    VEC *first_solved = second + order, *second_solved = first_solved + order;
    IVEC failed = {0};
    VEC sum = {0};
    for (ptrdiff_t k = 0; k < order; k += 2) {
        const VEC *top = A + TRIANGLE(k), *bottom = A + TRIANGLE(k + 1);
        const VEC pivot = top[k], across = bottom[k];
        const VEC inverse = 1 / pivot;
        const VEC ratio = across * inverse;
        const VEC rest = bottom[k + 1] - across * ratio;
        const VEC inverse_rest = 1 / rest;
        failed |= ~(pivot > 0) | ~(rest > 0);
        sum += FN(log)(pivot * rest);
        for (ptrdiff_t i = 0; i < order; i++) {
            const VEC *row = A + TRIANGLE(i);
            const VEC a = i < k ? top[i] : row[k];
            const VEC b = i <= k ? bottom[i] : row[k + 1];
            const VEC solved = (b - ratio * a) * inverse_rest;
            first[i] = a;
            second[i] = b;
            second_solved[i] = solved;
            first_solved[i] = a * inverse - ratio * solved;
        }
        for (ptrdiff_t i = 0; i < order; i += 2) {
            VEC *upper = A + TRIANGLE(i), *lower = A + TRIANGLE(i + 1);
            const VEC a = first[i], b = second[i], c = first[i + 1], d = second[i + 1];
            for (ptrdiff_t j = 0; j <= i; j++) {
                const VEC u = first_solved[j], v = second_solved[j];
                upper[j] = upper[j] - a * u - b * v;
                lower[j] = lower[j] - c * u - d * v;
            }
            lower[i + 1] = lower[i + 1] - c * first_solved[i + 1] - d * second_solved[i + 1];
        }
        for (ptrdiff_t i = 0; i < k; i++) {
            A[TRIANGLE(k) + i] = first_solved[i];
            A[TRIANGLE(k + 1) + i] = second_solved[i];
        }
        A[TRIANGLE(k) + k] = -inverse - ratio * ratio * inverse_rest;
        A[TRIANGLE(k + 1) + k] = ratio * inverse_rest;
        A[TRIANGLE(k + 1) + k + 1] = -inverse_rest;
        for (ptrdiff_t i = k + 2; i < order; i++) {
            A[TRIANGLE(i) + k] = first_solved[i];
            A[TRIANGLE(i) + k + 1] = second_solved[i];
        }
    }
    *log_det = sum;
    return failed;
}

/* x = factor A b for the symmetric matrix A. */
INLINE void
FN(multiply)(const VEC *A, ptrdiff_t order, REAL factor, const VEC *b, VEC *x)
{
    for (ptrdiff_t i = 0; i < order; i++) {
        const VEC *row = A + TRIANGLE(i);
        const VEC own = b[i] * factor;
        VEC sum = row[i] * own;
        for (ptrdiff_t j = 0; j < i; j++) {
            x[j] += row[j] * own;
            sum += row[j] * b[j] * factor;
        }
        x[i] = sum;
    }
}

/* L D L' in place: L below the diagonal, the inverse of D on it; and the log-determinant.

   scratch    order vectors
   returns the lanes in which a pivot was not positive */
INLINE IVEC
FN(factorize)(VEC *A, ptrdiff_t order, VEC *scratch, VEC *log_det)
{
    IVEC failed = {0};
    VEC sum = {0};
    for (ptrdiff_t k = 0; k < order; k++) {
        const VEC pivot = A[TRIANGLE(k) + k];
        const VEC inverse = 1 / pivot;
        failed |= ~(pivot > 0);
        sum += FN(log)(pivot);
        A[TRIANGLE(k) + k] = inverse;
        for (ptrdiff_t i = k + 1; i < order; i++) {
            VEC *row = A + TRIANGLE(i);
            const VEC own = row[k];
            scratch[i] = own * inverse;
            for (ptrdiff_t j = k + 1; j <= i; j++) {
                row[j] -= own * scratch[j];
            }
            row[k] = scratch[i];
        }
    }
    *log_det = sum;
    return failed;
}

/* x = factor inv(A) b from what `factorize` left; x may be b. */
INLINE void
FN(substitute)(const VEC *A, ptrdiff_t order, REAL factor, const VEC *b, VEC *x)
{
    for (ptrdiff_t i = 0; i < order; i++) {
        const VEC *row = A + TRIANGLE(i);
        VEC sum = b[i];
        for (ptrdiff_t j = 0; j < i; j++) {
            sum -= row[j] * x[j];
        }
        x[i] = sum;
    }
    for (ptrdiff_t i = 0; i < order; i++) {
        x[i] = x[i] * A[TRIANGLE(i) + i] * factor;
    }
    for (ptrdiff_t i = order - 1; i > 0; i--) {
        const VEC *row = A + TRIANGLE(i);
        for (ptrdiff_t j = 0; j < i; j++) {
            x[j] -= row[j] * x[i];
        }
    }
}

/* What belongs to one call of `solve_blocks`; see blocks_bindings.h. */
typedef struct {
    const REAL *matrix;
    ptrdiff_t n_columns;
    const uint16_t *columns;
    const int64_t *starts, *edges;
    const REAL *vectors;
    REAL *out;
    REAL factor;
    const REAL *weights;
    REAL *target, *log_det;
} FN(Blocks);

/* Patterns `start` to `start + used` of equal order, one in each lane; 0 if one is singular. */
static int
FN(solve_together)(const FN(Blocks) *in, ptrdiff_t start, ptrdiff_t used, ptrdiff_t order,
                   VEC *memory)
{
    const ptrdiff_t d = in->n_columns, padded = order + (order & 1);
    VEC *A = memory, *scratch = A + TRIANGLE(padded), *b = scratch + 4 * padded, *x = b + padded;
    REAL *elements = (REAL *)A;
    ptrdiff_t most = 0;
    for (ptrdiff_t lane = 0; lane < LANES; lane++) {
        const ptrdiff_t pattern = start + (lane < used ? lane : 0);
        const uint16_t *own = in->columns + in->starts[pattern];
        REAL *to = elements + lane;
        for (ptrdiff_t i = 0; i < order; i++) {
            const REAL *row = in->matrix + own[i] * d;
            for (ptrdiff_t j = 0; j <= i; j++, to += LANES) {
                *to = row[own[j]];
            }
        }
        const ptrdiff_t n_rows = (ptrdiff_t)(in->edges[pattern + 1] - in->edges[pattern]);
        most = n_rows > most ? n_rows : most;
    }
    if (padded > order) {
        VEC *last = A + TRIANGLE(order);
        for (ptrdiff_t j = 0; j < order; j++) {
            last[j] = (VEC){0};
        }
        last[order] = FN(broadcast)(1);
        b[order] = (VEC){0};
    }
    const int whole = in->target != NULL;
    VEC log_det;
    const IVEC failed = whole ? FN(sweep)(A, padded, scratch, &log_det)
                              : FN(factorize)(A, order, scratch, &log_det);
    for (ptrdiff_t lane = 0; lane < used; lane++) {
        if (failed[lane]) {
            return 0;
        }
        in->log_det[start + lane] = log_det[lane];
    }
    for (ptrdiff_t r = 0; in->vectors != NULL && r < most; r++) {
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            const ptrdiff_t pattern = start + (lane < used ? lane : 0);
            const ptrdiff_t row = (ptrdiff_t)in->edges[pattern] + r;
            REAL *to = (REAL *)b + lane;
            if (row >= in->edges[pattern + 1]) {
                for (ptrdiff_t i = 0; i < order; i++) {
                    to[i * LANES] = 0;
                }
                continue;
            }
            const uint16_t *own = in->columns + in->starts[pattern];
            const REAL *from = in->vectors + row * d;
            for (ptrdiff_t i = 0; i < order; i++) {
                to[i * LANES] = from[own[i]];
            }
        }
        if (whole) {
            FN(multiply)(A, order, -in->factor, b, x);
        } else {
            FN(substitute)(A, order, in->factor, b, x);
        }
        for (ptrdiff_t lane = 0; lane < used; lane++) {
            const ptrdiff_t row = (ptrdiff_t)in->edges[start + lane] + r;
            if (row >= in->edges[start + lane + 1]) {
                continue;
            }
            const uint16_t *own = in->columns + in->starts[start + lane];
            const REAL *from = (const REAL *)x + lane;
            REAL *to = in->out + row * d;
            for (ptrdiff_t i = 0; i < order; i++) {
                to[own[i]] = from[i * LANES];
            }
        }
    }
    for (ptrdiff_t lane = 0; whole && lane < used; lane++) {
        const REAL weight = -in->weights[start + lane];
        const uint16_t *own = in->columns + in->starts[start + lane];
        const REAL *from = elements + lane;
        for (ptrdiff_t i = 0; i < order; i++) {
            REAL *row = in->target + own[i] * d;
            for (ptrdiff_t j = 0; j <= i; j++, from += LANES) {
                row[own[j]] += weight * *from;
            }
        }
    }
    return 1;
}

/* See blocks_bindings.h. Returns 1, or 0 if a block is not positive definite, or -1 without
   memory. */
static int
FN(solve_blocks)(const FN(Blocks) *in, ptrdiff_t n_patterns, ptrdiff_t largest)
{
    const ptrdiff_t padded = largest + (largest & 1);
    VEC *memory = aligned_memory((size_t)(TRIANGLE(padded) + 6 * padded), sizeof(VEC));
    if (memory == NULL) {
        return -1;
    }
    int result = 1;
    ptrdiff_t used;
    for (ptrdiff_t start = 0; result && start < n_patterns; start += used) {
        const int64_t order = in->starts[start + 1] - in->starts[start];
        for (used = 1; used < LANES && start + used < n_patterns; used++) {
            if (in->starts[start + used + 1] - in->starts[start + used] != order) {
                break;
            }
        }
        if (order == 0) {
            for (ptrdiff_t lane = 0; lane < used; lane++) {
                in->log_det[start + lane] = 0;
            }
            continue;
        }
        result = FN(solve_together)(in, start, used, (ptrdiff_t)order, memory);
    }
    aligned_free(memory);
    for (ptrdiff_t i = 0; in->target != NULL && i < in->n_columns; i++) {
        for (ptrdiff_t j = 0; j < i; j++) {
            in->target[j * in->n_columns + i] = in->target[i * in->n_columns + j];
        }
    }
    return result;
}
