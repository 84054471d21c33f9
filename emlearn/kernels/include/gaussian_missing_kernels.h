/* The functions of gaussian_kernels.h for rows with missing entries; included by float_types.h for
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

#include "missing_plan_kernels.h"
#include "missing_fill_kernels.h"

/* As `diagonal_density`; missing entries, which are NaN, have twice their level in place of a
   square. */
static void
missing_diagonal_density(const Scratch *s, const double *mean, const double *cholesky,
                         const double *level, ptrdiff_t d, ptrdiff_t n_rows, double constant,
                         double *out)
{
    for (ptrdiff_t row = 0; row < n_rows; row += TILE_ROWS) {
        VEC square[TILE_VECTORS] = {{0}};
        const double *x = s->x + row;
        for (ptrdiff_t i = 0; i < d; i++, x += s->chunk) {
            const VEC missing = FN(broadcast)(level[i]);
            UNROLL
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC value = FN(load)(x + v * LANES);
                const VEC white = (value - mean[i]) * cholesky[i];
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
                         const double *responsibility, ptrdiff_t d, ptrdiff_t n_rows, double *sums)
{
    VEC total = {0};
    for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
        total += FN(load)(responsibility + r);
    }
    sums[0] += FN(sum_lanes)(total);
    for (ptrdiff_t i = 0; i < d; i++) {
        const double *x = s->x + i * s->chunk;
        const VEC missing = FN(broadcast)(variance[i]);
        VEC first[TILE_VECTORS] = {{0}}, second[TILE_VECTORS] = {{0}};
        for (ptrdiff_t r = 0; r < n_rows; r += TILE_ROWS) {
            UNROLL
            for (int v = 0; v < TILE_VECTORS; v++) {
                const VEC value = FN(load)(x + r + v * LANES), z = value - mean[i];
                const VEC own = FN(load)(responsibility + r + v * LANES);
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
missing_joint(const Scratch *s, const Plan *p, const Gaussians *g, ptrdiff_t k, ptrdiff_t d,
              ptrdiff_t n_rows, double *fills)
{
    double *out = s->joint + k * s->chunk;
    if (g->diagonal) {
        missing_diagonal_density(s, s->means + k * d, s->cholesky + k * d,
                                 p->entry_level + k * d, d, n_rows, g->constants[k], out);
        return SUCCESS;
    }
    const int status = fill(s, p, k, d, n_rows, fills);
    if (status != SUCCESS) {
        return status;
    }
    put(s, p, fills);
    FN(triangular_density)(s, s->cholesky + k * d * s->columns, d, n_rows, g->constants[k], out);
    for (ptrdiff_t r = 0; r < n_rows; r += LANES) {
        FN(store)(out + r, FN(load)(out + r) + FN(load)(p->level + r));
    }
    return SUCCESS;
}

/* Adds the moments of component k for `size` rows in `x`, padded to `n_rows`. `fills` are those
   of `missing_joint`; or NULL, and they are made where they are needed. */
static int
missing_accumulate(const Scratch *s, const Plan *p, const Gaussians *g, ptrdiff_t k,
                   ptrdiff_t d, ptrdiff_t size, ptrdiff_t n_rows, const double *fills)
{
    const double *responsibility = s->joint + k * s->chunk, *mean = s->means + k * d;
    if (g->diagonal) {
        missing_diagonal_scatter(s, mean, p->variance + k * d, responsibility, d, n_rows,
                                 s->sums + k * (2 * d + 1));
        return SUCCESS;
    }
    const double negligible = FN(negligible)(responsibility, n_rows);
    if (fills == NULL) {
        for (Group *group = p->groups; group < p->groups + p->n_groups; group++) {
            group->wanted = 0;
            for (ptrdiff_t r = group->row; r < group->row + group->n_rows; r++) {
                group->wanted |= responsibility[r] > negligible;
            }
        }
        if (fill(s, p, k, d, n_rows, p->fills) != SUCCESS) {
            return SINGULAR;
        }
        fills = p->fills;
    }
    ptrdiff_t chosen[CHUNK_ROWS], n_chosen;
    const ptrdiff_t used =
        FN(collect)(s, mean, responsibility, negligible, d, n_rows, chosen, &n_chosen);
    insert(s, p, fills, responsibility, negligible, n_chosen == n_rows ? NULL : chosen, n_chosen,
           size);
    FN(scatter)(s, d, used, s->sums + k * s->width * s->width);
    return add_covariances(s, p, k, d, responsibility, negligible);
}

/* See gaussian_missing_bindings.h for what the three functions do and return. */
static int
missing_step(const Rows *rows, const Gaussians *g, const Missing *missing, const double *weight,
             const Sums *out, double *objective)
{
    const ptrdiff_t d = rows->n_features, K = g->n_components;
    Scratch scratch, *s = &scratch;
    Plan plan, *p = &plan;
    void *memory;
    int status = prepare(s, p, rows, g, missing, K, &memory);
    *objective = 0.0;
    for (ptrdiff_t start = 0; status == SUCCESS && start < rows->n_rows; start += s->chunk) {
        const ptrdiff_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const ptrdiff_t padded = round_up(size, TILE_ROWS), kept = missing->largest * p->stride;
        FN(fetch)(s, rows, start, size);
        plan_chunk(s, p, d, start, size, g->diagonal);
        for (ptrdiff_t r = 0; r < padded; r++) {
            s->weight[r] = r >= size ? 0 : weight ? weight[start + r] : 1;
        }
        for (ptrdiff_t k = 0; status == SUCCESS && k < K; k++) {
            status = missing_joint(s, p, g, k, d, padded, p->fills + k * kept);
        }
        if (status != SUCCESS) {
            break;
        }
        FN(softmax)(s->joint, s->chunk, K, padded, s->weight, s->density);
        *objective += FN(weighted_sum)(s->weight, s->density, size);
        for (ptrdiff_t k = 0; status == SUCCESS && k < K; k++) {
            status = missing_accumulate(s, p, g, k, d, size, padded, p->fills + k * kept);
        }
    }
    if (status == SUCCESS) {
        FN(write_sums)(s, g, d, out);
    }
    aligned_free(p->memory);
    aligned_free(memory);
    return status;
}

static int
missing_log_density(const Rows *rows, const Gaussians *g, const Missing *missing, double *out)
{
    const ptrdiff_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    Plan plan, *p = &plan;
    void *memory;
    int status = prepare(s, p, rows, g, missing, 1, &memory);
    for (ptrdiff_t start = 0; status == SUCCESS && start < rows->n_rows; start += s->chunk) {
        const ptrdiff_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const ptrdiff_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        plan_chunk(s, p, d, start, size, g->diagonal);
        for (ptrdiff_t k = 0; status == SUCCESS && k < g->n_components; k++) {
            status = missing_joint(s, p, g, k, d, padded, p->fills);
            memcpy(out + k * rows->n_rows + start, s->joint + k * s->chunk,
                   (size_t)size * sizeof(double));
        }
    }
    aligned_free(p->memory);
    aligned_free(memory);
    return status;
}

static int
missing_moments(const Rows *rows, const Gaussians *g, const Missing *missing,
                const double *responsibilities, const Sums *out)
{
    const ptrdiff_t d = rows->n_features;
    Scratch scratch, *s = &scratch;
    Plan plan, *p = &plan;
    void *memory;
    int status = prepare(s, p, rows, g, missing, 1, &memory);
    for (ptrdiff_t start = 0; status == SUCCESS && start < rows->n_rows; start += s->chunk) {
        const ptrdiff_t left = rows->n_rows - start, size = left < s->chunk ? left : s->chunk;
        const ptrdiff_t padded = round_up(size, TILE_ROWS);
        FN(fetch)(s, rows, start, size);
        plan_chunk(s, p, d, start, size, g->diagonal);
        for (ptrdiff_t k = 0; status == SUCCESS && k < g->n_components; k++) {
            double *to = s->joint + k * s->chunk;
            memcpy(to, responsibilities + k * rows->n_rows + start, (size_t)size * sizeof(double));
            memset(to + size, 0, (size_t)(padded - size) * sizeof(double));
            status = missing_accumulate(s, p, g, k, d, size, padded, NULL);
        }
    }
    if (status == SUCCESS) {
        FN(write_sums)(s, g, d, out);
    }
    aligned_free(p->memory);
    aligned_free(memory);
    return status;
}
