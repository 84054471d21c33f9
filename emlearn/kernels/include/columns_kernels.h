/* Tables with missing entries, NaN, of single or double precision; included by float_types.h. */

#undef TABLE_ROWS
#define TABLE_ROWS 256

/* Weight, sum and range of what is observed of each column. Sums of up to TABLE_ROWS rows are
   added up, so that rounding errors do not grow with the number of rows.

   part     2 x n_columns numbers to work with */
static void
FN(column_sums)(const void *table_, const double *weight, double factor, ptrdiff_t n_rows,
                ptrdiff_t n_columns, double *restrict weights, double *restrict totals,
                double *restrict lowest, double *restrict highest, double *restrict part)
{
    const REAL *restrict table = table_;
    double *restrict count = part, *restrict total = part + n_columns;
    for (ptrdiff_t start = 0; start < n_rows; start += TABLE_ROWS) {
        const ptrdiff_t stop = n_rows - start < TABLE_ROWS ? n_rows : start + TABLE_ROWS;
        memset(part, 0, 2 * (size_t)n_columns * sizeof(double));
        for (ptrdiff_t row = start; row < stop; row++) {
            const double own = weight ? weight[row] : 1.0;
            if (!(own > 0.0)) {
                continue;
            }
            const REAL *restrict x = table + row * n_columns;
            const double scaled = own * factor;
            for (ptrdiff_t j = 0; j < n_columns; j++) {
                const double value = x[j];
                const int seen = value == value;
                count[j] += seen ? own : 0.0;
                total[j] += seen ? value * scaled : 0.0;
                lowest[j] = value < lowest[j] ? value : lowest[j];
                highest[j] = value > highest[j] ? value : highest[j];
            }
        }
        for (ptrdiff_t j = 0; j < n_columns; j++) {
            weights[j] += count[j];
            totals[j] += total[j];
        }
    }
}

/* Weighted sums of ((x - center) / unit)^2 over what is observed of each column. */
static void
FN(column_squares)(const void *table_, const double *weight, const double *restrict center,
                   const double *restrict unit, ptrdiff_t n_rows, ptrdiff_t n_columns,
                   double *restrict squares, double *restrict part)
{
    const REAL *restrict table = table_;
    for (ptrdiff_t start = 0; start < n_rows; start += TABLE_ROWS) {
        const ptrdiff_t stop = n_rows - start < TABLE_ROWS ? n_rows : start + TABLE_ROWS;
        memset(part, 0, (size_t)n_columns * sizeof(double));
        for (ptrdiff_t row = start; row < stop; row++) {
            const double own = weight ? weight[row] : 1.0;
            if (!(own > 0.0)) {
                continue;
            }
            const REAL *restrict x = table + row * n_columns;
            for (ptrdiff_t j = 0; j < n_columns; j++) {
                const double value = ((double)x[j] - center[j]) / unit[j];
                part[j] += value == value ? value * value * own : 0.0;
            }
        }
        for (ptrdiff_t j = 0; j < n_columns; j++) {
            squares[j] += part[j];
        }
    }
}

/* Rows in the order of their patterns are scattered over the table: prefetch some rows ahead. */
INLINE void
FN(prefetch)(const REAL *table, const int64_t *order, ptrdiff_t row, ptrdiff_t n_chosen,
             ptrdiff_t n_columns)
{
    if (row + 8 < n_chosen) {
        const char *next = (const char *)(table + (ptrdiff_t)order[row + 8] * n_columns);
        const char *end = next + (size_t)n_columns * sizeof(REAL);
        for (; next < end; next += ALIGNMENT) {
            __builtin_prefetch(next);
        }
    }
}

/* out = (chosen rows - center) / scale x factor, 0 where an entry is missing. */
static void
FN(standardize)(const void *table_, const int64_t *order, const double *restrict center,
                const double *restrict scale, const double *factor, ptrdiff_t n_chosen,
                ptrdiff_t n_columns, double *restrict out)
{
    const REAL *restrict table = table_;
    for (ptrdiff_t row = 0; row < n_chosen; row++) {
        const REAL *restrict x = table + (ptrdiff_t)order[row] * n_columns;
        const double own = factor ? factor[row] : 1.0;
        FN(prefetch)(table, order, row, n_chosen, n_columns);
        for (ptrdiff_t j = 0; j < n_columns; j++) {
            const double value = ((double)x[j] - center[j]) / scale[j];
            out[j] = value == value ? value * own : 0.0;
        }
        out += n_columns;
    }
}

/* Missing entries of the chosen rows of a table = values x scale + center. */
static void
FN(fill_missing)(const double *restrict values, const int64_t *order,
                 const uint8_t *restrict missing, const double *restrict center,
                 const double *restrict scale, ptrdiff_t n_chosen, ptrdiff_t n_columns,
                 void *table_)
{
    REAL *restrict table = table_;
    for (ptrdiff_t row = 0; row < n_chosen; row++) {
        REAL *restrict x = table + (ptrdiff_t)order[row] * n_columns;
        FN(prefetch)(table, order, row, n_chosen, n_columns);
        for (ptrdiff_t j = 0; j < n_columns; j++) {
            /* By their bits, since a choice between two numbers would not be vectorized. */
            const REAL value = (REAL)(values[j] * scale[j] + center[j]);
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
/* out = rows - factor x mean, and 0 where an entry is missing. */
static void
FN(center_observed)(const REAL *restrict rows, const REAL *restrict factor,
                    const uint8_t *restrict missing, const REAL *restrict mean, ptrdiff_t n_rows,
                    ptrdiff_t n_columns, REAL *restrict out)
{
    for (ptrdiff_t row = 0; row < n_rows; row++) {
        const REAL own = factor[row];
        for (ptrdiff_t j = 0; j < n_columns; j++) {
            const REAL seen = (REAL)1 - (REAL)missing[j];
            out[j] = rows[j] - own * mean[j] * seen;
        }
        rows += n_columns;
        missing += n_columns;
        out += n_columns;
    }
}
#endif
