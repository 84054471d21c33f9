/* L D L' of a sparse symmetric matrix, and the entries of the inverse where L has them.

   The last rows and columns, the tail, are where L is all but dense: the kernels subtract from
   the tail what the columns before it explain, and leave it to LAPACK. L has the `n_sparse`
   columns before the tail, each with its rows below the diagonal in increasing order; the first of
   these is the parent of the column in the elimination tree. */

typedef struct {
    ptrdiff_t n, n_sparse;
    const int64_t *starts;
    const int32_t *rows;
} Factor;

/* The columns k < row for which L[row, k] is not 0, children before parents, at the end of
   `stack`; returns where they begin. `above` are the columns of the matrix in this row, `mark` the
   last row that each column was seen in, `parents` the elimination tree, with n at the roots. If
   `grow`, the tree is made. */
static ptrdiff_t
find_row(ptrdiff_t row, const int32_t *above, ptrdiff_t n_above, ptrdiff_t n, int32_t *parents,
         int32_t *mark, int32_t *path, int32_t *stack, int grow)
{
    ptrdiff_t top = n;
    mark[row] = (int32_t)row;
    for (ptrdiff_t e = 0; e < n_above; e++) {
        ptrdiff_t k = above[e], length = 0;
        while (k < row && mark[k] != row) {
            if (grow && parents[k] == n) {
                parents[k] = (int32_t)row;
            }
            path[length++] = (int32_t)k;
            mark[k] = (int32_t)row;
            k = parents[k];
        }
        while (length > 0) {
            stack[--top] = path[--length];
        }
    }
    return top;
}

/* Goes through the pattern of L, row by row. Without `rows_found` it adds 1 to next[k] for each
   entry below the diagonal of column k; else it writes the row of the entry to
   rows_found[next[k]++]. Both for the first n_sparse columns. Returns 0, 1 if next[k] comes to
   ends[k] too early, or -1 if out of memory. */
static int
find_pattern(ptrdiff_t n, const int64_t *starts, const int32_t *rows, ptrdiff_t n_sparse,
             int64_t *next, const int64_t *ends, int32_t *rows_found)
{
    int32_t *work = aligned_memory(add_size(0, n, 4), sizeof(int32_t));
    int status = 0;
    if (work == NULL) {
        return -1;
    }
    int32_t *parents = work, *mark = work + n, *path = work + 2 * n, *stack = work + 3 * n;
    for (ptrdiff_t k = 0; k < n; k++) {
        parents[k] = (int32_t)n;
        mark[k] = -1;
    }
    for (ptrdiff_t row = 0; status == 0 && row < n; row++) {
        ptrdiff_t at = find_row(row, rows + starts[row], starts[row + 1] - starts[row], n, parents,
                                mark, path, stack, 1);
        for (; at < n; at++) {
            const ptrdiff_t k = stack[at];
            if (k < n_sparse && rows_found != NULL) {
                if (next[k] == ends[k]) {
                    status = 1;
                    break;
                }
                rows_found[next[k]] = (int32_t)row;
            }
            if (k < n_sparse) {
                next[k]++;
            }
        }
    }
    aligned_free(work);
    return status;
}

/* See sparse_bindings.h. Returns 0, or -1 if out of memory. */
static int
count_columns(ptrdiff_t n, const int64_t *starts, const int32_t *rows, int64_t *counts)
{
    for (ptrdiff_t k = 0; k < n; k++) {
        counts[k] = 1;
    }
    return find_pattern(n, starts, rows, n, counts, NULL, NULL);
}

/* See sparse_bindings.h. Returns 0, 1 if the columns do not have these numbers of entries, or -1
   if out of memory. */
static int
find_columns(ptrdiff_t n, const int64_t *starts, const int32_t *rows, ptrdiff_t n_sparse,
             const int64_t *factor_starts, int32_t *factor_rows)
{
    int64_t *next = aligned_memory(add_size(0, n_sparse, 1), sizeof(int64_t));
    if (next == NULL) {
        return -1;
    }
    memcpy(next, factor_starts, (size_t)n_sparse * sizeof(int64_t));
    int status = find_pattern(n, starts, rows, n_sparse, next, factor_starts + 1, factor_rows);
    for (ptrdiff_t k = 0; status == 0 && k < n_sparse; k++) {
        status = next[k] != factor_starts[k + 1];
    }
    aligned_free(next);
    return status;
}

/* See sparse_bindings.h: row by row, each by a triangular solution with the rows before it; what is
   left of a row of the tail is its Schur complement. Returns the number of positive pivots before
   the first that is not; -1 if out of memory, -2 if the pattern is not that of the matrix. */
static ptrdiff_t
factorize_columns(const Factor *factor, const int64_t *starts, const int32_t *rows,
                  const double *matrix, double *values, double *pivots, double *tail)
{
    const ptrdiff_t n = factor->n, n_sparse = factor->n_sparse, n_tail = n - n_sparse;
    int32_t *work = aligned_memory(add_size(0, n, 4), sizeof(int32_t));
    int64_t *next = aligned_memory(add_size(0, n_sparse, 1), sizeof(int64_t));
    double *x = aligned_memory(add_size(0, n, 1), sizeof(double));
    ptrdiff_t status = n_sparse;
    if (work == NULL || next == NULL || x == NULL) {
        status = -1;
        goto end;
    }
    int32_t *parents = work, *mark = work + n, *path = work + 2 * n, *stack = work + 3 * n;
    for (ptrdiff_t k = 0; k < n; k++) {
        mark[k] = -1;
        x[k] = 0.0;
        parents[k] = (int32_t)n;
    }
    for (ptrdiff_t k = 0; k < n_sparse; k++) {
        next[k] = factor->starts[k];
        if (next[k] < factor->starts[k + 1]) {
            parents[k] = factor->rows[next[k]];
        }
    }
    for (ptrdiff_t row = 0; row < n; row++) {
        for (int64_t e = starts[row]; e < starts[row + 1]; e++) {
            x[rows[e]] = matrix[e];
        }
        double pivot = x[row];
        x[row] = 0.0;
        ptrdiff_t at = find_row(row, rows + starts[row], starts[row + 1] - starts[row], n, parents,
                                mark, path, stack, 0);
        for (; at < n; at++) {
            const ptrdiff_t k = stack[at];
            if (k >= n_sparse) {
                continue;
            }
            const double y = x[k], entry = y / pivots[k];
            x[k] = 0.0;
            for (int64_t e = factor->starts[k]; e < next[k]; e++) {
                x[factor->rows[e]] -= values[e] * y;
            }
            if (next[k] == factor->starts[k + 1] || factor->rows[next[k]] != row) {
                status = -2;
                goto end;
            }
            values[next[k]++] = entry;
            pivot -= entry * y;
        }
        if (row >= n_sparse) {
            double *own = tail + (row - n_sparse) * n_tail;
            memset(own, 0, (size_t)n_tail * sizeof(double));
            for (ptrdiff_t k = n_sparse; k < row; k++) {
                own[k - n_sparse] = x[k];
                x[k] = 0.0;
            }
            own[row - n_sparse] = pivot;
        } else if (pivot > 0.0) {
            pivots[row] = pivot;
        } else {
            status = row;
            break;
        }
    }
end:
    aligned_free(work);
    aligned_free(next);
    aligned_free(x);
    return status;
}

/* In place: right = inv(L) right, or inv(L') right if `backward`, for the columns before the
   tail. */
static void
solve_columns(const Factor *factor, const double *values, double *right, ptrdiff_t n_columns,
              int backward)
{
    for (ptrdiff_t i = 0; i < factor->n_sparse; i++) {
        const ptrdiff_t k = backward ? factor->n_sparse - 1 - i : i;
        double *own = right + k * n_columns;
        for (ptrdiff_t e = factor->starts[k]; e < factor->starts[k + 1]; e++) {
            double *other = right + factor->rows[e] * n_columns;
            const double value = values[e];
            if (backward) {
                for (ptrdiff_t c = 0; c < n_columns; c++) {
                    own[c] -= value * other[c];
                }
            } else {
                for (ptrdiff_t c = 0; c < n_columns; c++) {
                    other[c] -= value * own[c];
                }
            }
        }
    }
}

/* A column of a symmetric matrix, below the diagonal, times a vector: adds to `product` what it
   makes there and returns what it makes in the row of the diagonal. Row i is at position[i] of
   both vectors. */
static double
add_column(const double *column, const int32_t *rows, ptrdiff_t n_rows, const int32_t *position,
           double own, const double *vector, double *product)
{
    double sum = 0.0;
    for (ptrdiff_t e = 0; e < n_rows; e++) {
        const ptrdiff_t at = position[rows[e]];
        product[at] += column[e] * own;
        sum += column[e] * vector[at];
    }
    return sum;
}

/* See sparse_bindings.h: the recursion of Takahashi, from the last column to the first. With the
   rows r of L in a column, inverse[r, k] = -inverse[r, r] L[r, k], and all of inverse[r, r] is
   known. Returns 0, or -1 if out of memory. */
static int
invert_selected(const Factor *factor, const double *values, const double *pivots,
                const double *tail, double *inverse, double *diagonal)
{
    const ptrdiff_t n = factor->n, n_sparse = factor->n_sparse, n_tail = n - n_sparse;
    const int64_t *starts = factor->starts;
    /* Rows that are not in a column have position 0, where the vector is 0. */
    int32_t *position = aligned_memory(add_size(1, n, 1), sizeof(int32_t));
    double *work = aligned_memory(add_size(2, n, 2), sizeof(double));
    if (position == NULL || work == NULL) {
        aligned_free(position);
        aligned_free(work);
        return -1;
    }
    double *vector = work, *product = work + n + 1;
    memset(position, 0, (size_t)n * sizeof(int32_t));
    vector[0] = 0.0;
    for (ptrdiff_t k = n_sparse - 1; k >= 0; k--) {
        const int32_t *rows = factor->rows + starts[k];
        const double *column = values + starts[k];
        const ptrdiff_t size = starts[k + 1] - starts[k];
        for (ptrdiff_t a = 0; a < size; a++) {
            position[rows[a]] = (int32_t)(a + 1);
            vector[a + 1] = column[a];
        }
        memset(product, 0, (size_t)(size + 1) * sizeof(double));
        ptrdiff_t at = 0;
        for (; at < size && rows[at] < n_sparse; at++) {
            const int64_t first = starts[rows[at]];
            product[at + 1] += diagonal[rows[at]] * column[at];
            product[at + 1] += add_column(inverse + first, factor->rows + first,
                                          starts[rows[at] + 1] - first, position, column[at],
                                          vector, product);
        }
        for (ptrdiff_t first = at; at < size; at++) {
            const double *row = tail + (rows[at] - n_sparse) * n_tail - n_sparse;
            double own = row[rows[at]] * column[at];
            for (ptrdiff_t a = first; a < at; a++) {
                own += row[rows[a]] * column[a];
                product[a + 1] += row[rows[a]] * column[at];
            }
            product[at + 1] += own;
        }
        double sum = 1.0 / pivots[k];
        for (ptrdiff_t a = 0; a < size; a++) {
            inverse[starts[k] + a] = -product[a + 1];
            sum += column[a] * product[a + 1];
            position[rows[a]] = 0;
        }
        diagonal[k] = sum;
    }
    aligned_free(position);
    aligned_free(work);
    return 0;
}
