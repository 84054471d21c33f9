/* From log-joint densities to responsibilities; included by precisions.h. */

#undef SOFTMAX_ROWS
#define SOFTMAX_ROWS 512

/* The largest of each row is subtracted before exponentials are taken.

   joint    n_components rows of `stride` numbers, of which the first n_rows, a multiple of
            LANES, are turned into responsibilities times weight
   weight   n_rows weights
   density  n_rows log-densities: out. -inf where all components have -inf (responsibilities
            are 0 then); NaN where one of them is NaN or +inf. */
INLINE void
FN(softmax)(REAL *joint, Py_ssize_t stride, Py_ssize_t n_components, Py_ssize_t n_rows,
            const REAL *weight, REAL *density)
{
    const VEC infinite = FN(broadcast)((REAL)INFINITY);
    for (Py_ssize_t row = 0; row < n_rows; row += LANES) {
        VEC largest = FN(load)(joint + row);
        for (Py_ssize_t k = 1; k < n_components; k++) {
            largest = FN(larger)(FN(load)(joint + k * stride + row), largest);
        }
        VEC total = {0}, check = {0};
        for (Py_ssize_t k = 0; k < n_components; k++) {
            const VEC below = FN(load)(joint + k * stride + row) - largest;
            const VEC share = FN(exp)(below);
            check += below;
            total += share;
            FN(store)(joint + k * stride + row, share);
        }
        const IVEC impossible = largest == -infinite;
        const VEC unit = FN(broadcast)(1);
        total = FN(select)(impossible, unit, total);
        VEC value = largest + FN(log)(total);
        value = FN(select)((check != check) & ~impossible, check, value);
        FN(store)(density + row, value);
        const VEC factor = FN(load)(weight + row) / total;
        for (Py_ssize_t k = 0; k < n_components; k++) {
            REAL *share = joint + k * stride + row;
            FN(store)(share, FN(load)(share) * factor);
        }
    }
}

/* Sum of weight x density over rows of positive weight, in double precision. */
INLINE double
FN(weighted_sum)(const REAL *weight, const REAL *density, Py_ssize_t n_rows)
{
    double parts[8] = {0};
    Py_ssize_t row = 0;
    for (; row + 8 <= n_rows; row += 8) {
        for (int i = 0; i < 8; i++) {
            parts[i] += (double)weight[row + i] * (double)density[row + i];
        }
    }
    for (; row < n_rows; row++) {
        parts[0] += (double)weight[row] * (double)density[row];
    }
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
           ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}


/* See normalize.h. Returns 0, or -1 without memory. */
static int
FN(normalize)(void *joint_, Py_ssize_t n_components, Py_ssize_t n_rows, const double *weight,
              double *density, double *sum)
{
    REAL *joint = joint_;
    REAL weights[SOFTMAX_ROWS], values[SOFTMAX_ROWS];
    REAL *rest = NULL;
    *sum = 0.0;
    for (Py_ssize_t start = 0; start < n_rows; start += SOFTMAX_ROWS) {
        const Py_ssize_t size = n_rows - start < SOFTMAX_ROWS ? n_rows - start : SOFTMAX_ROWS;
        const Py_ssize_t whole = size / LANES * LANES;
        for (Py_ssize_t i = 0; i < size; i++) {
            weights[i] = weight ? (REAL)weight[start + i] : (REAL)1;
        }
        FN(softmax)(joint + start, n_rows, n_components, whole, weights, values);
        if (whole < size) {
            /* The last rows, padded to a vector. */
            const Py_ssize_t left = size - whole;
            rest = malloc((size_t)(n_components * LANES) * sizeof(REAL));
            if (rest == NULL) {
                return -1;
            }
            REAL last_weight[64] = {0}, last_value[64];
            memset(rest, 0, (size_t)(n_components * LANES) * sizeof(REAL));
            for (Py_ssize_t k = 0; k < n_components; k++) {
                memcpy(rest + k * LANES, joint + k * n_rows + start + whole, (size_t)left * sizeof(REAL));
            }
            memcpy(last_weight, weights + whole, (size_t)left * sizeof(REAL));
            FN(softmax)(rest, LANES, n_components, LANES, last_weight, last_value);
            for (Py_ssize_t k = 0; k < n_components; k++) {
                memcpy(joint + k * n_rows + start + whole, rest + k * LANES, (size_t)left * sizeof(REAL));
            }
            memcpy(values + whole, last_value, (size_t)left * sizeof(REAL));
        }
        if (density) {
            for (Py_ssize_t i = 0; i < size; i++) {
                density[start + i] = (double)values[i];
            }
        }
        *sum += FN(weighted_sum)(weights, values, size);
    }
    free(rest);
    return 0;
}
