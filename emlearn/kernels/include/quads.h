/* Rows of doubles, padded with zeros to whole quads of four; vectors of any processor. */

#define QUAD 4

typedef double quad __attribute__((vector_size(8 * QUAD), aligned(8), may_alias));

INLINE quad
quad_repeat(double value)
{
    return value - (quad){0};
}

INLINE double
quad_sum(const quad *v, ptrdiff_t n_quads)
{
    quad total = v[0];
    for (ptrdiff_t q = 1; q < n_quads; q++) {
        total += v[q];
    }
    return (total[0] + total[2]) + (total[1] + total[3]);
}

/* Pads n numbers in each of n_rows rows with zeros. */
static void
quad_pad(const double *rows, ptrdiff_t n_rows, ptrdiff_t n, ptrdiff_t padded, double *out)
{
    memset(out, 0, (size_t)(n_rows * padded) * sizeof(double));
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        memcpy(out + i * padded, rows + i * n, (size_t)n * sizeof(double));
    }
}
