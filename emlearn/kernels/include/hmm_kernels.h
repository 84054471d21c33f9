/* Hidden Markov chains in double precision: the forward-backward recursions.

   Arrays over states are padded with zeros to whole quads of four numbers. */

/* Loops over at most this many quads are unrolled, with memory on the stack. */
#define HMM_FEW_QUADS 2
/* Number of rows of short sequences that are processed together. */
#define HMM_ROWS 1024
/* Underflow is harmless unless a factor exceeds this; see forward_backward_scaled. */
#define HMM_LARGEST 1e200

typedef struct {
    ptrdiff_t n_states, padded;
    const double *start;    /* padded */
    const double *from;     /* (n_states, padded): row i is the transitions from i */
    const double *into;     /* (n_states, padded): row j is the transitions into j */
} Chain;

/* Densities relative to the largest of each row, rows first: (n_rows, padded). `shift` is the
   largest log-density of each row, NaN where one of them is NaN or +inf. */
static void
hmm_densities(const double *joint, ptrdiff_t stride, ptrdiff_t n_rows, ptrdiff_t n_states,
                ptrdiff_t padded, double *density, double *shift)
{
    const vec_d infinity = broadcast_d(INFINITY);
    const ptrdiff_t lanes = VECTOR_BYTES / 8;
    for (ptrdiff_t row = 0; row < n_rows; row += lanes) {
        /* The last rows are copied, so that no vector reads beyond them. */
        const ptrdiff_t size = n_rows - row < lanes ? n_rows - row : lanes;
        double copy[VECTOR_BYTES / 8] = {0};
        vec_d largest = -infinity, check = {0};
        for (ptrdiff_t k = 0; k < n_states; k++) {
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
        for (ptrdiff_t k = 0; k < n_states; k++) {
            const double *x = joint + k * stride + row;
            if (size < lanes) {
                memcpy(copy, x, (size_t)size * sizeof(double));
                x = copy;
            }
            const vec_d value = exp_d(load_d(x) - subtracted);
            for (ptrdiff_t i = 0; i < size; i++) {
                density[(row + i) * padded + k] = value[i];
            }
        }
        largest += check;
        memcpy(shift + row, &largest, (size_t)size * sizeof(double));
    }
}

/* Posterior probabilities of one sequence, times `weight`, by scaled recursions.

   density   (n_rows, padded) from hmm_densities
   posterior  (n_rows, padded): out
   scale     n_rows: scratch
   work      2 x padded: scratch
   xi        (n_states, padded): sum over time of filtered[i] x follows[j]; out. Times the
             transition probabilities it is the expected number of transitions.

   Filtered probabilities are divided by the sum of those one step earlier, which is known in
   advance. Numbers below 1e-308 underflow. They would have been multiplied by `beta` or less,
   so they have no influence unless that is huge; the sum of these factors is checked.

   Returns the log-likelihood relative to the shifts of the rows, or NaN if the check fails. */
INLINE double
forward_backward_scaled(const Chain *chain, ptrdiff_t n_states, ptrdiff_t n_quads,
                        ptrdiff_t n_rows, const double *density, double weight, double *posterior,
                        double *scale, double *xi, double *work)
{
    const ptrdiff_t padded = n_quads * QUAD;
    quad *state = (quad *)posterior;
    const quad *emission = (const quad *)density;
    double log_scale = 0.0, product = 1.0;

    for (ptrdiff_t q = 0; q < n_quads; q++) {
        state[q] = ((const quad *)chain->start)[q] * emission[q];
    }
    double total = quad_sum(state, n_quads);
    scale[0] = 1.0;
    for (ptrdiff_t t = 1; t < n_rows; t++) {
        const double *before = (const double *)state;
        const double factor = 1.0 / total;
        state += n_quads;
        emission += n_quads;
        for (ptrdiff_t q = 0; q < n_quads; q++) {
            quad even = {0}, odd = {0};
            const double *from = chain->from + q * QUAD;
            ptrdiff_t i = 0;
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
        total = quad_sum(state, n_quads);
        product *= factor;
        if (product > 1e100) {
            log_scale += hmm_log(product);
            product = 1.0;
        }
    }

    quad own[2 * HMM_FEW_QUADS], check = {0};
    quad *beta = n_quads <= HMM_FEW_QUADS ? own : (quad *)work, *next = beta + n_quads;
    for (ptrdiff_t q = 0; q < n_quads; q++) {
        beta[q] = quad_repeat(weight / total);
        check += beta[q];
        state[q] *= beta[q];
    }
    for (ptrdiff_t i = 0; i < n_states * n_quads; i++) {
        ((quad *)xi)[i] = (quad){0};
    }
    for (ptrdiff_t t = n_rows - 1; t > 0; t--) {
        state -= n_quads;
        const double *filtered = (const double *)state;
        for (ptrdiff_t q = 0; q < n_quads; q++) {
            const quad scaled = beta[q] * scale[t];
            check += scaled;
            next[q] = scaled * emission[q];
        }
        for (ptrdiff_t i = 0; i < n_states; i++) {
            for (ptrdiff_t q = 0; q < n_quads; q++) {
                ((quad *)xi)[i * n_quads + q] += filtered[i] * next[q];
            }
        }
        const double *follows = (const double *)next;
        for (ptrdiff_t q = 0; q < n_quads; q++) {
            quad even = {0}, odd = {0};
            const double *into = chain->into + q * QUAD;
            ptrdiff_t j = 0;
            for (; j + 1 < n_states; j += 2) {
                even += follows[j] * *(const quad *)(into + j * padded);
                odd += follows[j + 1] * *(const quad *)(into + (j + 1) * padded);
            }
            if (j < n_states) {
                even += follows[j] * *(const quad *)(into + j * padded);
            }
            beta[q] = even + odd;
        }
        for (ptrdiff_t q = 0; q < n_quads; q++) {
            state[q] *= beta[q];
        }
        emission -= n_quads;
    }
    for (ptrdiff_t q = 0; q < n_quads; q++) {
        check += beta[q];
    }
    const double largest = quad_sum(&check, 1);
    return largest <= HMM_LARGEST * weight ? hmm_log(total / product) - log_scale : NAN;
}

/* forward_backward_scaled with loops unrolled for few states. */
static double
forward_backward_any(const Chain *chain, ptrdiff_t n_rows, const double *density, double weight,
                     double *posterior, double *scale, double *xi, double *work)
{
#define SCALED(n) \
    forward_backward_scaled(chain, n, ((n) + QUAD - 1) / QUAD, n_rows, density, weight, \
                            posterior, scale, xi, work)
    switch (chain->n_states) {
    case 1: return SCALED(1);
    case 2: return SCALED(2);
    case 3: return SCALED(3);
    case 4: return SCALED(4);
    case 5: return SCALED(5);
    case 6: return SCALED(6);
    case 7: return SCALED(7);
    case 8: return SCALED(8);
    default: return SCALED(chain->n_states);
    }
#undef SCALED
}

/* Computes forward_backward; arguments as in hmm_bindings.h. Returns the number of sequences
   that needed log space, or -1 if out of memory. */
static ptrdiff_t
forward_backward_all(double *joint, ptrdiff_t n_states, ptrdiff_t n_rows, const int64_t *edges,
                     ptrdiff_t n_sequences, const double *start, const double *transition,
                     const double *weight, double *density, double *first, double *xi)
{
    const ptrdiff_t padded = (n_states + QUAD - 1) / QUAD * QUAD;
    const ptrdiff_t square = n_states * n_states;
    ptrdiff_t most = HMM_ROWS, n_log_space = 0;
    for (ptrdiff_t s = 0; s < n_sequences; s++) {
        most = edges[s + 1] - edges[s] > most ? edges[s + 1] - edges[s] : most;
    }
    most = n_rows < most ? n_rows : most;
    /* In this order: the chain, sums of xi, the transposed transitions, densities and posterior
       probabilities, shifts and scales, and scratch memory. */
    size_t size = add_size(add_size(0, padded, 1 + 3 * n_states), n_states, n_states);
    size = add_size(add_size(size, most, 2 * padded + 2), 2, padded);
    double *memory = aligned_memory(size, sizeof(double));
    if (memory == NULL) {
        return -1;
    }
    double *from = memory + padded, *into = from + n_states * padded;
    double *sums = into + n_states * padded, *turned = sums + n_states * padded;
    double *densities = turned + square, *posterior = densities + most * padded;
    double *shift = posterior + most * padded, *scale = shift + most, *work = scale + most;
    const Chain chain = {n_states, padded, memory, from, into};
    hmm_transpose(transition, n_states, turned);
    quad_pad(start, 1, n_states, padded, memory);
    quad_pad(transition, n_states, n_states, padded, from);
    quad_pad(turned, n_states, n_states, padded, into);
    memset(densities, 0, (size_t)(most * padded) * sizeof(double));
    memset(first, 0, (size_t)n_states * sizeof(double));
    memset(xi, 0, (size_t)square * sizeof(double));

    for (ptrdiff_t s = 0, next = 0; s < n_sequences; s = next) {
        const int64_t begin = edges[s];
        for (next = s + 1; next < n_sequences && edges[next + 1] - begin <= most; next++) {
        }
        hmm_densities(joint + begin, n_rows, edges[next] - begin, n_states, padded, densities,
                      shift);
        for (; s < next; s++) {
            const ptrdiff_t at = edges[s] - begin, length = edges[s + 1] - edges[s];
            const double w = weight ? weight[s] : 1.0;
            double *rows = posterior + at * padded, *x = joint + edges[s];
            double value = forward_backward_any(&chain, length, densities + at * padded, w, rows,
                                                scale, sums, work);
            for (ptrdiff_t t = 0; t < length; t++) {
                value += shift[at + t];
            }
            if (value - value == 0.0) { /* finite */
                for (ptrdiff_t k = 0; k < n_states; k++) {
                    for (ptrdiff_t t = 0; t < length; t++) {
                        x[k * n_rows + t] = rows[t * padded + k];
                    }
                    for (ptrdiff_t j = 0; j < n_states; j++) {
                        xi[k * n_states + j] +=
                            sums[k * padded + j] * transition[k * n_states + j];
                    }
                }
            } else {
                n_log_space++;
                if (!forward_backward_log(start, transition, n_states, x, n_rows, length, w, xi,
                                          &value)) {
                    aligned_free(memory);
                    return -1;
                }
            }
            for (ptrdiff_t k = 0; k < n_states; k++) {
                first[k] += x[k * n_rows];
            }
            density[s] = value;
        }
    }
    aligned_free(memory);
    return n_log_space;
}
