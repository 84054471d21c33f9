/* The functions of gaussian.h for rows with missing entries; included by precisions.h for
   double precision.

   With K the inverse of a component's covariance and z = x - mean, the missing entries m of a
   row are filled with their conditional means, z_m = -inv(K_mm) K_mo z_o. The density of the
   observed ones is that of the filled row times exp(-log|K_mm| / 2), up to powers of 2 pi, and
   the moments are those of filled rows plus the conditional covariance inv(K_mm). So all
   else is done by the functions for complete rows. For diagonal covariances the fills are 0.

   A ridge, a variance added to each measured entry, takes ridge_j K_jj / 2 from the log-density
   of a complete row; each missing entry j gives its part back, and its variance in the
   moments.

   Rows of one pattern that follow each other are one group: one factorization serves them all.
   Otherwise up to LANES rows with equally many missing entries are a group: the matrices of its
   rows are factorized together, one in each lane. */

/* What is missing, and the precisions (n_features^2 numbers a component, or NULL). */
typedef struct {
    Py_ssize_t n_patterns, largest; /* largest: the most entries missing in a row */
    const uint16_t *columns;
    const int64_t *starts, *edges;
    const double *precision, *ridge; /* ridge: NULL for none */
} Missing;

enum { NO_MEMORY = -1, SUCCESS = 0, SINGULAR = 1 };

/* Rows of the chunk that are conditioned together. */
typedef struct {
    Py_ssize_t row, n_rows, order; /* order: entries missing in each row */
    int mixed;                     /* the rows have different patterns */
    int wanted;                    /* by the component at hand */
} Group;

/* Work for one chunk, beside that of Scratch. */
typedef struct {
    const Missing *missing;
    Py_ssize_t pattern;             /* of the first row of the next chunk */
    Py_ssize_t stride;              /* of the fills: one for each row, and a vector */
    Py_ssize_t columns;             /* of a row of `precision` and of `across`, padded */
    Group *groups;
    Py_ssize_t n_groups;
    int dense;                      /* whether mixed groups take K z as a whole */
    const uint16_t **own;           /* missing columns of each row */
    Py_ssize_t *order;              /* and how many */
    double *precision, *means;      /* padded with zeros */
    double *across;                 /* rows of mixed groups, one after the other */
    double *fills;                  /* (component, missing entry, row) */
    double *level;                  /* of each row: what is added to its log-density */
    double *entry_level, *variance; /* (component, feature): of a missing entry, if diagonal */
    VEC *block, *work, *solution;
    void *memory;
} Plan;

/* Groups of one pattern have at least so many rows, unless nothing fits beside them. */
#define SHORTEST_RUN (LANES / 2)

/* Mixed groups multiply by all of K if more than one in so many entries is missing. */
#define DENSE_FROM 6

/* Levels and variances of missing entries for diagonal roots. */
static int
prepare_diagonal(const Plan *p, const Gaussians *g, Py_ssize_t d)
{
    const Missing *m = p->missing;
    const Py_ssize_t n_entries = m->n_patterns ? (Py_ssize_t)m->starts[m->n_patterns] : 0;
    /* Columns are marked first, as each may be missing in many patterns. */
    for (Py_ssize_t i = m->n_patterns ? (Py_ssize_t)m->starts[0] : 0; i < n_entries; i++) {
        p->variance[m->columns[i]] = 1.0;
    }
    for (Py_ssize_t j = 0; j < d; j++) {
        if (p->variance[j] == 0.0) {
            continue;
        }
        const double ridge = m->ridge ? m->ridge[j] : 0.0;
        for (Py_ssize_t k = 0; k < g->n_components; k++) {
            const double precision = g->root[k * d + j] * g->root[k * d + j];
            const double variance = 1.0 / precision;
            if (!(precision > 0.0 && variance > 0.0 && variance < (double)INFINITY)) {
                return SINGULAR;
            }
            /* Twice the level, as it is added to squares. */
            p->entry_level[k * d + j] = log(precision) - ridge * precision;
            p->variance[k * d + j] = variance - ridge;
        }
    }
    return SUCCESS;
}

#define N_PARTS 9

/* Memory for both; `n_kept` components have their fills kept. To be freed: both `memory`. */
static int
prepare(Scratch *s, Plan *p, const Rows *rows, const Gaussians *g, const Missing *missing,
        Py_ssize_t n_kept, void **scratch_memory)
{
    const Py_ssize_t d = rows->n_features, K = g->n_components, most = missing->largest;
    const int full = !g->diagonal;
    *p = (Plan){.missing = missing};
    p->columns = full ? round_up(d, TILE_COLUMNS > LANES ? TILE_COLUMNS : LANES) : 0;
    /* Fills are used twice only, so they may go beyond the second-level cache. */
    *scratch_memory = FN(allocate)(s, d, g, p->columns + (full ? n_kept * most / 4 : 0));
    if (*scratch_memory == NULL) {
        return NO_MEMORY;
    }
    const Py_ssize_t all = round_up(rows->n_rows, TILE_ROWS);
    s->chunk = s->chunk < all ? s->chunk : all;
    p->stride = s->chunk + LANES;
    const Py_ssize_t padded = most + (most & 1);
    const Py_ssize_t work = 4 * padded * LANES;
    const Py_ssize_t sizes[N_PARTS] = {full ? TRIANGLE(padded) * LANES : 0,
                                       work > p->columns ? work : p->columns,
                                       padded * LANES,
                                       K * d * p->columns,
                                       K * p->columns,
                                       s->chunk * p->columns,
                                       p->stride,
                                       full ? 0 : 2 * K * d,
                                       full ? n_kept * most * p->stride : 0};
    double *parts[N_PARTS];
    size_t total = 0;
    for (int i = 0; i < N_PARTS; i++) {
        total += (size_t)round_up(sizes[i], 8) * sizeof(double);
    }
    const size_t tables = (size_t)s->chunk * (sizeof(Group) + sizeof(uint16_t *) +
                                              sizeof(Py_ssize_t));
    p->memory = aligned(total + tables);
    if (p->memory == NULL) {
        return NO_MEMORY;
    }
    double *next = p->memory;
    for (int i = 0; i < N_PARTS; i++) {
        parts[i] = next;
        next += round_up(sizes[i], 8);
    }
    p->block = (VEC *)parts[0];
    p->work = (VEC *)parts[1];
    p->solution = (VEC *)parts[2];
    p->precision = parts[3];
    p->means = parts[4];
    p->across = parts[5];
    p->level = parts[6];
    p->entry_level = parts[7];
    p->variance = parts[7] + K * d;
    p->fills = parts[8];
    p->groups = (Group *)next;
    p->own = (const uint16_t **)(p->groups + s->chunk);
    p->order = (Py_ssize_t *)(p->own + s->chunk);
    memset(p->memory, 0, (size_t)(p->fills - parts[0]) * sizeof(double));
    if (g->diagonal) {
        return prepare_diagonal(p, g, d);
    }
    for (Py_ssize_t row = 0; row < K * d; row++) {
        memcpy(p->precision + row * p->columns, missing->precision + row * d,
               (size_t)d * sizeof(double));
    }
    for (Py_ssize_t k = 0; k < K; k++) {
        memcpy(p->means + k * p->columns, g->means + k * d, (size_t)d * sizeof(double));
    }
    return SUCCESS;
}

/* Rows of mixed groups one after the other, NaN where they are missing. */
static void
lay_across(const Scratch *s, const Plan *p, Py_ssize_t d)
{
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        for (Py_ssize_t r = group->row; group->mixed && r < group->row + group->n_rows; r++) {
            double *to = p->across + r * p->columns;
            for (Py_ssize_t j = 0; j < d; j++) {
                to[j] = s->x[j * s->chunk + r];
            }
            for (Py_ssize_t i = 0; i < group->order; i++) {
                to[p->own[r][i]] = (double)NAN;
            }
        }
    }
}

/* The groups of `size` rows from `first_row` on, whose missing entries in `x` become `mark`. */
static void
plan_chunk(const Scratch *s, Plan *p, Py_ssize_t d, Py_ssize_t first_row, Py_ssize_t size,
           int diagonal)
{
    const Missing *m = p->missing;
    const double mark = diagonal ? (double)NAN : 0.0;
    Py_ssize_t n_entries = 0, n_mixed = 0, stop;
    p->n_groups = 0;
    for (Py_ssize_t row = 0; row < size; row = stop) {
        while (m->edges[p->pattern + 1] <= first_row + row) {
            p->pattern++;
        }
        stop = (Py_ssize_t)m->edges[p->pattern + 1] - first_row;
        stop = stop < size ? stop : size;
        const uint16_t *own = m->columns + m->starts[p->pattern];
        const Py_ssize_t order = (Py_ssize_t)(m->starts[p->pattern + 1] - m->starts[p->pattern]);
        for (Py_ssize_t i = 0; i < order; i++) {
            double *x = s->x + own[i] * s->chunk;
            for (Py_ssize_t r = row; r < stop; r++) {
                x[r] = mark;
            }
        }
        if (diagonal) {
            continue;
        }
        for (Py_ssize_t r = row; r < stop; r++) {
            p->own[r] = own;
            p->order[r] = order;
        }
        const Py_ssize_t n_rows = stop - row;
        Group *last = p->groups + p->n_groups - 1;
        if (p->n_groups > 0 && n_rows < SHORTEST_RUN && last->order == order &&
            (last->mixed || last->n_rows < SHORTEST_RUN) && last->n_rows + n_rows <= LANES) {
            const Py_ssize_t more = last->mixed ? n_rows : last->n_rows + n_rows;
            n_mixed += more;
            n_entries += more * order;
            last->n_rows += n_rows;
            last->mixed = 1;
        } else {
            p->groups[p->n_groups++] =
                (Group){.row = row, .n_rows = n_rows, .order = order, .wanted = 1};
        }
    }
    p->dense = DENSE_FROM * n_entries > d * n_mixed;
    if (n_mixed > 0 && !p->dense) {
        lay_across(s, p, d);
    }
}

/* Puts fills, or zeros if `fills` is NULL, where entries are missing in `z`. */
static void
put(const Scratch *s, const Plan *p, const double *fills)
{
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        const Py_ssize_t row = group->row, n_rows = group->n_rows;
        if (group->mixed) {
            for (Py_ssize_t r = row; r < row + n_rows; r++) {
                for (Py_ssize_t i = 0; i < group->order; i++) {
                    s->z[p->own[r][i] * s->chunk + r] = fills ? fills[i * p->stride + r] : 0.0;
                }
            }
            continue;
        }
        for (Py_ssize_t i = 0; i < group->order; i++) {
            double *z = s->z + p->own[row][i] * s->chunk + row;
            if (fills) {
                memcpy(z, fills + i * p->stride + row, (size_t)n_rows * sizeof(double));
            } else {
                memset(z, 0, (size_t)n_rows * sizeof(double));
            }
        }
    }
}

/* K_mm of the rows of a group, one in each lane; spare lanes repeat the first. */
static void
load_block(const Plan *p, const Group *group, const double *precision)
{
    if (!group->mixed) {
        const uint16_t *own = p->own[group->row];
        VEC *to = p->block;
        for (Py_ssize_t i = 0; i < group->order; i++) {
            const double *row = precision + own[i] * p->columns;
            for (Py_ssize_t j = 0; j <= i; j++) {
                *to++ = FN(broadcast)(row[own[j]]);
            }
        }
        return;
    }
    for (Py_ssize_t lane = 0; lane < LANES; lane++) {
        const uint16_t *own = p->own[group->row + (lane < group->n_rows ? lane : 0)];
        double *to = (double *)p->block + lane;
        for (Py_ssize_t i = 0; i < group->order; i++) {
            const double *row = precision + own[i] * p->columns;
            for (Py_ssize_t j = 0; j <= i; j++, to += LANES) {
                *to = row[own[j]];
            }
        }
    }
}

/* Half the sums of ridge_j K_jj over missing entries, from what `load_block` left. */
static VEC
half_ridge(const Plan *p, const Group *group)
{
    VEC sum = {0};
    for (Py_ssize_t i = 0; i < group->order; i++) {
        VEC ridge;
        for (Py_ssize_t lane = 0; lane < LANES; lane++) {
            const Py_ssize_t r = group->mixed && lane < group->n_rows ? lane : 0;
            ridge[lane] = p->missing->ridge[p->own[group->row + r][i]];
        }
        sum += ridge * p->block[TRIANGLE(i) + i];
    }
    return sum * 0.5;
}

static int
any(IVEC mask)
{
    INTEGER found = 0;
    for (Py_ssize_t lane = 0; lane < LANES; lane++) {
        found |= mask[lane];
    }
    return found != 0;
}

/* Rows of K times z for some rows of one pattern; the numbers are constants where this is
   called. */
INLINE void
multiply_tile(const Scratch *s, const Plan *p, const double *precision, const uint16_t *own,
              int n_left, Py_ssize_t row, int n_vectors, Py_ssize_t d, double *out)
{
    VEC sum[4][TILE_VECTORS] = {{{0}}};
    const double *left[4];
    for (int i = 0; i < n_left; i++) {
        left[i] = precision + own[i] * p->columns;
    }
    const double *z = s->z + row;
    for (Py_ssize_t j = 0; j < d; j++, z += s->chunk) {
        VEC part[TILE_VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < n_vectors; v++) {
            part[v] = FN(load)(z + v * LANES);
        }
#pragma GCC unroll 8
        for (int i = 0; i < n_left; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < n_vectors; v++) {
                sum[i][v] += part[v] * left[i][j];
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < n_left; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < n_vectors; v++) {
            FN(store)(out + i * p->stride + row + v * LANES, sum[i][v]);
        }
    }
}

INLINE void
multiply_rows(const Scratch *s, const Plan *p, const double *precision, const Group *group,
              Py_ssize_t row, int n_vectors, Py_ssize_t d, double *out)
{
    const uint16_t *own = p->own[group->row];
    Py_ssize_t i = 0;
    for (; i + 4 <= group->order; i += 4) {
        multiply_tile(s, p, precision, own + i, 4, row, n_vectors, d, out + i * p->stride);
    }
    out += i * p->stride;
    if (group->order - i == 1) {
        multiply_tile(s, p, precision, own + i, 1, row, n_vectors, d, out);
    } else if (group->order - i == 2) {
        multiply_tile(s, p, precision, own + i, 2, row, n_vectors, d, out);
    } else if (group->order - i == 3) {
        multiply_tile(s, p, precision, own + i, 3, row, n_vectors, d, out);
    }
}

/* Fills of rows of one pattern. What is written beyond them, less than a vector, belongs to rows
   of later groups. */
static void
fill_run(const Scratch *s, const Plan *p, const double *precision, const Group *group,
         Py_ssize_t d, double *fills)
{
    const Py_ssize_t stop = group->row + group->n_rows;
    for (Py_ssize_t row = group->row; row < stop;) {
        if (stop - row > 2 * LANES) {
            multiply_rows(s, p, precision, group, row, TILE_VECTORS, d, fills);
            row += TILE_ROWS;
        } else {
            multiply_rows(s, p, precision, group, row, 1, d, fills);
            row += LANES;
        }
    }
    for (Py_ssize_t row = group->row; row < stop; row += LANES) {
        for (Py_ssize_t i = 0; i < group->order; i++) {
            p->solution[i] = FN(load)(fills + i * p->stride + row);
        }
        FN(substitute)(p->block, group->order, -1.0, p->solution, p->solution);
        for (Py_ssize_t i = 0; i < group->order; i++) {
            FN(store)(fills + i * p->stride + row, p->solution[i]);
        }
    }
}

/* K_mo z_o of a mixed group, one row after the other, to `solution`. */
static void
multiply_across(const Plan *p, const double *precision, const double *mean, const Group *group)
{
    for (Py_ssize_t lane = 0; lane < group->n_rows; lane++) {
        const Py_ssize_t r = group->row + lane;
        const double *x = p->across + r * p->columns;
        double *z = (double *)p->work;
        for (Py_ssize_t j = 0; j < p->columns; j += LANES) {
            const VEC value = FN(load)(x + j);
            FN(store)(z + j, FN(select)(value == value, value - FN(load)(mean + j), (VEC){0}));
        }
        for (Py_ssize_t i = 0; i < group->order; i++) {
            const double *row = precision + p->own[r][i] * p->columns;
            VEC sum = {0};
            for (Py_ssize_t j = 0; j < p->columns; j += LANES) {
                sum += FN(load)(row + j) * FN(load)(z + j);
            }
            ((double *)(p->solution + i))[lane] = FN(sum_lanes)(sum);
        }
    }
}

/* Fills of a mixed group. */
static void
fill_mixed(const Scratch *s, const Plan *p, const double *precision, const double *mean,
           const Group *group, double *fills)
{
    if (p->dense) {
        for (Py_ssize_t lane = 0; lane < group->n_rows; lane++) {
            const Py_ssize_t r = group->row + lane;
            for (Py_ssize_t i = 0; i < group->order; i++) {
                ((double *)(p->solution + i))[lane] = s->weighted[p->own[r][i] * s->chunk + r];
            }
        }
    } else {
        multiply_across(p, precision, mean, group);
    }
    FN(substitute)(p->block, group->order, -1.0, p->solution, p->solution);
    for (Py_ssize_t i = 0; i < group->order; i++) {
        FN(store)(fills + i * p->stride + group->row, p->solution[i]);
    }
}

/* K z of all rows from the first to the last wanted mixed group, to `weighted`. */
static void
multiply_all(const Scratch *s, const Plan *p, const double *precision, Py_ssize_t d)
{
    Py_ssize_t done = 0;
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        if (!group->mixed || !group->wanted) {
            continue;
        }
        const Py_ssize_t from = group->row / TILE_ROWS * TILE_ROWS;
        Py_ssize_t row = from > done ? from : done;
        for (; row < group->row + group->n_rows; row += TILE_ROWS) {
            for (Py_ssize_t first = 0; first < d; first += TILE_COLUMNS) {
                VEC sum[TILE_COLUMNS][TILE_VECTORS] = {{{0}}};
                const double *z = s->z + row, *right = precision + first;
                for (Py_ssize_t i = 0; i < d; i++, z += s->chunk, right += p->columns) {
                    VEC part[TILE_VECTORS];
#pragma GCC unroll 8
                    for (int v = 0; v < TILE_VECTORS; v++) {
                        part[v] = FN(load)(z + v * LANES);
                    }
#pragma GCC unroll 8
                    for (int j = 0; j < TILE_COLUMNS; j++) {
#pragma GCC unroll 8
                        for (int v = 0; v < TILE_VECTORS; v++) {
                            sum[j][v] += part[v] * right[j];
                        }
                    }
                }
#pragma GCC unroll 8
                for (int j = 0; j < TILE_COLUMNS; j++) {
                    for (int v = 0; first + j < d && v < TILE_VECTORS; v++) {
                        FN(store)(s->weighted + (first + j) * s->chunk + row + v * LANES,
                                  sum[j][v]);
                    }
                }
            }
        }
        done = row;
    }
}

/* Fills, and levels, of the wanted groups for a component; `z` is then centred, and 0 where
   entries are missing. */
static int
fill(const Scratch *s, const Plan *p, Py_ssize_t k, Py_ssize_t d, Py_ssize_t n_rows,
     double *fills)
{
    const double *precision = p->precision + k * d * p->columns, *mean = p->means + k * p->columns;
    FN(centre)(s, mean, d, n_rows);
    put(s, p, NULL);
    if (p->dense) {
        multiply_all(s, p, precision, d);
    }
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        if (!group->wanted) {
            continue;
        }
        load_block(p, group, precision);
        VEC level = p->missing->ridge ? half_ridge(p, group) : (VEC){0}, log_det;
        IVEC failed = FN(factorize)(p->block, group->order, p->work, &log_det);
        for (Py_ssize_t i = 0; i < group->order; i++) {
            const VEC inverse = p->block[TRIANGLE(i) + i];
            failed |= ~(inverse > 0.0) | ~(inverse < (double)INFINITY);
        }
        if (any(failed)) {
            return SINGULAR;
        }
        level -= log_det * 0.5;
        for (Py_ssize_t r = 0; r < group->n_rows; r++) {
            p->level[group->row + r] = level[group->mixed ? r : 0];
        }
        if (group->mixed) {
            fill_mixed(s, p, precision, mean, group, fills);
        } else {
            fill_run(s, p, precision, group, d, fills);
        }
    }
    return SUCCESS;
}

/* As `diagonal_density`; missing entries, which are NaN, have twice their level in place of a
   square. */
static void
missing_diagonal_density(const Scratch *s, const double *mean, const double *root,
                         const double *level, Py_ssize_t d, Py_ssize_t n_rows, double constant,
                         double *out)
{
    for (Py_ssize_t row = 0; row < n_rows; row += TILE_ROWS) {
        VEC square[TILE_VECTORS] = {{0}};
        const double *x = s->x + row;
        for (Py_ssize_t i = 0; i < d; i++, x += s->chunk) {
            const VEC missing = FN(broadcast)(level[i]);
#pragma GCC unroll 8
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC value = FN(load)(x + v * LANES);
                const VEC white = (value - mean[i]) * root[i];
                square[v] += FN(select)(value == value, white * white, missing);
            }
        }
        for (int v = 0; v < TILE_VECTORS; v++) {
            FN(store)(out + row + v * LANES, constant - square[v] * 0.5);
        }
    }
}

/* As `diagonal_scatter`; missing entries, which are NaN, have their variance as square. */
static void
missing_diagonal_scatter(const Scratch *s, const double *mean, const double *variance,
                         const double *share, Py_ssize_t d, Py_ssize_t n_rows, double *sums)
{
    VEC total = {0};
    for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
        total += FN(load)(share + r);
    }
    sums[0] += FN(sum_lanes)(total);
    for (Py_ssize_t i = 0; i < d; i++) {
        const double *x = s->x + i * s->chunk;
        const VEC missing = FN(broadcast)(variance[i]);
        VEC first[TILE_VECTORS] = {{0}}, second[TILE_VECTORS] = {{0}};
        for (Py_ssize_t r = 0; r < n_rows; r += TILE_ROWS) {
#pragma GCC unroll 8
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC value = FN(load)(x + r + v * LANES), z = value - mean[i];
                const VEC own = FN(load)(share + r + v * LANES);
                const IVEC observed = value == value;
                first[v] += FN(select)(observed, own * z, (VEC){0});
                second[v] += own * FN(select)(observed, z * z, missing);
            }
        }
        sums[1 + i] += FN(sum_lanes)(first[0] + first[1] + first[2]);
        sums[1 + d + i] += FN(sum_lanes)(second[0] + second[1] + second[2]);
    }
}

/* Log-joint densities of the rows in `x` for component k, whose fills are kept in `fills`. */
static int
missing_joint(const Scratch *s, const Plan *p, const Gaussians *g, Py_ssize_t k, Py_ssize_t d,
              Py_ssize_t n_rows, double *fills)
{
    double *out = s->joint + k * s->chunk;
    if (g->diagonal) {
        missing_diagonal_density(s, s->means + k * d, s->root + k * d, p->entry_level + k * d, d,
                                 n_rows, g->constants[k], out);
        return SUCCESS;
    }
    const int status = fill(s, p, k, d, n_rows, fills);
    if (status != SUCCESS) {
        return status;
    }
    put(s, p, fills);
    FN(triangular_density)(s, s->root + k * d * s->columns, d, n_rows, g->constants[k], out);
    for (Py_ssize_t r = 0; r < n_rows; r += LANES) {
        FN(store)(out + r, FN(load)(out + r) + FN(load)(p->level + r));
    }
    return SUCCESS;
}

/* Writes fills of the rows that `collect` took; rows of negligible shares have zeros. */
static void
insert(const Scratch *s, const Plan *p, const double *fills, const double *share,
       double negligible, const Py_ssize_t *chosen, Py_ssize_t n_chosen, Py_ssize_t size)
{
    for (Py_ssize_t at = 0; at < n_chosen && at < size; at++) {
        const Py_ssize_t r = chosen ? chosen[at] : at;
        const uint16_t *own = p->own[r];
        const double weight = share[r];
        const int counts = weight > negligible;
        for (Py_ssize_t i = 0; i < p->order[r]; i++) {
            const double value = counts ? fills[i * p->stride + r] : 0.0;
            s->z[own[i] * s->chunk + at] = value;
            s->weighted[own[i] * s->chunk + at] = value * weight;
        }
    }
}

/* Adds weight x (covariance - ridge) of one pattern to `sums`, from one lane of the negative
   covariances in `block`. */
static void
add_covariance(const Scratch *s, const Plan *p, const uint16_t *own, Py_ssize_t order,
               Py_ssize_t lane, double weight, double *sums)
{
    const double *from = (const double *)p->block + lane, *ridge = p->missing->ridge;
    for (Py_ssize_t i = 0; i < order; i++) {
        for (Py_ssize_t j = 0; j <= i; j++, from += LANES) {
            sums[own[j] * s->width + own[i]] -= weight * *from;
        }
        if (ridge) {
            sums[own[i] * s->width + own[i]] -= weight * ridge[own[i]];
        }
    }
}

/* Negative inverses in place of what `load_block` left. */
static int
invert_block(const Plan *p, Py_ssize_t order)
{
    VEC *A = p->block, log_det;
    if (order == 1) {
        const IVEC failed = ~(A[0] > 0.0);
        A[0] = -1.0 / A[0];
        return any(failed) ? SINGULAR : SUCCESS;
    }
    const Py_ssize_t padded = order + (order & 1);
    if (padded > order) {
        VEC *last = A + TRIANGLE(order);
        for (Py_ssize_t j = 0; j < order; j++) {
            last[j] = (VEC){0};
        }
        last[order] = FN(broadcast)(1.0);
    }
    return any(FN(sweep)(A, padded, p->work, &log_det)) ? SINGULAR : SUCCESS;
}

/* Adds the conditional covariances of rows whose shares are not negligible. */
static int
add_covariances(const Scratch *s, const Plan *p, Py_ssize_t k, Py_ssize_t d, const double *share,
                double negligible)
{
    double *sums = s->sums + k * s->width * s->width;
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        double weight[VECTOR_BYTES / sizeof(double)] = {0}, total = 0.0;
        /* Weights of neighbours with the same pattern go to the first of them. */
        for (Py_ssize_t r = 0, lane = 0; r < group->n_rows; r++) {
            const double own = share[group->row + r];
            lane = p->own[group->row + r] == p->own[group->row + lane] ? lane : r;
            weight[lane] += own > negligible ? own : 0.0;
            total += own > negligible ? own : 0.0;
        }
        if (total == 0.0) {
            continue;
        }
        load_block(p, group, p->precision + k * d * p->columns);
        if (invert_block(p, group->order) != SUCCESS) {
            return SINGULAR;
        }
        for (Py_ssize_t lane = 0; lane < LANES; lane++) {
            if (weight[lane] > 0.0) {
                add_covariance(s, p, p->own[group->row + lane], group->order, lane, weight[lane],
                               sums);
            }
        }
    }
    return SUCCESS;
}

/* Adds the moments of component k for `size` rows in `x`, padded to `n_rows`. `fills` are those
   of `missing_joint`; or NULL, and they are made where they are needed. */
static int
missing_accumulate(const Scratch *s, const Plan *p, const Gaussians *g, Py_ssize_t k,
                   Py_ssize_t d, Py_ssize_t size, Py_ssize_t n_rows, const double *fills)
{
    const double *share = s->joint + k * s->chunk, *mean = s->means + k * d;
    if (g->diagonal) {
        missing_diagonal_scatter(s, mean, p->variance + k * d, share, d, n_rows,
                                 s->sums + k * (2 * d + 1));
        return SUCCESS;
    }
    const double negligible = FN(negligible)(share, n_rows);
    if (fills == NULL) {
        for (Group *group = p->groups; group < p->groups + p->n_groups; group++) {
            group->wanted = 0;
            for (Py_ssize_t r = group->row; r < group->row + group->n_rows; r++) {
                group->wanted |= share[r] > negligible;
            }
        }
        if (fill(s, p, k, d, n_rows, p->fills) != SUCCESS) {
            return SINGULAR;
        }
        fills = p->fills;
    }
    Py_ssize_t chosen[LARGEST_CHUNK], n_chosen;
    const Py_ssize_t used =
        FN(collect)(s, mean, share, negligible, d, n_rows, chosen, &n_chosen);
    insert(s, p, fills, share, negligible, n_chosen == n_rows ? NULL : chosen, n_chosen, size);
    FN(scatter)(s, d, used, s->sums + k * s->width * s->width);
    return add_covariances(s, p, k, d, share, negligible);
}

/* See gaussian_missing_methods.h for what the three functions do and return. */
static int
missing_step(const Rows *rows, const Gaussians *g, const Missing *missing, const double *weight,
             const Sums *out, double *objective)
{
    const Py_ssize_t d = rows->n_features, K = g->n_components;
    Scratch scratch, *s = &scratch;
    Plan plan, *p = &plan;
    void *memory;
    int status = prepare(s, p, rows, g, missing, K, &memory);
    *objective = 0.0;
    for (Py_ssize_t start = 0; status == SUCCESS && start < rows->n_rows; start += s->chunk) {
        const Py_ssize_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const Py_ssize_t padded = round_up(size, TILE_ROWS), kept = missing->largest * p->stride;
        FN(fetch)(s, rows, start, size);
        plan_chunk(s, p, d, start, size, g->diagonal);
        for (Py_ssize_t r = 0; r < padded; r++) {
            s->weight[r] = r >= size ? 0 : weight ? weight[start + r] : 1;
        }
        for (Py_ssize_t k = 0; status == SUCCESS && k < K; k++) {
            status = missing_joint(s, p, g, k, d, padded, p->fills + k * kept);
        }
        if (status != SUCCESS) {
            break;
        }
        FN(softmax)(s->joint, s->chunk, K, padded, s->weight, s->density);
        *objective += FN(weighted_sum)(s->weight, s->density, size);
        for (Py_ssize_t k = 0; status == SUCCESS && k < K; k++) {
            status = missing_accumulate(s, p, g, k, d, size, padded, p->fills + k * kept);
        }
    }
    if (status == SUCCESS) {
        FN(publish)(s, g, d, out);
    }
    free(p->memory);
    free(memory);
    return status;
}

static int
missing_log_density(const Rows *rows, const Gaussians *g, const Missing *missing, double *out)
{
    const Py_ssize_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    Plan plan, *p = &plan;
    void *memory;
    int status = prepare(s, p, rows, g, missing, 1, &memory);
    for (Py_ssize_t start = 0; status == SUCCESS && start < rows->n_rows; start += s->chunk) {
        const Py_ssize_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const Py_ssize_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        plan_chunk(s, p, d, start, size, g->diagonal);
        for (Py_ssize_t k = 0; status == SUCCESS && k < g->n_components; k++) {
            status = missing_joint(s, p, g, k, d, padded, p->fills);
            memcpy(out + k * rows->n_rows + start, s->joint + k * s->chunk,
                   (size_t)size * sizeof(double));
        }
    }
    free(p->memory);
    free(memory);
    return status;
}

static int
missing_moments(const Rows *rows, const Gaussians *g, const Missing *missing,
                const double *shares, const Sums *out)
{
    const Py_ssize_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    Plan plan, *p = &plan;
    void *memory;
    int status = prepare(s, p, rows, g, missing, 1, &memory);
    for (Py_ssize_t start = 0; status == SUCCESS && start < rows->n_rows; start += s->chunk) {
        const Py_ssize_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const Py_ssize_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        plan_chunk(s, p, d, start, size, g->diagonal);
        for (Py_ssize_t k = 0; status == SUCCESS && k < g->n_components; k++) {
            double *to = s->joint + k * s->chunk;
            memcpy(to, shares + k * rows->n_rows + start, (size_t)size * sizeof(double));
            memset(to + size, 0, (size_t)(padded - size) * sizeof(double));
            status = missing_accumulate(s, p, g, k, d, size, padded, NULL);
        }
    }
    if (status == SUCCESS) {
        FN(publish)(s, g, d, out);
    }
    free(p->memory);
    free(memory);
    return status;
}
