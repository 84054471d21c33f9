/* Tables looked up by codes: log-densities of categorical rows, and sums by code.

   Up to 16 components are taken together, as 1 to 4 vectors of 4 numbers side by side, so
   that one code costs one or two lines of cache whatever the number of components. */

#define LOOKUP_ROWS 64 /* taken together */

typedef double QUAD __attribute__((vector_size(32), may_alias));

/* Copies the codes of some rows, so that what has been checked cannot change before it is used:
   another thread may write to them. Returns whether all are below `n_codes`; negative ones are
   not. */
static int
copy_codes(const int32_t *restrict codes, ptrdiff_t n, ptrdiff_t n_codes, int32_t *restrict copy)
{
    uint32_t largest = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const int32_t code = codes[i];
        copy[i] = code;
        largest = (uint32_t)code > largest ? (uint32_t)code : largest;
    }
    return n == 0 || (ptrdiff_t)largest < n_codes;
}

/* rows[i] = sum of table[code] over the codes of row i */
INLINE void
gather_rows(const int32_t *codes, ptrdiff_t n_rows, ptrdiff_t n_groups, const QUAD *table,
            QUAD *rows, const int n_quads)
{
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        QUAD sum[4] = {{0}, {0}, {0}, {0}};
        for (ptrdiff_t g = 0; g < n_groups; g++) {
            const QUAD *entry = table + (ptrdiff_t)codes[i * n_groups + g] * n_quads;
            for (int q = 0; q < n_quads; q++) {
                sum[q] += entry[q];
            }
        }
        for (int q = 0; q < n_quads; q++) {
            rows[i * n_quads + q] = sum[q];
        }
    }
}

/* table[code] += rows[i] for the codes of row i */
INLINE void
scatter_rows(const int32_t *codes, ptrdiff_t n_rows, ptrdiff_t n_groups, QUAD *table,
             const QUAD *rows, const int n_quads)
{
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        QUAD weight[4];
        for (int q = 0; q < n_quads; q++) {
            weight[q] = rows[i * n_quads + q];
        }
        for (ptrdiff_t g = 0; g < n_groups; g++) {
            QUAD *entry = table + (ptrdiff_t)codes[i * n_groups + g] * n_quads;
            for (int q = 0; q < n_quads; q++) {
                entry[q] += weight[q];
            }
        }
    }
}

/* With the number of vectors known when compiled. */
#define FOR_QUADS(n_quads, call) \
    switch (n_quads) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    default: call(4); break; \
    }

/* A table of 16 components and the codes of LOOKUP_ROWS rows, `*part`, in one piece. */
static double *
lookup_memory(ptrdiff_t n_rows, ptrdiff_t n_groups, ptrdiff_t n_codes, int32_t **part)
{
    const ptrdiff_t size = n_rows < LOOKUP_ROWS ? n_rows : LOOKUP_ROWS;
    double *own = aligned_memory(add_size(add_size(0, n_codes, 16), size, n_groups), sizeof *own);
    if (own != NULL) {
        *part = (int32_t *)(own + n_codes * 16);
    }
    return own;
}

/* out (n_components, n_rows) += the sums of the entries of table (n_components, n_codes).
   Returns 0, or -1 if out of memory, or -2 where a code is beyond the table. */
static int
categorical_log_density_all(const int32_t *codes, ptrdiff_t n_rows, ptrdiff_t n_groups,
                            const double *table, ptrdiff_t n_codes, ptrdiff_t n_components,
                            double *out)
{
    QUAD rows[LOOKUP_ROWS * 4];
    int32_t *part;
    double *own = lookup_memory(n_rows, n_groups, n_codes, &part);
    if (own == NULL) {
        return -1;
    }
    for (ptrdiff_t first = 0; first < n_components; first += 16) {
        const int n = (int)(n_components - first < 16 ? n_components - first : 16);
        const int n_quads = (n + 3) / 4, width = 4 * n_quads;
        memset(own, 0, (size_t)(n_codes * width) * sizeof(double));
        for (int k = 0; k < n; k++) {
            for (ptrdiff_t c = 0; c < n_codes; c++) {
                own[c * width + k] = table[(first + k) * n_codes + c];
            }
        }
        for (ptrdiff_t start = 0; start < n_rows; start += LOOKUP_ROWS) {
            const ptrdiff_t size = n_rows - start < LOOKUP_ROWS ? n_rows - start : LOOKUP_ROWS;
            if (!copy_codes(codes + start * n_groups, size * n_groups, n_codes, part)) {
                aligned_free(own);
                return -2;
            }
#define GATHER(quads) gather_rows(part, size, n_groups, (const QUAD *)own, rows, quads)
            FOR_QUADS(n_quads, GATHER)
            const double *sums = (const double *)rows;
            for (int k = 0; k < n; k++) {
                double *to = out + (first + k) * n_rows + start;
                for (ptrdiff_t i = 0; i < size; i++) {
                    to[i] += sums[i * width + k];
                }
            }
        }
    }
    aligned_free(own);
    return 0;
}

/* sums (n_components, n_codes) = the responsibilities (n_components, n_rows) added by code.
   Returns 0, or -1 if out of memory, or -2 where a code is beyond the table. */
static int
categorical_counts_all(const int32_t *codes, ptrdiff_t n_rows, ptrdiff_t n_groups,
                       const double *weights, ptrdiff_t n_codes, ptrdiff_t n_components,
                       double *sums)
{
    QUAD rows[LOOKUP_ROWS * 4];
    int32_t *part;
    double *own = lookup_memory(n_rows, n_groups, n_codes, &part);
    if (own == NULL) {
        return -1;
    }
    for (ptrdiff_t first = 0; first < n_components; first += 16) {
        const int n = (int)(n_components - first < 16 ? n_components - first : 16);
        const int n_quads = (n + 3) / 4, width = 4 * n_quads;
        memset(own, 0, (size_t)(n_codes * width) * sizeof(double));
        memset(rows, 0, sizeof rows);
        for (ptrdiff_t start = 0; start < n_rows; start += LOOKUP_ROWS) {
            const ptrdiff_t size = n_rows - start < LOOKUP_ROWS ? n_rows - start : LOOKUP_ROWS;
            if (!copy_codes(codes + start * n_groups, size * n_groups, n_codes, part)) {
                aligned_free(own);
                return -2;
            }
            double *to = (double *)rows;
            for (int k = 0; k < n; k++) {
                const double *from = weights + (first + k) * n_rows + start;
                for (ptrdiff_t i = 0; i < size; i++) {
                    to[i * width + k] = from[i];
                }
            }
#define SCATTER(quads) scatter_rows(part, size, n_groups, (QUAD *)own, rows, quads)
            FOR_QUADS(n_quads, SCATTER)
        }
        for (int k = 0; k < n; k++) {
            for (ptrdiff_t c = 0; c < n_codes; c++) {
                sums[(first + k) * n_codes + c] = own[c * width + k];
            }
        }
    }
    aligned_free(own);
    return 0;
}

