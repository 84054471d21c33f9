/* From log-joint densities to responsibilities; included by float_types.h. */

#undef SOFTMAX_ROWS
#define SOFTMAX_ROWS 512

/* The largest of each row is subtracted before exponentials are taken.

   joint    n_components rows of `stride` numbers, of which the first n_rows, a multiple of
            LANES, are turned into responsibilities times weight
   weight   n_rows weights
   density  n_rows log-densities: out. -inf where all components have -inf (responsibilities
            are 0 then); NaN where one of them is NaN or +inf. */
INLINE void
FN(softmax)(REAL *joint, ptrdiff_t stride, ptrdiff_t n_components, ptrdiff_t n_rows,
            const REAL *weight, REAL *density)
{
    const VEC infinite = FN(broadcast)((REAL)INFINITY);
    for (ptrdiff_t row = 0; row < n_rows; row += LANES) {
        VEC largest = FN(load)(joint + row);
        for (ptrdiff_t k = 1; k < n_components; k++) {
            largest = FN(larger)(FN(load)(joint + k * stride + row), largest);
        }
        /* 0 is subtracted from a row of -inf, so that NaN comes from a NaN alone. */
        const IVEC impossible = largest == -infinite;
        const VEC subtracted = FN(select)(impossible, (VEC){0}, largest);
        VEC total = {0}, check = {0};
        for (ptrdiff_t k = 0; k < n_components; k++) {
            const VEC below = FN(load)(joint + k * stride + row) - subtracted;
            const VEC ratio = FN(exp)(below);
            check += below;
            total += ratio;
            FN(store)(joint + k * stride + row, ratio);
        }
        total = FN(select)(impossible, FN(broadcast)(1), total);
        const VEC value = largest + FN(log)(total);
        FN(store)(density + row, FN(select)(check != check, check, value));
        const VEC factor = FN(load)(weight + row) / total;
        for (ptrdiff_t k = 0; k < n_components; k++) {
            REAL *ratio = joint + k * stride + row;
            FN(store)(ratio, FN(load)(ratio) * factor);
        }
    }
}

/* The density, and 0 for a row of weight 0. By its bits: GCC 12 makes wrong code for AVX2 of a
   choice between two numbers here. */
INLINE double
FN(counted)(double weight, double density)
{
    const int64_t mask = -(int64_t)(weight != 0.0);
    int64_t bits;
    memcpy(&bits, &density, sizeof bits);
    bits &= mask;
    memcpy(&density, &bits, sizeof bits);
    return density;
}

/* Sum of weight x density over rows, in double precision. A row of weight 0 does not count,
   even where its density is -inf. */
INLINE double
FN(weighted_sum)(const REAL *weight, const REAL *density, ptrdiff_t n_rows)
{
    double parts[8] = {0};
    ptrdiff_t row = 0;
    for (; row + 8 <= n_rows; row += 8) {
        for (int i = 0; i < 8; i++) {
            const double own = weight[row + i];
            parts[i] += own * FN(counted)(own, (double)density[row + i]);
        }
    }
    for (; row < n_rows; row++) {
        const double own = weight[row];
        parts[0] += own * FN(counted)(own, (double)density[row]);
    }
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
           ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

/* See softmax_bindings.h. Returns 0, or -1 if out of memory. */
static int
FN(responsibilities)(void *joint_, ptrdiff_t n_components, ptrdiff_t n_rows, const double *weight,
                     double *density, double *sum)
{
    REAL *joint = joint_;
    REAL weights[SOFTMAX_ROWS], values[SOFTMAX_ROWS];
    *sum = 0.0;
    for (ptrdiff_t start = 0; start < n_rows; start += SOFTMAX_ROWS) {
        const ptrdiff_t size = n_rows - start < SOFTMAX_ROWS ? n_rows - start : SOFTMAX_ROWS;
        const ptrdiff_t whole = size / LANES * LANES;
        for (ptrdiff_t i = 0; i < size; i++) {
            weights[i] = weight ? (REAL)weight[start + i] : (REAL)1;
        }
        FN(softmax)(joint + start, n_rows, n_components, whole, weights, values);
        if (whole < size) {
            /* The last rows, padded to a vector. */
            REAL *tail = joint + start + whole;
            const size_t left = (size_t)(size - whole) * sizeof(REAL);
            REAL last_weight[VECTOR_BYTES / sizeof(REAL)] = {0};
            REAL last_value[VECTOR_BYTES / sizeof(REAL)];
            REAL *rest = aligned_memory(add_size(0, n_components, LANES), sizeof(REAL));
            if (rest == NULL) {
                return -1;
            }
            memset(rest, 0, (size_t)(n_components * LANES) * sizeof(REAL));
            for (ptrdiff_t k = 0; k < n_components; k++) {
                memcpy(rest + k * LANES, tail + k * n_rows, left);
            }
            memcpy(last_weight, weights + whole, left);
            FN(softmax)(rest, LANES, n_components, LANES, last_weight, last_value);
            for (ptrdiff_t k = 0; k < n_components; k++) {
                memcpy(tail + k * n_rows, rest + k * LANES, left);
            }
            memcpy(values + whole, last_value, left);
            aligned_free(rest);
        }
        if (density) {
            for (ptrdiff_t i = 0; i < size; i++) {
                density[start + i] = (double)values[i];
            }
        }
        *sum += FN(weighted_sum)(weights, values, size);
    }
    return 0;
}
