/* Tables with missing entries, NaN, of single or double precision; included by precisions.h. */

#undef TABLE_ROWS
#define TABLE_ROWS 256

/* Weight, sum and range of what is observed of each column. Sums of up to TABLE_ROWS rows are
   added up, so that rounding errors do not grow with the number of rows.

   part     2 x n_columns numbers to work with */
static void
FN(column_sums)(const void *table_, const double *weight, double share, Py_ssize_t n_rows,
                Py_ssize_t n_columns, double *restrict weights, double *restrict totals,
                double *restrict lowest, double *restrict highest, double *restrict part)
{
    const REAL *restrict table = table_;
    double *restrict count = part, *restrict total = part + n_columns;
    for (Py_ssize_t start = 0; start < n_rows; start += TABLE_ROWS) {
        const Py_ssize_t stop = n_rows - start < TABLE_ROWS ? n_rows : start + TABLE_ROWS;
        memset(part, 0, 2 * (size_t)n_columns * sizeof(double));
        for (Py_ssize_t row = start; row < stop; row++) {
            const double own = weight ? weight[row] : 1.0;
            if (!(own > 0.0)) {
                continue;
            }
            const REAL *restrict x = table + row * n_columns;
            const double factor = own * share;
            for (Py_ssize_t j = 0; j < n_columns; j++) {
                const double value = x[j];
                const int seen = value == value;
                count[j] += seen ? own : 0.0;
                total[j] += seen ? value * factor : 0.0;
                lowest[j] = value < lowest[j] ? value : lowest[j];
                highest[j] = value > highest[j] ? value : highest[j];
            }
        }
        for (Py_ssize_t j = 0; j < n_columns; j++) {
            weights[j] += count[j];
            totals[j] += total[j];
        }
    }
}

/* Weighted sums of ((x - centre) / unit)^2 over what is observed of each column. */
static void
FN(column_squares)(const void *table_, const double *weight, const double *restrict centre,
                   const double *restrict unit, Py_ssize_t n_rows, Py_ssize_t n_columns,
                   double *restrict squares, double *restrict part)
{
    const REAL *restrict table = table_;
    for (Py_ssize_t start = 0; start < n_rows; start += TABLE_ROWS) {
        const Py_ssize_t stop = n_rows - start < TABLE_ROWS ? n_rows : start + TABLE_ROWS;
        memset(part, 0, (size_t)n_columns * sizeof(double));
        for (Py_ssize_t row = start; row < stop; row++) {
            const REAL *restrict x = table + row * n_columns;
            const double own = weight ? weight[row] : 1.0;
            for (Py_ssize_t j = 0; j < n_columns; j++) {
                const double value = ((double)x[j] - centre[j]) / unit[j];
                part[j] += value == value ? value * value * own : 0.0;
            }
        }
        for (Py_ssize_t j = 0; j < n_columns; j++) {
            squares[j] += part[j];
        }
    }
}

/* Rows in the order of their patterns lie anywhere in the table: ask for one some rows ahead. */
INLINE void
FN(prefetch)(const REAL *table, const int64_t *order, Py_ssize_t row, Py_ssize_t n_chosen,
             Py_ssize_t n_columns)
{
    if (row + 8 < n_chosen) {
        const char *next = (const char *)(table + (Py_ssize_t)order[row + 8] * n_columns);
        const char *end = next + (size_t)n_columns * sizeof(REAL);
        for (; next < end; next += 64) {
            __builtin_prefetch(next);
        }
    }
}

/* out = (chosen rows - centre) / scale x share, 0 where an entry is missing. */
static void
FN(standardize)(const void *table_, const int64_t *order, const double *restrict centre,
                const double *restrict scale, const double *share, Py_ssize_t n_chosen,
                Py_ssize_t n_columns, double *restrict out)
{
    const REAL *restrict table = table_;
    for (Py_ssize_t row = 0; row < n_chosen; row++) {
        const REAL *restrict x = table + (Py_ssize_t)order[row] * n_columns;
        const double own = share ? share[row] : 1.0;
        FN(prefetch)(table, order, row, n_chosen, n_columns);
        for (Py_ssize_t j = 0; j < n_columns; j++) {
            const double value = ((double)x[j] - centre[j]) / scale[j];
            out[j] = value == value ? value * own : 0.0;
        }
        out += n_columns;
    }
}

/* Missing entries of the chosen rows of a table = values x scale + centre. */
static void
FN(restore)(const double *restrict values, const int64_t *order, const uint8_t *restrict missing,
            const double *restrict centre, const double *restrict scale, Py_ssize_t n_chosen,
            Py_ssize_t n_columns, void *table_)
{
    REAL *restrict table = table_;
    for (Py_ssize_t row = 0; row < n_chosen; row++) {
        REAL *restrict x = table + (Py_ssize_t)order[row] * n_columns;
        FN(prefetch)(table, order, row, n_chosen, n_columns);
        for (Py_ssize_t j = 0; j < n_columns; j++) {
            /* By their bits, since a choice between two numbers would not be vectorized. */
            const REAL value = (REAL)(values[j] * scale[j] + centre[j]);
            const INTEGER mask = -(INTEGER)missing[j];
            INTEGER new, old;
            memcpy(&new, &value, sizeof new);
            memcpy(&old, x + j, sizeof old);
            new = (new & mask) | (old & ~mask);
            memcpy(x + j, &new, sizeof new);
        }
        values += n_columns;
        missing += n_columns;
    }
}

#if IS_DOUBLE
/* out = rows - share x mean, and 0 where an entry is missing. */
static void
FN(deviate)(const REAL *restrict rows, const REAL *restrict share, const uint8_t *restrict missing,
            const REAL *restrict mean, Py_ssize_t n_rows, Py_ssize_t n_columns, REAL *restrict out)
{
    for (Py_ssize_t row = 0; row < n_rows; row++) {
        const REAL own = share[row];
        for (Py_ssize_t j = 0; j < n_columns; j++) {
            const REAL seen = (REAL)1 - (REAL)missing[j];
            out[j] = rows[j] - own * mean[j] * seen;
        }
        rows += n_columns;
        missing += n_columns;
        out += n_columns;
    }
}
#endif
