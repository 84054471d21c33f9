/* Hidden Markov chains in double precision: expectations and the most probable paths.

   Numbers that belong to states are padded with zeros to whole quads, four of them. */

#define CHAIN_QUAD 4
/* Rows of short sequences that are worked on together. */
#define CHAIN_ROWS 1024
/* The scaled recursions have lost nothing unless a weight exceeds this; see chain_smooth. */
#define CHAIN_LARGEST 1e200

typedef double quad __attribute__((vector_size(8 * CHAIN_QUAD), aligned(8), may_alias));

typedef struct {
    Py_ssize_t n_states, padded;
    const double *start;    /* padded */
    const double *from;     /* (n_states, padded): row i is the transitions from i */
    const double *into;     /* (n_states, padded): row j is the transitions into j */
} Chain;

INLINE quad
chain_repeat(double value)
{
    return value - (quad){0};
}

INLINE double
chain_sum(const quad *v, Py_ssize_t n_quads)
{
    quad total = v[0];
    for (Py_ssize_t q = 1; q < n_quads; q++) {
        total += v[q];
    }
    return (total[0] + total[2]) + (total[1] + total[3]);
}

/* Densities relative to the largest of each row, rows first: (n_rows, padded). `shift` is the
   largest log-density of each row, NaN where one of them is NaN or +inf. */
static void
chain_densities(const double *joint, Py_ssize_t stride, Py_ssize_t n_rows, Py_ssize_t n_states,
                Py_ssize_t padded, double *density, double *shift)
{
    const vec_d infinity = broadcast_d(INFINITY);
    const Py_ssize_t lanes = VECTOR_BYTES / 8;
    for (Py_ssize_t row = 0; row < n_rows; row += lanes) {
        /* The last rows are copied, so that no vector reaches beyond them. */
        const Py_ssize_t size = n_rows - row < lanes ? n_rows - row : lanes;
        double copy[VECTOR_BYTES / 8] = {0};
        vec_d largest = -infinity, check = {0};
        for (Py_ssize_t k = 0; k < n_states; k++) {
            const double *x = joint + k * stride + row;
            if (size < lanes) {
                memcpy(copy, x, (size_t)size * sizeof(double));
                x = copy;
            }
            const vec_d value = load_d(x);
            largest = larger_d(value, largest);
            check += select_d(value < infinity, (vec_d){0}, infinity - infinity);
        }
        const vec_d subtracted = select_d(largest == -infinity, (vec_d){0}, largest);
        for (Py_ssize_t k = 0; k < n_states; k++) {
            const double *x = joint + k * stride + row;
            if (size < lanes) {
                memcpy(copy, x, (size_t)size * sizeof(double));
                x = copy;
            }
            const vec_d value = exp_d(load_d(x) - subtracted);
            for (Py_ssize_t i = 0; i < size; i++) {
                density[(row + i) * padded + k] = value[i];
            }
        }
        largest += check;
        memcpy(shift + row, &largest, (size_t)size * sizeof(double));
    }
}

/* Smoothed probabilities of one sequence, times `weight`, by recursions that are scaled.

   density   (n_rows, padded) from chain_densities
   smoothed  (n_rows, padded): out
   scale     n_rows: scratch
   pairs     (n_states, padded): sum over time of filtered[i] x what follows[j]; out. Times the
             transition probabilities it is the expected number of transitions.

   Filtered probabilities are divided by the sum of those one step earlier, which is known
   before they are. Numbers below 1e-308 are lost on the way. What was lost would have been
   multiplied by `later` or less, so it had no influence as long as that is not huge; the
   sum of these factors is checked.

   Returns the log-likelihood relative to the shifts of the rows, or NaN where the check fails. */
INLINE double
chain_smooth(const Chain *chain, Py_ssize_t n_states, Py_ssize_t n_quads, Py_ssize_t n_rows,
             const double *density, double weight, double *smoothed, double *scale, double *pairs)
{
    const Py_ssize_t padded = n_quads * CHAIN_QUAD;
    quad *state = (quad *)smoothed;
    const quad *emission = (const quad *)density;
    double log_scale = 0.0, product = 1.0;

    for (Py_ssize_t q = 0; q < n_quads; q++) {
        state[q] = ((const quad *)chain->start)[q] * emission[q];
    }
    double total = chain_sum(state, n_quads);
    scale[0] = 1.0;
    for (Py_ssize_t t = 1; t < n_rows; t++) {
        const double *before = (const double *)state;
        const double factor = 1.0 / total;
        state += n_quads;
        emission += n_quads;
        for (Py_ssize_t q = 0; q < n_quads; q++) {
            quad even = {0}, odd = {0};
            const double *from = chain->from + q * CHAIN_QUAD;
            Py_ssize_t i = 0;
            for (; i + 1 < n_states; i += 2) {
                even += before[i] * *(const quad *)(from + i * padded);
                odd += before[i + 1] * *(const quad *)(from + (i + 1) * padded);
            }
            if (i < n_states) {
                even += before[i] * *(const quad *)(from + i * padded);
            }
            state[q] = (even + odd) * (emission[q] * factor);
        }
        scale[t] = factor;
        total = chain_sum(state, n_quads);
        product *= factor;
        if (product > 1e100) {
            log_scale += chain_log(product);
            product = 1.0;
        }
    }

    quad later[n_quads], check = {0}, next[n_quads];
    for (Py_ssize_t q = 0; q < n_quads; q++) {
        later[q] = chain_repeat(weight / total);
        check += later[q];
        state[q] *= later[q];
    }
    for (Py_ssize_t i = 0; i < n_states * n_quads; i++) {
        ((quad *)pairs)[i] = (quad){0};
    }
    for (Py_ssize_t t = n_rows - 1; t > 0; t--) {
        state -= n_quads;
        const double *filtered = (const double *)state;
        for (Py_ssize_t q = 0; q < n_quads; q++) {
            const quad scaled = later[q] * scale[t];
            check += scaled;
            next[q] = scaled * emission[q];
        }
        for (Py_ssize_t i = 0; i < n_states; i++) {
            for (Py_ssize_t q = 0; q < n_quads; q++) {
                ((quad *)pairs)[i * n_quads + q] += filtered[i] * next[q];
            }
        }
        const double *follows = (const double *)next;
        for (Py_ssize_t q = 0; q < n_quads; q++) {
            quad even = {0}, odd = {0};
            const double *into = chain->into + q * CHAIN_QUAD;
            Py_ssize_t j = 0;
            for (; j + 1 < n_states; j += 2) {
                even += follows[j] * *(const quad *)(into + j * padded);
                odd += follows[j + 1] * *(const quad *)(into + (j + 1) * padded);
            }
            if (j < n_states) {
                even += follows[j] * *(const quad *)(into + j * padded);
            }
            later[q] = even + odd;
        }
        for (Py_ssize_t q = 0; q < n_quads; q++) {
            state[q] *= later[q];
        }
        emission -= n_quads;
    }
    for (Py_ssize_t q = 0; q < n_quads; q++) {
        check += later[q];
    }
    const double largest = chain_sum(&check, 1);
    return largest <= CHAIN_LARGEST * weight ? chain_log(total / product) - log_scale : NAN;
}

/* chain_smooth with loops unrolled for few states. */
static double
chain_smooth_any(const Chain *chain, Py_ssize_t n_rows, const double *density, double weight,
                 double *smoothed, double *scale, double *pairs)
{
#define SMOOTH(n) chain_smooth(chain, n, ((n) + CHAIN_QUAD - 1) / CHAIN_QUAD, n_rows, density, weight, \
                               smoothed, scale, pairs)
    switch (chain->n_states) {
    case 1: return SMOOTH(1);
    case 2: return SMOOTH(2);
    case 3: return SMOOTH(3);
    case 4: return SMOOTH(4);
    case 5: return SMOOTH(5);
    case 6: return SMOOTH(6);
    case 7: return SMOOTH(7);
    case 8: return SMOOTH(8);
    default: return SMOOTH(chain->n_states);
    }
#undef SMOOTH
}

/* Zeros behind n_states numbers in each of n_rows rows. */
static void
chain_pad(const double *rows, Py_ssize_t n_rows, Py_ssize_t n_states, Py_ssize_t padded, double *out)
{
    memset(out, 0, (size_t)(n_rows * padded) * sizeof(double));
    for (Py_ssize_t i = 0; i < n_rows; i++) {
        memcpy(out + i * padded, rows + i * n_states, (size_t)n_states * sizeof(double));
    }
}

/* What smooth_chains computes; arguments as in chains.h. The number of sequences that needed
   the careful recursions, or -1 where there is no memory. */
static Py_ssize_t
chain_smooth_all(double *joint, Py_ssize_t n_states, Py_ssize_t n_rows, const int64_t *edges,
                 Py_ssize_t n_sequences, const double *start, const double *transition,
                 const double *weight, double *density, double *first, double *pairs)
{
    const Py_ssize_t padded = (n_states + CHAIN_QUAD - 1) / CHAIN_QUAD * CHAIN_QUAD;
    const Py_ssize_t square = n_states * n_states;
    Py_ssize_t most = CHAIN_ROWS, n_careful = 0;
    for (Py_ssize_t s = 0; s < n_sequences; s++) {
        most = edges[s + 1] - edges[s] > most ? edges[s + 1] - edges[s] : most;
    }
    most = n_rows < most ? n_rows : most;
    /* In this order: the chain, sums of pairs, densities and smoothed, shifts and scales. */
    const Py_ssize_t size = padded * (1 + 3 * n_states) + square + 2 * most * padded + 2 * most;
    double *memory = aligned((size_t)size * sizeof(double));
    if (memory == NULL) {
        return -1;
    }
    double *from = memory + padded, *into = from + n_states * padded;
    double *sums = into + n_states * padded, *turned = sums + n_states * padded;
    double *densities = turned + square, *smoothed = densities + most * padded;
    double *shift = smoothed + most * padded, *scale = shift + most;
    const Chain chain = {n_states, padded, memory, from, into};
    chain_transpose(transition, n_states, turned);
    chain_pad(start, 1, n_states, padded, memory);
    chain_pad(transition, n_states, n_states, padded, from);
    chain_pad(turned, n_states, n_states, padded, into);
    memset(densities, 0, (size_t)(most * padded) * sizeof(double));
    memset(first, 0, (size_t)n_states * sizeof(double));
    memset(pairs, 0, (size_t)square * sizeof(double));

    for (Py_ssize_t s = 0, next = 0; s < n_sequences; s = next) {
        const int64_t begin = edges[s];
        for (next = s + 1; next < n_sequences && edges[next + 1] - begin <= most; next++) {
        }
        chain_densities(joint + begin, n_rows, edges[next] - begin, n_states, padded, densities,
                        shift);
        for (; s < next; s++) {
            const Py_ssize_t at = edges[s] - begin, length = edges[s + 1] - edges[s];
            const double w = weight ? weight[s] : 1.0;
            double *rows = smoothed + at * padded, *x = joint + edges[s];
            double value = chain_smooth_any(&chain, length, densities + at * padded, w, rows,
                                            scale, sums);
            for (Py_ssize_t t = 0; t < length; t++) {
                value += shift[at + t];
            }
            if (value - value == 0.0) { /* finite */
                for (Py_ssize_t k = 0; k < n_states; k++) {
                    for (Py_ssize_t t = 0; t < length; t++) {
                        x[k * n_rows + t] = rows[t * padded + k];
                    }
                    for (Py_ssize_t j = 0; j < n_states; j++) {
                        pairs[k * n_states + j] +=
                            sums[k * padded + j] * transition[k * n_states + j];
                    }
                }
            }
            else {
                n_careful++;
                if (!chain_careful(start, transition, n_states, x, n_rows, length, w, pairs, &value)) {
                    free(memory);
                    return -1;
                }
            }
            for (Py_ssize_t k = 0; k < n_states; k++) {
                first[k] += x[k * n_rows];
            }
            density[s] = value;
        }
    }
    free(memory);
    return n_careful;
}
