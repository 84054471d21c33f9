/* Conditional means and covariances of missing entries, for full covariances; included by
   gaussian_missing_kernels.h. */

/* Puts fills, or zeros if `fills` is NULL, where entries are missing in `z`. */
static void
put(const Scratch *s, const Plan *p, const double *fills)
{
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        const ptrdiff_t row = group->row, n_rows = group->n_rows;
        if (group->mixed) {
            for (ptrdiff_t r = row; r < row + n_rows; r++) {
                for (ptrdiff_t i = 0; i < group->order; i++) {
                    s->z[p->own[r][i] * s->chunk + r] = fills ? fills[i * p->stride + r] : 0.0;
                }
            }
            continue;
        }
        for (ptrdiff_t i = 0; i < group->order; i++) {
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
        for (ptrdiff_t i = 0; i < group->order; i++) {
            const double *row = precision + own[i] * p->columns;
            for (ptrdiff_t j = 0; j <= i; j++) {
                *to++ = FN(broadcast)(row[own[j]]);
            }
        }
        return;
    }
    for (ptrdiff_t lane = 0; lane < LANES; lane++) {
        const uint16_t *own = p->own[group->row + (lane < group->n_rows ? lane : 0)];
        double *to = (double *)p->block + lane;
        for (ptrdiff_t i = 0; i < group->order; i++) {
            const double *row = precision + own[i] * p->columns;
            for (ptrdiff_t j = 0; j <= i; j++, to += LANES) {
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
    for (ptrdiff_t i = 0; i < group->order; i++) {
        VEC ridge;
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            const ptrdiff_t r = group->mixed && lane < group->n_rows ? lane : 0;
            ridge[lane] = p->missing->ridge[p->own[group->row + r][i]];
        }
        sum += ridge * p->block[TRIANGLE(i) + i];
    }
    return sum * 0.5;
}

static int
any_lane(IVEC mask)
{
    INTEGER found = 0;
    for (ptrdiff_t lane = 0; lane < LANES; lane++) {
        found |= mask[lane];
    }
    return found != 0;
}

/* Rows of K times z for some rows of one pattern; the numbers are constants where this is
   called. */
INLINE void
multiply_tile(const Scratch *s, const Plan *p, const double *precision, const uint16_t *own,
              int n_left, ptrdiff_t row, int n_vectors, ptrdiff_t d, double *out)
{
    VEC sum[4][TILE_VECTORS] = {{{0}}};
    const double *left[4];
    for (int i = 0; i < n_left; i++) {
        left[i] = precision + own[i] * p->columns;
    }
    const double *z = s->z + row;
    for (ptrdiff_t j = 0; j < d; j++, z += s->chunk) {
        VEC part[TILE_VECTORS];
        UNROLL
        for (int v = 0; v < n_vectors; v++) {
            part[v] = FN(load)(z + v * LANES);
        }
        UNROLL
        for (int i = 0; i < n_left; i++) {
            UNROLL
            for (int v = 0; v < n_vectors; v++) {
                sum[i][v] += part[v] * left[i][j];
            }
        }
    }
    UNROLL
    for (int i = 0; i < n_left; i++) {
        UNROLL
        for (int v = 0; v < n_vectors; v++) {
            FN(store)(out + i * p->stride + row + v * LANES, sum[i][v]);
        }
    }
}

INLINE void
multiply_rows(const Scratch *s, const Plan *p, const double *precision, const Group *group,
              ptrdiff_t row, int n_vectors, ptrdiff_t d, double *out)
{
    const uint16_t *own = p->own[group->row];
    ptrdiff_t i = 0;
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
         ptrdiff_t d, double *fills)
{
    const ptrdiff_t stop = group->row + group->n_rows;
    for (ptrdiff_t row = group->row; row < stop;) {
        if (stop - row > 2 * LANES) {
            multiply_rows(s, p, precision, group, row, TILE_VECTORS, d, fills);
            row += TILE_ROWS;
        } else {
            multiply_rows(s, p, precision, group, row, 1, d, fills);
            row += LANES;
        }
    }
    for (ptrdiff_t row = group->row; row < stop; row += LANES) {
        for (ptrdiff_t i = 0; i < group->order; i++) {
            p->solution[i] = FN(load)(fills + i * p->stride + row);
        }
        FN(substitute)(p->block, group->order, -1.0, p->solution, p->solution);
        for (ptrdiff_t i = 0; i < group->order; i++) {
            FN(store)(fills + i * p->stride + row, p->solution[i]);
        }
    }
}

/* K_mo z_o of a mixed group, one row after the other, to `solution`. */
static void
multiply_across(const Plan *p, const double *precision, const double *mean, const Group *group)
{
    for (ptrdiff_t lane = 0; lane < group->n_rows; lane++) {
        const ptrdiff_t r = group->row + lane;
        const double *x = p->across + r * p->columns;
        double *z = (double *)p->work;
        for (ptrdiff_t j = 0; j < p->columns; j += LANES) {
            const VEC value = FN(load)(x + j);
            FN(store)(z + j, FN(select)(value == value, value - FN(load)(mean + j), (VEC){0}));
        }
        for (ptrdiff_t i = 0; i < group->order; i++) {
            const double *row = precision + p->own[r][i] * p->columns;
            VEC sum = {0};
            for (ptrdiff_t j = 0; j < p->columns; j += LANES) {
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
        for (ptrdiff_t lane = 0; lane < group->n_rows; lane++) {
            const ptrdiff_t r = group->row + lane;
            for (ptrdiff_t i = 0; i < group->order; i++) {
                ((double *)(p->solution + i))[lane] = s->weighted[p->own[r][i] * s->chunk + r];
            }
        }
    } else {
        multiply_across(p, precision, mean, group);
    }
    FN(substitute)(p->block, group->order, -1.0, p->solution, p->solution);
    for (ptrdiff_t i = 0; i < group->order; i++) {
        FN(store)(fills + i * p->stride + group->row, p->solution[i]);
    }
}

/* K z of all rows from the first to the last wanted mixed group, to `weighted`. */
static void
multiply_all(const Scratch *s, const Plan *p, const double *precision, ptrdiff_t d)
{
    ptrdiff_t done = 0;
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        if (!group->mixed || !group->wanted) {
            continue;
        }
        const ptrdiff_t from = group->row / TILE_ROWS * TILE_ROWS;
        ptrdiff_t row = from > done ? from : done;
        for (; row < group->row + group->n_rows; row += TILE_ROWS) {
            for (ptrdiff_t first = 0; first < d; first += TILE_COLUMNS) {
                VEC sum[TILE_COLUMNS][TILE_VECTORS] = {{{0}}};
                const double *z = s->z + row, *right = precision + first;
                for (ptrdiff_t i = 0; i < d; i++, z += s->chunk, right += p->columns) {
                    VEC part[TILE_VECTORS];
                    UNROLL
                    for (int v = 0; v < TILE_VECTORS; v++) {
                        part[v] = FN(load)(z + v * LANES);
                    }
                    UNROLL
                    for (int j = 0; j < TILE_COLUMNS; j++) {
                        UNROLL
                        for (int v = 0; v < TILE_VECTORS; v++) {
                            sum[j][v] += part[v] * right[j];
                        }
                    }
                }
                UNROLL
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

/* Fills, and levels, of the wanted groups for a component; `z` is then centered, and 0 where
   entries are missing. */
static int
fill(const Scratch *s, const Plan *p, ptrdiff_t k, ptrdiff_t d, ptrdiff_t n_rows,
     double *fills)
{
    const double *precision = p->precision + k * d * p->columns, *mean = p->means + k * p->columns;
    FN(deviations)(s, mean, d, n_rows);
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
        for (ptrdiff_t i = 0; i < group->order; i++) {
            const VEC inverse = p->block[TRIANGLE(i) + i];
            failed |= ~(inverse > 0.0) | ~(inverse < (double)INFINITY);
        }
        if (any_lane(failed)) {
            return SINGULAR;
        }
        level -= log_det * 0.5;
        for (ptrdiff_t r = 0; r < group->n_rows; r++) {
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

/* Writes fills of the rows that `collect` took; rows of negligible responsibilities have zeros. */
static void
insert(const Scratch *s, const Plan *p, const double *fills, const double *responsibility,
       double negligible, const ptrdiff_t *chosen, ptrdiff_t n_chosen, ptrdiff_t size)
{
    for (ptrdiff_t at = 0; at < n_chosen && at < size; at++) {
        const ptrdiff_t r = chosen ? chosen[at] : at;
        const uint16_t *own = p->own[r];
        const double weight = responsibility[r];
        const int counts = weight > negligible;
        for (ptrdiff_t i = 0; i < p->order[r]; i++) {
            const double value = counts ? fills[i * p->stride + r] : 0.0;
            s->z[own[i] * s->chunk + at] = value;
            s->weighted[own[i] * s->chunk + at] = value * weight;
        }
    }
}

/* Adds weight x (covariance - ridge) of one pattern to `sums`, from one lane of the negative
   covariances in `block`. */
static void
add_covariance(const Scratch *s, const Plan *p, const uint16_t *own, ptrdiff_t order,
               ptrdiff_t lane, double weight, double *sums)
{
    const double *from = (const double *)p->block + lane, *ridge = p->missing->ridge;
    for (ptrdiff_t i = 0; i < order; i++) {
        for (ptrdiff_t j = 0; j <= i; j++, from += LANES) {
            sums[own[j] * s->width + own[i]] -= weight * *from;
        }
        if (ridge) {
            sums[own[i] * s->width + own[i]] -= weight * ridge[own[i]];
        }
    }
}

/* Negative inverses in place of what `load_block` left. */
static int
invert_block(const Plan *p, ptrdiff_t order)
{
    VEC *A = p->block, log_det;
    if (order == 1) {
        const IVEC failed = ~(A[0] > 0.0);
        A[0] = -1.0 / A[0];
        return any_lane(failed) ? SINGULAR : SUCCESS;
    }
    const ptrdiff_t padded = order + (order & 1);
    if (padded > order) {
        VEC *last = A + TRIANGLE(order);
        for (ptrdiff_t j = 0; j < order; j++) {
            last[j] = (VEC){0};
        }
        last[order] = FN(broadcast)(1.0);
    }
    return any_lane(FN(sweep)(A, padded, p->work, &log_det)) ? SINGULAR : SUCCESS;
}

/* Responsibilities of the rows of a group that are not negligible, added up for each pattern; the
   sums are where the first row of the pattern is. Whether there are any. */
static int
pattern_weights(const Plan *p, const Group *group, const double *responsibility, double negligible,
                double *weight)
{
    const VEC least = FN(broadcast)(negligible);
    VEC sum = {0};
    ptrdiff_t r = 0, lane = 0;
    memset(weight, 0, VECTOR_BYTES);
    responsibility += group->row;
    for (; !group->mixed && r + LANES <= group->n_rows; r += LANES) {
        const VEC own = FN(load)(responsibility + r);
        sum += FN(select)(own > least, own, (VEC){0});
    }
    double total = weight[0] = FN(sum_lanes)(sum);
    for (; r < group->n_rows; r++) {
        const double own = responsibility[r] > negligible ? responsibility[r] : 0.0;
        lane = p->own[group->row + r] == p->own[group->row + lane] ? lane : r;
        weight[lane] += own;
        total += own;
    }
    return total > 0.0;
}

/* Adds the conditional covariances of rows whose responsibilities are not negligible. */
static int
add_covariances(const Scratch *s, const Plan *p, ptrdiff_t k, ptrdiff_t d,
                const double *responsibility, double negligible)
{
    double *sums = s->sums + k * s->width * s->width, weight[VECTOR_BYTES / sizeof(double)];
    for (const Group *group = p->groups; group < p->groups + p->n_groups; group++) {
        if (!pattern_weights(p, group, responsibility, negligible, weight)) {
            continue;
        }
        load_block(p, group, p->precision + k * d * p->columns);
        if (invert_block(p, group->order) != SUCCESS) {
            return SINGULAR;
        }
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            if (weight[lane] > 0.0) {
                add_covariance(s, p, p->own[group->row + lane], group->order, lane, weight[lane],
                               sums);
            }
        }
    }
    return SUCCESS;
}
