/* Log-densities of K Gaussians; included by float_types.h.

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
#undef CHUNK_ROWS
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
/* Rows of a chunk at most: whole tiles of any vectors. */
#define CHUNK_ROWS 480

#ifndef EMLEARN_GAUSSIAN
#define EMLEARN_GAUSSIAN

/* Rows of a block: value (i, r) is ((start of feature i, row r) - center_i) * scale_i. */
typedef struct {
    const char *start;
    ptrdiff_t feature_stride, row_stride; /* in bytes */
    ptrdiff_t n_rows, n_features;
    const double *center, *scale; /* NULL: the values as they are */
} Rows;

/* Parameters. `precision_cholesky` has n_features^2 numbers a component, or n_features where it
   is diagonal. */
typedef struct {
    ptrdiff_t n_components;
    const double *means, *precision_cholesky, *constants;
    int diagonal;
} Gaussians;

/* Sums over rows: of r, of r z and of r z z' (or r z^2), with z = x - mean. */
typedef struct {
    double *weight, *first, *second;
} Sums;

#endif

#undef Scratch
#define Scratch FN(Scratch)
typedef struct {
    ptrdiff_t chunk; /* rows of a chunk, a multiple of TILE_ROWS */
    ptrdiff_t width; /* features and a one, padded for the tiles */
    ptrdiff_t columns; /* of a row of cholesky, padded */
    REAL *x, *z, *weighted, *joint, *weight, *density, *cholesky, *means;
    double *sums;
} Scratch;

/* One allocation for all; NULL if there is no memory. `spare` is how many more numbers the
   caller keeps for each row of a chunk. */
static inline void *
FN(allocate)(Scratch *s, ptrdiff_t n_features, const Gaussians *g, ptrdiff_t spare)
{
    const ptrdiff_t K = g->n_components, d = n_features;
    s->width = round_up(round_up(d + 1, TILE_LEFT), TILE_RIGHT);
    s->columns = round_up(d, TILE_COLUMNS);
    /* Half a megabyte at most, so that a chunk stays in the second-level cache. */
    ptrdiff_t chunk = (ptrdiff_t)(524288 / sizeof(REAL)) / (3 * s->width + K + spare);
    chunk = chunk > CHUNK_ROWS ? CHUNK_ROWS : chunk;
    chunk = chunk / TILE_ROWS * TILE_ROWS;
    s->chunk = chunk < TILE_ROWS ? TILE_ROWS : chunk;
    /* Each part is a number of rows of a length. */
    REAL **parts[8] = {&s->x,      &s->z,       &s->weighted, &s->joint,
                       &s->weight, &s->density, &s->cholesky, &s->means};
    const ptrdiff_t shapes[8][2] = {
        {s->width, s->chunk},
        {s->width, s->chunk},
        {s->width, s->chunk},
        {K, s->chunk},
        {1, s->chunk},
        {1, s->chunk},
        {K * d, g->diagonal ? 1 : s->columns},
        {K, d},
    };
    const ptrdiff_t n_sums = g->diagonal ? 2 * d + 1 : s->width * s->width;
    const size_t line = ALIGNMENT / sizeof(REAL);
    size_t total = add_size(0, K, n_sums * (ptrdiff_t)(sizeof(double) / sizeof(REAL)));
    for (int i = 0; i < 8; i++) {
        total = add_size(add_size(total, shapes[i][0], shapes[i][1]), 1, (ptrdiff_t)line);
    }
    REAL *memory = aligned_memory(total, sizeof(REAL));
    if (memory == NULL) {
        return NULL;
    }
    REAL *next = memory;
    for (int i = 0; i < 8; i++) {
        *parts[i] = next;
        next += round_up(shapes[i][0] * shapes[i][1], (ptrdiff_t)line);
    }
    s->sums = (double *)next;
    memset(s->sums, 0, (size_t)(K * n_sums) * sizeof(double));
    memset(s->z, 0, (size_t)(s->width * s->chunk) * sizeof(REAL));
    memset(s->weighted, 0, (size_t)(s->width * s->chunk) * sizeof(REAL));
    for (ptrdiff_t i = 0; i < K * d; i++) {
        s->means[i] = (REAL)g->means[i];
    }
    if (g->diagonal) {
        for (ptrdiff_t i = 0; i < K * d; i++) {
            s->cholesky[i] = (REAL)g->precision_cholesky[i];
        }
    } else {
        for (ptrdiff_t row = 0; row < K * d; row++) {
            for (ptrdiff_t j = 0; j < s->columns; j++) {
                s->cholesky[row * s->columns + j] =
                    j < d ? (REAL)g->precision_cholesky[row * d + j] : 0;
            }
        }
    }
    return memory;
}

/* Features `first` to `first + n` of rows of contiguous features; see `fetch`. */
INLINE void
FN(transpose)(const Scratch *s, const Rows *rows, const char *start, ptrdiff_t first, int n,
              ptrdiff_t size)
{
    REAL *to = s->x + first * s->chunk;
    for (ptrdiff_t r = 0; r < size; r++) {
        const REAL *from = (const REAL *)(start + r * rows->row_stride) + first;
        for (int i = 0; i < n; i++) {
            to[i * s->chunk + r] = from[i];
        }
    }
}

/* `size` rows from `first_row` on, as features-major columns; the rest of the chunk is the
   center of the coordinates. */
static void
FN(fetch)(const Scratch *s, const Rows *rows, ptrdiff_t first_row, ptrdiff_t size)
{
    const ptrdiff_t d = rows->n_features;
    const char *start = rows->start + first_row * rows->row_stride;
    if (rows->row_stride == (ptrdiff_t)sizeof(REAL)) {
        for (ptrdiff_t i = 0; i < d; i++) {
            memcpy(s->x + i * s->chunk, start + i * rows->feature_stride,
                   (size_t)size * sizeof(REAL));
        }
    } else if (rows->feature_stride == (ptrdiff_t)sizeof(REAL)) {
        /* Some features at a time, as many as are in one line of the cache. */
        for (ptrdiff_t i = 0; i < d; i += FETCH_FEATURES) {
            if (d - i >= FETCH_FEATURES) {
                FN(transpose)(s, rows, start, i, FETCH_FEATURES, size);
            } else {
                FN(transpose)(s, rows, start, i, (int)(d - i), size);
            }
        }
    } else {
        for (ptrdiff_t i = 0; i < d; i++) {
            for (ptrdiff_t r = 0; r < size; r++) {
                s->x[i * s->chunk + r] = *(const REAL *)(start + i * rows->feature_stride +
                                                         r * rows->row_stride);
            }
        }
    }
    for (ptrdiff_t i = 0; i < d; i++) {
        REAL *to = s->x + i * s->chunk;
        if (rows->center) {
            const REAL center = (REAL)rows->center[i], scale = (REAL)rows->scale[i];
            for (ptrdiff_t r = 0; r < size; r++) {
                to[r] = (to[r] - center) * scale;
            }
        }
        for (ptrdiff_t r = size; r < s->chunk; r++) {
            to[r] = 0;
        }
    }
}

static void
FN(deviations)(const Scratch *s, const REAL *mean, ptrdiff_t n_features, ptrdiff_t n_rows)
{
    for (ptrdiff_t i = 0; i < n_features; i++) {
        const REAL *x = s->x + i * s->chunk;
        REAL *z = s->z + i * s->chunk;
        for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
            FN(store)(z + r, FN(load)(x + r) - mean[i]);
        }
    }
}

/* Adds the squares of `n_columns` columns of cholesky' z, those from `start` on, to `square`;
   `n_columns` is a constant where this is called. */
INLINE void
FN(add_squares)(const Scratch *s, const REAL *cholesky, ptrdiff_t start, ptrdiff_t stop,
                ptrdiff_t row, int n_columns, VEC *square)
{
    VEC white[TILE_COLUMNS][TILE_VECTORS] = {{{0}}};
    const REAL *z = s->z + row, *factor = cholesky + start;
    for (ptrdiff_t i = 0; i < stop; i++, z += s->chunk, factor += s->columns) {
        VEC part[TILE_VECTORS];
        UNROLL
        for (int v = 0; v < TILE_VECTORS; v++) {
            part[v] = FN(load)(z + v * LANES);
        }
        UNROLL
        for (int j = 0; j < n_columns; j++) {
            UNROLL
            for (int v = 0; v < TILE_VECTORS; v++) {
                white[j][v] += part[v] * factor[j];
            }
        }
    }
    UNROLL
    for (int j = 0; j < n_columns; j++) {
        UNROLL
        for (int v = 0; v < TILE_VECTORS; v++) {
            square[v] += white[j][v] * white[j][v];
        }
    }
}

/* out = constant - |cholesky' z|^2 / 2, for a triangular cholesky. */
static void
FN(triangular_density)(const Scratch *s, const REAL *cholesky, ptrdiff_t n_features,
                       ptrdiff_t n_rows, REAL constant, REAL *out)
{
    const ptrdiff_t whole = n_features / TILE_COLUMNS * TILE_COLUMNS;
    for (ptrdiff_t row = 0; row < n_rows; row += TILE_ROWS) {
        VEC square[TILE_VECTORS] = {{0}};
        for (ptrdiff_t start = 0; start < whole; start += TILE_COLUMNS) {
            FN(add_squares)(s, cholesky, start, start + TILE_COLUMNS, row, TILE_COLUMNS, square);
        }
        const ptrdiff_t left = n_features - whole;
        if (left == 1) {
            FN(add_squares)(s, cholesky, whole, n_features, row, 1, square);
        } else if (left == 2) {
            FN(add_squares)(s, cholesky, whole, n_features, row, 2, square);
        } else if (left > 0 && left <= 4) {
            FN(add_squares)(s, cholesky, whole, n_features, row, 4, square);
        } else if (left > 4) {
            FN(add_squares)(s, cholesky, whole, n_features, row, TILE_COLUMNS, square);
        }
        for (int v = 0; v < TILE_VECTORS; v++) {
            FN(store)(out + row + v * LANES, constant - square[v] * (REAL)0.5);
        }
    }
}

static void
FN(diagonal_density)(const Scratch *s, const REAL *mean, const REAL *cholesky, ptrdiff_t n_features,
                     ptrdiff_t n_rows, REAL constant, REAL *out)
{
    for (ptrdiff_t row = 0; row < n_rows; row += TILE_ROWS) {
        VEC square[TILE_VECTORS] = {{0}};
        const REAL *x = s->x + row;
        for (ptrdiff_t i = 0; i < n_features; i++, x += s->chunk) {
            UNROLL
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC white = (FN(load)(x + v * LANES) - mean[i]) * cholesky[i];
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
FN(log_joint)(const Scratch *s, const Gaussians *g, ptrdiff_t n_features, ptrdiff_t n_rows,
              REAL *out, ptrdiff_t stride)
{
    for (ptrdiff_t k = 0; k < g->n_components; k++) {
        const REAL *mean = s->means + k * n_features;
        const REAL constant = (REAL)g->constants[k];
        if (g->diagonal) {
            FN(diagonal_density)(s, mean, s->cholesky + k * n_features, n_features, n_rows,
                                 constant, out + k * stride);
        } else {
            FN(deviations)(s, mean, n_features, n_rows);
            FN(triangular_density)(s, s->cholesky + k * n_features * s->columns, n_features, n_rows,
                                   constant, out + k * stride);
        }
    }
}

/* See gaussian_bindings.h. Returns 0, or -1 if out of memory. */
static int
FN(gaussian_log_density)(const Rows *rows, const Gaussians *g, void *out_)
{
    REAL *out = out_;
    Scratch scratch, *s = &scratch;
    void *memory = FN(allocate)(s, rows->n_features, g, 0);
    if (memory == NULL) {
        return -1;
    }
    for (ptrdiff_t start = 0; start < rows->n_rows; start += s->chunk) {
        const ptrdiff_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        FN(fetch)(s, rows, start, size);
        FN(log_joint)(s, g, rows->n_features, round_up(size, TILE_ROWS), s->joint, s->chunk);
        for (ptrdiff_t k = 0; k < g->n_components; k++) {
            memcpy(out + k * rows->n_rows + start, s->joint + k * s->chunk,
                   (size_t)size * sizeof(REAL));
        }
    }
    aligned_free(memory);
    return 0;
}
