/* Log-densities of K Gaussians, and weighted moments about their means; included by
   precisions.h.

   Rows are taken in chunks that stay in the cache, features-major, so that vectors run along
   rows. A component's distances are |P'(x - mean)|^2 with P upper triangular (full
   covariances) or diagonal. Products are done in tiles that stay in registers. */

#undef TILE_VECTORS
#undef TILE_COLUMNS
#undef TILE_LEFT
#undef TILE_RIGHT
#undef TILE_ROWS
#undef TILE_LARGEST
#undef FETCH_FEATURES
#if VECTOR_BYTES == 64
/* 32 registers: 24 accumulators. */
#define TILE_VECTORS 3
#define TILE_COLUMNS 8
#define TILE_LEFT 4
#define TILE_RIGHT 6
#else
/* 16 registers: 12 accumulators. */
#define TILE_VECTORS 3
#define TILE_COLUMNS 4
#define TILE_LEFT 3
#define TILE_RIGHT 4
#endif
#define TILE_ROWS (TILE_VECTORS * LANES)
#define TILE_LARGEST 6
#define FETCH_FEATURES 8

#ifndef EMLEARN_GAUSSIAN
#define EMLEARN_GAUSSIAN

/* Rows of the largest chunk, a multiple of TILE_ROWS of every instruction set. */
#define LARGEST_CHUNK 480

/* Rows of a block: value (i, r) is ((start of feature i, row r) - center_i) * scale_i. */
typedef struct {
    const char *start;
    Py_ssize_t feature_stride, row_stride; /* in bytes */
    Py_ssize_t n_rows, n_features;
    const double *center, *scale; /* NULL: the values as they are */
} Rows;

/* Parameters. `root` has n_features^2 numbers a component, or n_features if diagonal. */
typedef struct {
    Py_ssize_t n_components;
    const double *means, *root, *constants;
    int diagonal;
} Gaussians;

/* Sums over rows: of r, of r z and of r z z' (or r z^2), with z = x - mean. */
typedef struct {
    double *weight, *first, *second;
} Sums;

static inline Py_ssize_t
round_up(Py_ssize_t size, Py_ssize_t unit)
{
    return (size + unit - 1) / unit * unit;
}

#endif

#undef Scratch
#define Scratch FN(Scratch)
typedef struct {
    Py_ssize_t chunk; /* rows of a chunk, a multiple of TILE_ROWS */
    Py_ssize_t width; /* features and a one, padded for the tiles */
    Py_ssize_t columns; /* of a row of root, padded */
    REAL *x, *z, *weighted, *joint, *weight, *density, *root, *means;
    double *sums;
} Scratch;

/* One allocation for all; NULL if there is no memory. `spare` is how many more numbers the
   caller keeps for each row of a chunk. */
static inline void *
FN(allocate)(Scratch *s, Py_ssize_t n_features, const Gaussians *g, Py_ssize_t spare)
{
    const Py_ssize_t K = g->n_components, d = n_features;
    s->width = round_up(round_up(d + 1, TILE_LEFT), TILE_RIGHT);
    s->columns = round_up(d, TILE_COLUMNS);
    /* Half a megabyte at most, so that a chunk stays in the second-level cache. */
    Py_ssize_t chunk = (Py_ssize_t)(524288 / sizeof(REAL)) / (3 * s->width + K + spare);
    chunk = chunk > LARGEST_CHUNK ? LARGEST_CHUNK : chunk;
    chunk = chunk / TILE_ROWS * TILE_ROWS;
    s->chunk = chunk < TILE_ROWS ? TILE_ROWS : chunk;
    const Py_ssize_t roots = g->diagonal ? d : d * s->columns;
    const Py_ssize_t sizes[8] = {
        s->width * s->chunk, s->width * s->chunk, s->width * s->chunk, K * s->chunk,
        s->chunk,            s->chunk,            K * roots,           K * d};
    REAL **parts[8] = {&s->x,      &s->z,       &s->weighted, &s->joint,
                       &s->weight, &s->density, &s->root,     &s->means};
    const Py_ssize_t n_sums = g->diagonal ? K * (2 * d + 1) : K * s->width * s->width;
    size_t total = (size_t)n_sums * sizeof(double);
    for (int i = 0; i < 8; i++) {
        total += (size_t)round_up(sizes[i] * (Py_ssize_t)sizeof(REAL), 64);
    }
    char *memory = aligned(total);
    if (memory == NULL) {
        return NULL;
    }
    char *next = memory;
    for (int i = 0; i < 8; i++) {
        *parts[i] = (REAL *)next;
        next += round_up(sizes[i] * (Py_ssize_t)sizeof(REAL), 64);
    }
    s->sums = (double *)next;
    memset(s->sums, 0, (size_t)n_sums * sizeof(double));
    memset(s->z, 0, (size_t)sizes[1] * sizeof(REAL));
    memset(s->weighted, 0, (size_t)sizes[2] * sizeof(REAL));
    for (Py_ssize_t i = 0; i < K * d; i++) {
        s->means[i] = (REAL)g->means[i];
    }
    if (g->diagonal) {
        for (Py_ssize_t i = 0; i < K * d; i++) {
            s->root[i] = (REAL)g->root[i];
        }
    } else {
        for (Py_ssize_t row = 0; row < K * d; row++) {
            for (Py_ssize_t j = 0; j < s->columns; j++) {
                s->root[row * s->columns + j] = j < d ? (REAL)g->root[row * d + j] : 0;
            }
        }
    }
    return memory;
}

/* Features `first` to `first + n` of rows of contiguous features; see `fetch`. */
INLINE void
FN(transpose)(const Scratch *s, const Rows *rows, const char *start, Py_ssize_t first, int n,
              Py_ssize_t size)
{
    REAL *to = s->x + first * s->chunk;
    for (Py_ssize_t r = 0; r < size; r++) {
        const REAL *from = (const REAL *)(start + r * rows->row_stride) + first;
        for (int i = 0; i < n; i++) {
            to[i * s->chunk + r] = from[i];
        }
    }
}

/* `size` rows from `first_row` on, as features-major columns; the rest of the chunk is the
   centre of the coordinates. */
static void
FN(fetch)(const Scratch *s, const Rows *rows, Py_ssize_t first_row, Py_ssize_t size)
{
    const Py_ssize_t d = rows->n_features;
    const char *start = rows->start + first_row * rows->row_stride;
    if (rows->row_stride == (Py_ssize_t)sizeof(REAL)) {
        for (Py_ssize_t i = 0; i < d; i++) {
            memcpy(s->x + i * s->chunk, start + i * rows->feature_stride,
                   (size_t)size * sizeof(REAL));
        }
    } else if (rows->feature_stride == (Py_ssize_t)sizeof(REAL)) {
        /* Some features at a time, as many as are in one line of the cache. */
        for (Py_ssize_t i = 0; i < d; i += FETCH_FEATURES) {
            if (d - i >= FETCH_FEATURES) {
                FN(transpose)(s, rows, start, i, FETCH_FEATURES, size);
            } else {
                FN(transpose)(s, rows, start, i, (int)(d - i), size);
            }
        }
    } else {
        for (Py_ssize_t i = 0; i < d; i++) {
            for (Py_ssize_t r = 0; r < size; r++) {
                s->x[i * s->chunk + r] = *(const REAL *)(start + i * rows->feature_stride +
                                                         r * rows->row_stride);
            }
        }
    }
    for (Py_ssize_t i = 0; i < d; i++) {
        REAL *to = s->x + i * s->chunk;
        if (rows->center) {
            const REAL center = (REAL)rows->center[i], scale = (REAL)rows->scale[i];
            for (Py_ssize_t r = 0; r < size; r++) {
                to[r] = (to[r] - center) * scale;
            }
        }
        for (Py_ssize_t r = size; r < s->chunk; r++) {
            to[r] = 0;
        }
    }
}

static void
FN(centre)(const Scratch *s, const REAL *mean, Py_ssize_t n_features, Py_ssize_t n_rows)
{
    for (Py_ssize_t i = 0; i < n_features; i++) {
        const REAL *x = s->x + i * s->chunk;
        REAL *z = s->z + i * s->chunk;
        for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
            FN(store)(z + r, FN(load)(x + r) - mean[i]);
        }
    }
}

/* Adds the squares of `n_columns` columns of root' z, those from `start` on, to `square`;
   `n_columns` is a constant where this is called. */
INLINE void
FN(add_squares)(const Scratch *s, const REAL *root, Py_ssize_t start, Py_ssize_t stop,
                Py_ssize_t row, int n_columns, VEC *square)
{
    VEC white[TILE_COLUMNS][TILE_VECTORS] = {{{0}}};
    const REAL *z = s->z + row, *factor = root + start;
    for (Py_ssize_t i = 0; i < stop; i++, z += s->chunk, factor += s->columns) {
        VEC part[TILE_VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < TILE_VECTORS; v++) {
            part[v] = FN(load)(z + v * LANES);
        }
#pragma GCC unroll 8
        for (int j = 0; j < n_columns; j++) {
#pragma GCC unroll 8
            for (int v = 0; v < TILE_VECTORS; v++) {
                white[j][v] += part[v] * factor[j];
            }
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < n_columns; j++) {
#pragma GCC unroll 8
        for (int v = 0; v < TILE_VECTORS; v++) {
            square[v] += white[j][v] * white[j][v];
        }
    }
}

/* out = constant - |root' z|^2 / 2, for a triangular root. */
static void
FN(triangular_density)(const Scratch *s, const REAL *root, Py_ssize_t n_features,
                       Py_ssize_t n_rows, REAL constant, REAL *out)
{
    const Py_ssize_t whole = n_features / TILE_COLUMNS * TILE_COLUMNS;
    for (Py_ssize_t row = 0; row < n_rows; row += TILE_ROWS) {
        VEC square[TILE_VECTORS] = {{0}};
        for (Py_ssize_t start = 0; start < whole; start += TILE_COLUMNS) {
            FN(add_squares)(s, root, start, start + TILE_COLUMNS, row, TILE_COLUMNS, square);
        }
        const Py_ssize_t left = n_features - whole;
        if (left == 1) {
            FN(add_squares)(s, root, whole, n_features, row, 1, square);
        } else if (left == 2) {
            FN(add_squares)(s, root, whole, n_features, row, 2, square);
        } else if (left > 0 && left <= 4) {
            FN(add_squares)(s, root, whole, n_features, row, 4, square);
        } else if (left > 4) {
            FN(add_squares)(s, root, whole, n_features, row, TILE_COLUMNS, square);
        }
        for (int v = 0; v < TILE_VECTORS; v++) {
            FN(store)(out + row + v * LANES, constant - square[v] * (REAL)0.5);
        }
    }
}

static void
FN(diagonal_density)(const Scratch *s, const REAL *mean, const REAL *root, Py_ssize_t n_features,
                     Py_ssize_t n_rows, REAL constant, REAL *out)
{
    for (Py_ssize_t row = 0; row < n_rows; row += TILE_ROWS) {
        VEC square[TILE_VECTORS] = {{0}};
        const REAL *x = s->x + row;
        for (Py_ssize_t i = 0; i < n_features; i++, x += s->chunk) {
#pragma GCC unroll 8
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC white = (FN(load)(x + v * LANES) - mean[i]) * root[i];
                square[v] += white * white;
            }
        }
        for (int v = 0; v < TILE_VECTORS; v++) {
            FN(store)(out + row + v * LANES, constant - square[v] * (REAL)0.5);
        }
    }
}

/* Log-joint densities of the rows in `x`, to `out` with `stride` numbers a component. */
static void
FN(log_joint)(const Scratch *s, const Gaussians *g, Py_ssize_t n_features, Py_ssize_t n_rows,
              REAL *out, Py_ssize_t stride)
{
    for (Py_ssize_t k = 0; k < g->n_components; k++) {
        const REAL *mean = s->means + k * n_features;
        const REAL constant = (REAL)g->constants[k];
        if (g->diagonal) {
            FN(diagonal_density)(s, mean, s->root + k * n_features, n_features, n_rows, constant,
                                 out + k * stride);
        } else {
            FN(centre)(s, mean, n_features, n_rows);
            FN(triangular_density)(s, s->root + k * n_features * s->columns, n_features, n_rows,
                                   constant, out + k * stride);
        }
    }
}

/* The share up to which shares are negligible beside the largest. */
static REAL
FN(negligible)(const REAL *share, Py_ssize_t n_rows)
{
    VEC largest = {0};
    for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
        largest = FN(larger)(FN(load)(share + r), largest);
    }
    REAL negligible = 0;
    for (Py_ssize_t lane = 0; lane < LANES; lane++) {
        negligible = largest[lane] > negligible ? largest[lane] : negligible;
    }
    return negligible * (REAL)1e-20;
}

/* Columns of `x` with a share that is not negligible, minus the mean, to `z`; times their share
   to `weighted`; with a row of ones below. Returns how many, padded with zeros to a vector.

   chosen    room for LARGEST_CHUNK
   n_chosen  how many of `x` are taken, in order: those in `chosen`, or all if it is n_rows */
static Py_ssize_t
FN(collect)(const Scratch *s, const REAL *mean, const REAL *share, REAL negligible,
            Py_ssize_t n_features, Py_ssize_t n_rows, Py_ssize_t *chosen, Py_ssize_t *n_chosen)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t r = 0; r < n_rows; r++) {
        chosen[count] = r;
        count += share[r] > negligible;
    }
    REAL *ones = s->z + n_features * s->chunk, *shares = s->weighted + n_features * s->chunk;
    if (2 * count > n_rows) {
        for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
            FN(store)(ones + r, FN(broadcast)(1));
            FN(store)(shares + r, FN(load)(share + r));
        }
        for (Py_ssize_t i = 0; i < n_features; i++) {
            const REAL *x = s->x + i * s->chunk;
            REAL *z = s->z + i * s->chunk, *weighted = s->weighted + i * s->chunk;
            for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
                const VEC deviation = FN(load)(x + r) - mean[i];
                FN(store)(z + r, deviation);
                FN(store)(weighted + r, deviation * FN(load)(share + r));
            }
        }
        *n_chosen = n_rows;
        return n_rows;
    }
    *n_chosen = count;
    const Py_ssize_t padded = round_up(count, LANES);
    for (Py_ssize_t r = 0; r < padded; r++) {
        ones[r] = r < count;
        shares[r] = r < count ? share[chosen[r]] : 0;
    }
    for (Py_ssize_t i = 0; i < n_features; i++) {
        const REAL *x = s->x + i * s->chunk;
        REAL *z = s->z + i * s->chunk, *weighted = s->weighted + i * s->chunk;
        for (Py_ssize_t r = 0; r < count; r++) {
            z[r] = x[chosen[r]] - mean[i];
        }
        for (Py_ssize_t r = count; r < padded; r++) {
            z[r] = 0;
        }
        for (Py_ssize_t r = 0; r < padded; r += LANES) {
            FN(store)(weighted + r, FN(load)(z + r) * FN(load)(shares + r));
        }
    }
    return padded;
}

/* One tile of weighted z', added to `sums`; its size is constant where this is called. */
INLINE void
FN(scatter_tile)(const Scratch *s, Py_ssize_t top, Py_ssize_t side, Py_ssize_t n_rows,
                 int n_left, int n_right, double *sums)
{
    VEC sum[TILE_LARGEST][TILE_LARGEST] = {{{0}}};
    const REAL *left = s->weighted + top * s->chunk, *right = s->z + side * s->chunk;
    for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
        VEC a[TILE_LARGEST];
#pragma GCC unroll 8
        for (int i = 0; i < n_left; i++) {
            a[i] = FN(load)(left + i * s->chunk + r);
        }
#pragma GCC unroll 8
        for (int j = 0; j < n_right; j++) {
            const VEC b = FN(load)(right + j * s->chunk + r);
#pragma GCC unroll 8
            for (int i = 0; i < n_left; i++) {
                sum[i][j] += a[i] * b;
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < n_left; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < n_right; j++) {
            sums[(top + i) * s->width + side + j] += (double)FN(sum_lanes)(sum[i][j]);
        }
    }
}

/* Adds weighted z', of which the upper triangle of tiles is made, to `sums`. */
static void
FN(scatter)(const Scratch *s, Py_ssize_t n_features, Py_ssize_t n_rows, double *sums)
{
    const Py_ssize_t size = n_features + 1;
    if (size == 2) {
        FN(scatter_tile)(s, 0, 0, n_rows, 2, 2, sums);
    } else if (size == 3) {
        FN(scatter_tile)(s, 0, 0, n_rows, 3, 3, sums);
    } else if (size == 4) {
        FN(scatter_tile)(s, 0, 0, n_rows, 4, 4, sums);
    } else {
        for (Py_ssize_t top = 0; top < size; top += TILE_LEFT) {
            for (Py_ssize_t side = top / TILE_RIGHT * TILE_RIGHT; side < size;
                 side += TILE_RIGHT) {
                FN(scatter_tile)(s, top, side, n_rows, TILE_LEFT, TILE_RIGHT, sums);
            }
        }
    }
}

/* Sums of r, r z and r z^2 of all features, added to `sums`. */
static void
FN(diagonal_scatter)(const Scratch *s, const REAL *mean, const REAL *share, Py_ssize_t n_features,
                     Py_ssize_t n_rows, double *sums)
{
    VEC total = {0};
    for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
        total += FN(load)(share + r);
    }
    sums[0] += (double)FN(sum_lanes)(total);
    for (Py_ssize_t i = 0; i < n_features; i++) {
        const REAL *x = s->x + i * s->chunk;
        VEC first[TILE_VECTORS] = {{0}}, second[TILE_VECTORS] = {{0}};
        for (Py_ssize_t r = 0; r < n_rows; r += TILE_ROWS) {
#pragma GCC unroll 8
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC z = FN(load)(x + r + v * LANES) - mean[i];
                const VEC part = z * FN(load)(share + r + v * LANES);
                first[v] += part;
                second[v] += part * z;
            }
        }
        sums[1 + i] += (double)FN(sum_lanes)(first[0] + first[1] + first[2]);
        sums[1 + n_features + i] += (double)FN(sum_lanes)(second[0] + second[1] + second[2]);
    }
}

/* Adds the moments of the rows in `x` under the shares in `joint`. */
static void
FN(accumulate)(const Scratch *s, const Gaussians *g, Py_ssize_t d, Py_ssize_t n_rows)
{
    for (Py_ssize_t k = 0; k < g->n_components; k++) {
        const REAL *share = s->joint + k * s->chunk, *mean = s->means + k * d;
        if (g->diagonal) {
            FN(diagonal_scatter)(s, mean, share, d, n_rows, s->sums + k * (2 * d + 1));
        } else {
            Py_ssize_t chosen[LARGEST_CHUNK], n_chosen;
            const REAL negligible = FN(negligible)(share, n_rows);
            const Py_ssize_t used =
                FN(collect)(s, mean, share, negligible, d, n_rows, chosen, &n_chosen);
            FN(scatter)(s, d, used, s->sums + k * s->width * s->width);
        }
    }
}

/* The sums of `scratch` in the layout of the caller. */
static void
FN(publish)(const Scratch *s, const Gaussians *g, Py_ssize_t d, const Sums *out)
{
    for (Py_ssize_t k = 0; k < g->n_components; k++) {
        if (g->diagonal) {
            const double *sums = s->sums + k * (2 * d + 1);
            out->weight[k] = sums[0];
            memcpy(out->first + k * d, sums + 1, (size_t)d * sizeof(double));
            memcpy(out->second + k * d, sums + 1 + d, (size_t)d * sizeof(double));
            continue;
        }
        const double *sums = s->sums + k * s->width * s->width;
        out->weight[k] = sums[d * s->width + d];
        for (Py_ssize_t i = 0; i < d; i++) {
            out->first[k * d + i] = sums[i * s->width + d];
            double *second = out->second + k * d * d;
            for (Py_ssize_t j = i; j < d; j++) {
                second[i * d + j] = second[j * d + i] = sums[i * s->width + j];
            }
        }
    }
}

/* See gaussian_methods.h. Returns 0, or -1 without memory. */
static int
FN(gaussian_step)(const Rows *rows, const Gaussians *g, const double *weight, const Sums *out,
                  double *objective)
{
    const Py_ssize_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    void *memory = FN(allocate)(s, d, g, 0);
    if (memory == NULL) {
        return -1;
    }
    *objective = 0.0;
    for (Py_ssize_t start = 0; start < rows->n_rows; start += s->chunk) {
        const Py_ssize_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const Py_ssize_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        for (Py_ssize_t r = 0; r < padded; r++) {
            s->weight[r] = r >= size ? 0 : weight ? (REAL)weight[start + r] : 1;
        }
        FN(log_joint)(s, g, d, padded, s->joint, s->chunk);
        FN(softmax)(s->joint, s->chunk, g->n_components, padded, s->weight, s->density);
        *objective += FN(weighted_sum)(s->weight, s->density, size);
        FN(accumulate)(s, g, d, padded);
    }
    FN(publish)(s, g, d, out);
    free(memory);
    return 0;
}

/* See gaussian_methods.h. Returns 0, or -1 without memory. */
static int
FN(gaussian_log_density)(const Rows *rows, const Gaussians *g, void *out_)
{
    REAL *out = out_;
    Scratch scratch, *s = &scratch;
    void *memory = FN(allocate)(s, rows->n_features, g, 0);
    if (memory == NULL) {
        return -1;
    }
    for (Py_ssize_t start = 0; start < rows->n_rows; start += s->chunk) {
        const Py_ssize_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        FN(fetch)(s, rows, start, size);
        FN(log_joint)(s, g, rows->n_features, round_up(size, TILE_ROWS), s->joint, s->chunk);
        for (Py_ssize_t k = 0; k < g->n_components; k++) {
            memcpy(out + k * rows->n_rows + start, s->joint + k * s->chunk,
                   (size_t)size * sizeof(REAL));
        }
    }
    free(memory);
    return 0;
}

/* See gaussian_methods.h. Returns 0, or -1 without memory. */
static int
FN(gaussian_moments)(const Rows *rows, const Gaussians *g, const void *shares_, const Sums *out)
{
    const REAL *shares = shares_;
    const Py_ssize_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    void *memory = FN(allocate)(s, d, g, 0);
    if (memory == NULL) {
        return -1;
    }
    for (Py_ssize_t start = 0; start < rows->n_rows; start += s->chunk) {
        const Py_ssize_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const Py_ssize_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        for (Py_ssize_t k = 0; k < g->n_components; k++) {
            REAL *to = s->joint + k * s->chunk;
            memcpy(to, shares + k * rows->n_rows + start, (size_t)size * sizeof(REAL));
            memset(to + size, 0, (size_t)(padded - size) * sizeof(REAL));
        }
        FN(accumulate)(s, g, d, padded);
    }
    FN(publish)(s, g, d, out);
    free(memory);
    return 0;
}
