/* Tables looked up by codes: log-densities of categorical rows, and sums by code.

   Up to 16 components are taken together, as 1 to 4 vectors of 4 numbers side by side, so
   that one code costs one or two lines of cache whatever the number of components. */

#define LOOKUP_ROWS 64

typedef double QUAD __attribute__((vector_size(32), may_alias));
typedef double LOOSE_QUAD __attribute__((vector_size(32), aligned(8), may_alias));

/* Whether all codes are below `n_codes`; negative ones are not. */
static int
codes_within(const int32_t *codes, Py_ssize_t n, Py_ssize_t n_codes)
{
    uint32_t largest = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        const uint32_t code = (uint32_t)codes[i];
        largest = code > largest ? code : largest;
    }
    return n == 0 || (Py_ssize_t)largest < n_codes;
}

/* rows[i] = sum of table[code] over the codes of row i */
INLINE void
gather_rows(const int32_t *codes, Py_ssize_t n_rows, Py_ssize_t n_groups, const QUAD *table,
            QUAD *rows, const int n_quads)
{
    for (Py_ssize_t i = 0; i < n_rows; i++) {
        QUAD sum[4] = {{0}, {0}, {0}, {0}};
        for (Py_ssize_t g = 0; g < n_groups; g++) {
            const QUAD *entry = table + (Py_ssize_t)codes[i * n_groups + g] * n_quads;
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
scatter_rows(const int32_t *codes, Py_ssize_t n_rows, Py_ssize_t n_groups, QUAD *table,
             const QUAD *rows, const int n_quads)
{
    for (Py_ssize_t i = 0; i < n_rows; i++) {
        QUAD share[4];
        for (int q = 0; q < n_quads; q++) {
            share[q] = rows[i * n_quads + q];
        }
        for (Py_ssize_t g = 0; g < n_groups; g++) {
            QUAD *entry = table + (Py_ssize_t)codes[i * n_groups + g] * n_quads;
            for (int q = 0; q < n_quads; q++) {
                entry[q] += share[q];
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

/* out (n_components, n_rows) += the sums of the entries of table (n_components, n_codes).
   Returns 0, or -1 without memory. */
static int
add_lookups(const int32_t *codes, Py_ssize_t n_rows, Py_ssize_t n_groups, const double *table,
            Py_ssize_t n_codes, Py_ssize_t n_components, double *out)
{
    double *own = aligned((size_t)n_codes * 16 * sizeof(double));
    QUAD rows[LOOKUP_ROWS * 4];
    if (own == NULL) {
        return -1;
    }
    for (Py_ssize_t first = 0; first < n_components; first += 16) {
        const int n = (int)(n_components - first < 16 ? n_components - first : 16);
        const int n_quads = (n + 3) / 4, width = 4 * n_quads;
        memset(own, 0, (size_t)(n_codes * width) * sizeof(double));
        for (int k = 0; k < n; k++) {
            for (Py_ssize_t c = 0; c < n_codes; c++) {
                own[c * width + k] = table[(first + k) * n_codes + c];
            }
        }
        for (Py_ssize_t start = 0; start < n_rows; start += LOOKUP_ROWS) {
            const Py_ssize_t size = n_rows - start < LOOKUP_ROWS ? n_rows - start : LOOKUP_ROWS;
            const int32_t *part = codes + start * n_groups;
#define GATHER(quads) gather_rows(part, size, n_groups, (const QUAD *)own, rows, quads)
            FOR_QUADS(n_quads, GATHER)
            const double *sums = (const double *)rows;
            for (int k = 0; k < n; k++) {
                double *to = out + (first + k) * n_rows + start;
                for (Py_ssize_t i = 0; i < size; i++) {
                    to[i] += sums[i * width + k];
                }
            }
        }
    }
    free(own);
    return 0;
}

/* sums (n_components, n_codes) = the shares (n_components, n_rows) added by code.
   Returns 0, or -1 without memory. */
static int
sum_lookups(const int32_t *codes, Py_ssize_t n_rows, Py_ssize_t n_groups, const double *shares,
            Py_ssize_t n_codes, Py_ssize_t n_components, double *sums)
{
    double *own = aligned((size_t)n_codes * 16 * sizeof(double));
    QUAD rows[LOOKUP_ROWS * 4];
    if (own == NULL) {
        return -1;
    }
    for (Py_ssize_t first = 0; first < n_components; first += 16) {
        const int n = (int)(n_components - first < 16 ? n_components - first : 16);
        const int n_quads = (n + 3) / 4, width = 4 * n_quads;
        memset(own, 0, (size_t)(n_codes * width) * sizeof(double));
        memset(rows, 0, sizeof rows);
        for (Py_ssize_t start = 0; start < n_rows; start += LOOKUP_ROWS) {
            const Py_ssize_t size = n_rows - start < LOOKUP_ROWS ? n_rows - start : LOOKUP_ROWS;
            const int32_t *part = codes + start * n_groups;
            double *to = (double *)rows;
            for (int k = 0; k < n; k++) {
                const double *from = shares + (first + k) * n_rows + start;
                for (Py_ssize_t i = 0; i < size; i++) {
                    to[i * width + k] = from[i];
                }
            }
#define SCATTER(quads) scatter_rows(part, size, n_groups, (QUAD *)own, rows, quads)
            FOR_QUADS(n_quads, SCATTER)
        }
        for (int k = 0; k < n; k++) {
            for (Py_ssize_t c = 0; c < n_codes; c++) {
                sums[(first + k) * n_codes + c] = own[c * width + k];
            }
        }
    }
    free(own);
    return 0;
}

/* Both functions of Python: codes, the table of all codes, and the array of all rows. */
static PyObject *
look_up(PyObject *const *args, Py_ssize_t n_args, int gathers)
{
    Held held = {.n_held = 0};
    PyObject *result = NULL;
    if (!expect_arguments(n_args, 3)) {
        return NULL;
    }
    const Py_buffer *shape = hold_strided(&held, args[0], 'i', 2, READ);
    const Py_buffer *entries = shape ? hold_strided(&held, args[1], 'd', 2, READ) : NULL;
    if (entries == NULL) {
        goto done;
    }
    const Py_ssize_t n_rows = shape->shape[0], n_groups = shape->shape[1];
    const Py_ssize_t n_components = entries->shape[0], n_codes = entries->shape[1];
    const int32_t *codes = hold(&held, args[0], 'i', n_rows * n_groups, READ);
    double *table =
        codes ? hold(&held, args[1], 'd', n_components * n_codes, gathers ? READ : WRITE) : NULL;
    double *of_rows =
        table ? hold(&held, args[2], 'd', n_components * n_rows, gathers ? WRITE : READ) : NULL;
    if (of_rows == NULL) {
        goto done;
    }
    int valid, failed = 0;
    Py_BEGIN_ALLOW_THREADS
    valid = codes_within(codes, n_rows * n_groups, n_codes);
    if (valid) {
        failed = gathers ? add_lookups(codes, n_rows, n_groups, table, n_codes, n_components,
                                       of_rows)
                         : sum_lookups(codes, n_rows, n_groups, of_rows, n_codes, n_components,
                                       table);
    }
    Py_END_ALLOW_THREADS
    if (!valid) {
        PyErr_SetString(PyExc_IndexError, "a code is beyond the table");
    } else if (failed) {
        PyErr_NoMemory();
    } else {
        result = Py_None;
        Py_INCREF(result);
    }
done:
    release(&held);
    return result;
}

/* lookup_add(codes, table, out): out[k, i] += sum over g of table[k, codes[i, g]]

   codes  (n_rows, n_groups) of 'i', each within the table
   table  (n_components, n_codes) of 'd'
   out    (n_components, n_rows) of 'd' */
static PyObject *
lookup_add(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    return look_up(args, n_args, 1);
}

/* lookup_sum(codes, sums, shares): sums[k, c] = sum of shares[k, i] over codes[i, g] == c

   codes   (n_rows, n_groups) of 'i', each within the table
   sums    (n_components, n_codes) of 'd': out
   shares  (n_components, n_rows) of 'd' */
static PyObject *
lookup_sum(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    return look_up(args, n_args, 0);
}
