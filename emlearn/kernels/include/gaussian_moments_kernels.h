/* Weighted moments of rows about the means of K Gaussians; included by float_types.h after
   gaussian_kernels.h. */

/* The responsibility up to which all are negligible beside the largest. */
static REAL
FN(negligible)(const REAL *responsibility, ptrdiff_t n_rows)
{
    VEC largest = {0};
    for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
        largest = FN(larger)(FN(load)(responsibility + r), largest);
    }
    REAL negligible = 0;
    for (ptrdiff_t lane = 0; lane < LANES; lane++) {
        negligible = largest[lane] > negligible ? largest[lane] : negligible;
    }
    return negligible * (REAL)1e-20;
}

/* Columns of `x` with a responsibility that is not negligible: minus the mean to `z`, and times
   their responsibility to `weighted`, with a row of ones below. Returns how many, padded with
   zeros to a vector.

   chosen    room for CHUNK_ROWS
   n_chosen  how many of `x` are taken, in order: those in `chosen`, or all if it is n_rows */
static ptrdiff_t
FN(collect)(const Scratch *s, const REAL *mean, const REAL *responsibility, REAL negligible,
            ptrdiff_t n_features, ptrdiff_t n_rows, ptrdiff_t *chosen, ptrdiff_t *n_chosen)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        chosen[count] = r;
        count += responsibility[r] > negligible;
    }
    REAL *ones = s->z + n_features * s->chunk;
    REAL *weights = s->weighted + n_features * s->chunk;
    if (2 * count > n_rows) {
        for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
            FN(store)(ones + r, FN(broadcast)(1));
            FN(store)(weights + r, FN(load)(responsibility + r));
        }
        for (ptrdiff_t i = 0; i < n_features; i++) {
            const REAL *x = s->x + i * s->chunk;
            REAL *z = s->z + i * s->chunk, *weighted = s->weighted + i * s->chunk;
            for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
                const VEC deviation = FN(load)(x + r) - mean[i];
                FN(store)(z + r, deviation);
                FN(store)(weighted + r, deviation * FN(load)(responsibility + r));
            }
        }
        *n_chosen = n_rows;
        return n_rows;
    }
    *n_chosen = count;
    const ptrdiff_t padded = round_up(count, LANES);
    for (ptrdiff_t r = 0; r < padded; r++) {
        ones[r] = r < count;
        weights[r] = r < count ? responsibility[chosen[r]] : 0;
    }
    for (ptrdiff_t i = 0; i < n_features; i++) {
        const REAL *x = s->x + i * s->chunk;
        REAL *z = s->z + i * s->chunk, *weighted = s->weighted + i * s->chunk;
        for (ptrdiff_t r = 0; r < count; r++) {
            z[r] = x[chosen[r]] - mean[i];
        }
        for (ptrdiff_t r = count; r < padded; r++) {
            z[r] = 0;
        }
        for (ptrdiff_t r = 0; r < padded; r += LANES) {
            FN(store)(weighted + r, FN(load)(z + r) * FN(load)(weights + r));
        }
    }
    return padded;
}

/* One tile of weighted z', added to `sums`; its size is constant where this is called. */
INLINE void
FN(scatter_tile)(const Scratch *s, ptrdiff_t top, ptrdiff_t side, ptrdiff_t n_rows,
                 int n_left, int n_right, double *sums)
{
    VEC sum[TILE_LARGEST][TILE_LARGEST] = {{{0}}};
    const REAL *left = s->weighted + top * s->chunk, *right = s->z + side * s->chunk;
    for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
        VEC a[TILE_LARGEST];
        UNROLL
        for (int i = 0; i < n_left; i++) {
            a[i] = FN(load)(left + i * s->chunk + r);
        }
        UNROLL
        for (int j = 0; j < n_right; j++) {
            const VEC b = FN(load)(right + j * s->chunk + r);
            UNROLL
            for (int i = 0; i < n_left; i++) {
                sum[i][j] += a[i] * b;
            }
        }
    }
    UNROLL
    for (int i = 0; i < n_left; i++) {
        UNROLL
        for (int j = 0; j < n_right; j++) {
            sums[(top + i) * s->width + side + j] += (double)FN(sum_lanes)(sum[i][j]);
        }
    }
}

/* Adds weighted z', of which the upper triangle of tiles is made, to `sums`. */
static void
FN(scatter)(const Scratch *s, ptrdiff_t n_features, ptrdiff_t n_rows, double *sums)
{
    const ptrdiff_t size = n_features + 1;
    if (size == 2) {
        FN(scatter_tile)(s, 0, 0, n_rows, 2, 2, sums);
    } else if (size == 3) {
        FN(scatter_tile)(s, 0, 0, n_rows, 3, 3, sums);
    } else if (size == 4) {
        FN(scatter_tile)(s, 0, 0, n_rows, 4, 4, sums);
    } else {
        for (ptrdiff_t top = 0; top < size; top += TILE_LEFT) {
            for (ptrdiff_t side = top / TILE_RIGHT * TILE_RIGHT; side < size;
                 side += TILE_RIGHT) {
                FN(scatter_tile)(s, top, side, n_rows, TILE_LEFT, TILE_RIGHT, sums);
            }
        }
    }
}

/* Sums of r, r z and r z^2 of all features, added to `sums`. */
static void
FN(diagonal_scatter)(const Scratch *s, const REAL *mean, const REAL *responsibility,
                     ptrdiff_t n_features, ptrdiff_t n_rows, double *sums)
{
    VEC total = {0};
    for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
        total += FN(load)(responsibility + r);
    }
    sums[0] += (double)FN(sum_lanes)(total);
    for (ptrdiff_t i = 0; i < n_features; i++) {
        const REAL *x = s->x + i * s->chunk;
        VEC first[TILE_VECTORS] = {{0}}, second[TILE_VECTORS] = {{0}};
        for (ptrdiff_t r = 0; r < n_rows; r += TILE_ROWS) {
            UNROLL
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC z = FN(load)(x + r + v * LANES) - mean[i];
                const VEC part = z * FN(load)(responsibility + r + v * LANES);
                first[v] += part;
                second[v] += part * z;
            }
        }
        sums[1 + i] += (double)FN(sum_lanes)(first[0] + first[1] + first[2]);
        sums[1 + n_features + i] += (double)FN(sum_lanes)(second[0] + second[1] + second[2]);
    }
}

/* Adds the moments of the rows in `x` under the responsibilities in `joint`. */
static void
FN(accumulate)(const Scratch *s, const Gaussians *g, ptrdiff_t d, ptrdiff_t n_rows)
{
    for (ptrdiff_t k = 0; k < g->n_components; k++) {
        const REAL *responsibility = s->joint + k * s->chunk, *mean = s->means + k * d;
        if (g->diagonal) {
            FN(diagonal_scatter)(s, mean, responsibility, d, n_rows, s->sums + k * (2 * d + 1));
        } else {
            ptrdiff_t chosen[CHUNK_ROWS], n_chosen;
            const REAL negligible = FN(negligible)(responsibility, n_rows);
            const ptrdiff_t used =
                FN(collect)(s, mean, responsibility, negligible, d, n_rows, chosen, &n_chosen);
            FN(scatter)(s, d, used, s->sums + k * s->width * s->width);
        }
    }
}

/* The sums of `scratch` in the layout of the caller. */
static void
FN(write_sums)(const Scratch *s, const Gaussians *g, ptrdiff_t d, const Sums *out)
{
    for (ptrdiff_t k = 0; k < g->n_components; k++) {
        if (g->diagonal) {
            const double *sums = s->sums + k * (2 * d + 1);
            out->weight[k] = sums[0];
            memcpy(out->first + k * d, sums + 1, (size_t)d * sizeof(double));
            memcpy(out->second + k * d, sums + 1 + d, (size_t)d * sizeof(double));
            continue;
        }
        const double *sums = s->sums + k * s->width * s->width;
        out->weight[k] = sums[d * s->width + d];
        for (ptrdiff_t i = 0; i < d; i++) {
            out->first[k * d + i] = sums[i * s->width + d];
            double *second = out->second + k * d * d;
            for (ptrdiff_t j = i; j < d; j++) {
                second[i * d + j] = second[j * d + i] = sums[i * s->width + j];
            }
        }
    }
}

/* See gaussian_bindings.h. Returns 0, or -1 if out of memory. */
static int
FN(gaussian_step)(const Rows *rows, const Gaussians *g, const double *weight, const Sums *out,
                  double *objective)
{
    const ptrdiff_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    void *memory = FN(allocate)(s, d, g, 0);
    if (memory == NULL) {
        return -1;
    }
    *objective = 0.0;
    for (ptrdiff_t start = 0; start < rows->n_rows; start += s->chunk) {
        const ptrdiff_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const ptrdiff_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        for (ptrdiff_t r = 0; r < padded; r++) {
            s->weight[r] = r >= size ? 0 : weight ? (REAL)weight[start + r] : 1;
        }
        FN(log_joint)(s, g, d, padded, s->joint, s->chunk);
        FN(softmax)(s->joint, s->chunk, g->n_components, padded, s->weight, s->density);
        *objective += FN(weighted_sum)(s->weight, s->density, size);
        FN(accumulate)(s, g, d, padded);
    }
    FN(write_sums)(s, g, d, out);
    aligned_free(memory);
    return 0;
}

/* See gaussian_bindings.h. Returns 0, or -1 if out of memory. */
static int
FN(gaussian_moments)(const Rows *rows, const Gaussians *g, const void *responsibilities_,
                     const Sums *out)
{
    const REAL *responsibilities = responsibilities_;
    const ptrdiff_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    void *memory = FN(allocate)(s, d, g, 0);
    if (memory == NULL) {
        return -1;
    }
    for (ptrdiff_t start = 0; start < rows->n_rows; start += s->chunk) {
        const ptrdiff_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const ptrdiff_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        for (ptrdiff_t k = 0; k < g->n_components; k++) {
            REAL *to = s->joint + k * s->chunk;
            memcpy(to, responsibilities + k * rows->n_rows + start, (size_t)size * sizeof(REAL));
            memset(to + size, 0, (size_t)(padded - size) * sizeof(REAL));
        }
        FN(accumulate)(s, g, d, padded);
    }
    FN(write_sums)(s, g, d, out);
    aligned_free(memory);
    return 0;
}
