/* Which rows of a chunk are conditioned together, and memory for it; included by
   gaussian_missing_kernels.h. */

/* What is missing, and the precisions (n_features^2 numbers a component, or NULL). */
typedef struct {
    ptrdiff_t n_patterns, largest; /* largest: the most entries missing in a row */
    const uint16_t *columns;
    const int64_t *starts, *edges;
    const double *precision, *ridge; /* ridge: NULL for none */
} Missing;

enum { NO_MEMORY = -1, SUCCESS = 0, SINGULAR = 1 };

/* Rows of the chunk that are conditioned together. */
typedef struct {
    ptrdiff_t row, n_rows, order; /* order: entries missing in each row */
    int mixed;                     /* the rows have different patterns */
    int wanted;                    /* by the component at hand */
} Group;

/* Work for one chunk, beside that of Scratch. */
typedef struct {
    const Missing *missing;
    ptrdiff_t pattern;             /* of the first row of the next chunk */
    ptrdiff_t stride;              /* of the fills: one for each row, and a vector */
    ptrdiff_t columns;             /* of a row of `precision` and of `across`, padded */
    Group *groups;
    ptrdiff_t n_groups;
    int dense;                      /* whether mixed groups take K z as a whole */
    const uint16_t **own;           /* missing columns of each row */
    ptrdiff_t *order;              /* and how many */
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

/* Levels and variances of missing entries for diagonal covariances. */
static int
prepare_diagonal(const Plan *p, const Gaussians *g, ptrdiff_t d)
{
    const Missing *m = p->missing;
    const ptrdiff_t n_entries = m->n_patterns ? (ptrdiff_t)m->starts[m->n_patterns] : 0;
    /* Columns are marked first, as each may be missing in many patterns. */
    for (ptrdiff_t i = m->n_patterns ? (ptrdiff_t)m->starts[0] : 0; i < n_entries; i++) {
        p->variance[m->columns[i]] = 1.0;
    }
    for (ptrdiff_t j = 0; j < d; j++) {
        if (p->variance[j] == 0.0) {
            continue;
        }
        const double ridge = m->ridge ? m->ridge[j] : 0.0;
        for (ptrdiff_t k = 0; k < g->n_components; k++) {
            const double root = g->precision_cholesky[k * d + j], precision = root * root;
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
        ptrdiff_t n_kept, void **scratch_memory)
{
    const ptrdiff_t d = rows->n_features, K = g->n_components, most = missing->largest;
    const int full = !g->diagonal;
    *p = (Plan){.missing = missing};
    p->columns = full ? round_up(d, TILE_COLUMNS > LANES ? TILE_COLUMNS : LANES) : 0;
    /* Fills are used twice only, so they may go beyond the second-level cache. */
    *scratch_memory = FN(allocate)(s, d, g, p->columns + (full ? n_kept * most / 4 : 0));
    if (*scratch_memory == NULL) {
        return NO_MEMORY;
    }
    const ptrdiff_t all = round_up(rows->n_rows, TILE_ROWS);
    s->chunk = s->chunk < all ? s->chunk : all;
    p->stride = s->chunk + LANES;
    const ptrdiff_t padded = most + (most & 1);
    const ptrdiff_t work = 4 * padded * LANES;
    /* Each part is a number of rows of a length. */
    const ptrdiff_t shapes[N_PARTS][2] = {{full ? TRIANGLE(padded) : 0, LANES},
                                          {1, work > p->columns ? work : p->columns},
                                          {padded, LANES},
                                          {K * d, p->columns},
                                          {K, p->columns},
                                          {s->chunk, p->columns},
                                          {1, p->stride},
                                          {full ? 0 : 2 * K, d},
                                          {full ? n_kept * most : 0, p->stride}};
    const ptrdiff_t line = ALIGNMENT / sizeof(double);
    double *parts[N_PARTS];
    size_t total = 0;
    for (int i = 0; i < N_PARTS; i++) {
        total = add_size(add_size(total, shapes[i][0], shapes[i][1]), 1, line);
    }
    const size_t table = sizeof(Group) + sizeof(uint16_t *) + sizeof(ptrdiff_t);
    total = add_size(total, s->chunk, (ptrdiff_t)(table / sizeof(double)));
    p->memory = aligned_memory(total, sizeof(double));
    if (p->memory == NULL) {
        return NO_MEMORY;
    }
    double *next = p->memory;
    for (int i = 0; i < N_PARTS; i++) {
        parts[i] = next;
        next += round_up(shapes[i][0] * shapes[i][1], line);
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
    p->order = (ptrdiff_t *)(p->own + s->chunk);
    memset(p->memory, 0, (size_t)(p->fills - parts[0]) * sizeof(double));
    if (g->diagonal) {
        return prepare_diagonal(p, g, d);
    }
    for (ptrdiff_t row = 0; row < K * d; row++) {
        memcpy(p->precision + row * p->columns, missing->precision + row * d,
               (size_t)d * sizeof(double));
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        memcpy(p->means + k * p->columns, g->means + k * d, (size_t)d * sizeof(double));
    }
    return SUCCESS;
}

/* Rows of mixed groups one after the other, NaN where they are missing. */
static void
lay_across(const Scratch *s, const Plan *p, ptrdiff_t d)
{
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        for (ptrdiff_t r = group->row; group->mixed && r < group->row + group->n_rows; r++) {
            double *to = p->across + r * p->columns;
            for (ptrdiff_t j = 0; j < d; j++) {
                to[j] = s->x[j * s->chunk + r];
            }
            for (ptrdiff_t i = 0; i < group->order; i++) {
                to[p->own[r][i]] = (double)NAN;
            }
        }
    }
}

/* The groups of `size` rows from `first_row` on, whose missing entries in `x` become `mark`. */
static void
plan_chunk(const Scratch *s, Plan *p, ptrdiff_t d, ptrdiff_t first_row, ptrdiff_t size,
           int diagonal)
{
    const Missing *m = p->missing;
    const double mark = diagonal ? (double)NAN : 0.0;
    ptrdiff_t n_entries = 0, n_mixed = 0, stop;
    p->n_groups = 0;
    for (ptrdiff_t row = 0; row < size; row = stop) {
        while (m->edges[p->pattern + 1] <= first_row + row) {
            p->pattern++;
        }
        stop = (ptrdiff_t)m->edges[p->pattern + 1] - first_row;
        stop = stop < size ? stop : size;
        const uint16_t *own = m->columns + m->starts[p->pattern];
        const ptrdiff_t order = (ptrdiff_t)(m->starts[p->pattern + 1] - m->starts[p->pattern]);
        for (ptrdiff_t i = 0; i < order; i++) {
            double *x = s->x + own[i] * s->chunk;
            for (ptrdiff_t r = row; r < stop; r++) {
                x[r] = mark;
            }
        }
        if (diagonal) {
            continue;
        }
        for (ptrdiff_t r = row; r < stop; r++) {
            p->own[r] = own;
            p->order[r] = order;
        }
        const ptrdiff_t n_rows = stop - row;
        Group *last = p->groups + p->n_groups - 1;
        if (p->n_groups > 0 && n_rows < SHORTEST_RUN && last->order == order &&
            (last->mixed || last->n_rows < SHORTEST_RUN) && last->n_rows + n_rows <= LANES) {
            const ptrdiff_t more = last->mixed ? n_rows : last->n_rows + n_rows;
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
