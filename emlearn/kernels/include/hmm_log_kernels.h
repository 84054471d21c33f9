/* Hidden Markov chains in log space: most probable paths, and forward-backward recursions for
   the sequences in which the scaled ones of hmm_kernels.h lose numbers. */

#define HMM_LANES ((ptrdiff_t)(VECTOR_BYTES / 8))

/* log(x) for positive normal x. */
INLINE double
hmm_log(double x)
{
    return log_d(broadcast_d(x))[0];
}

/* Logarithms of probabilities, in rows padded with -inf. */
static void
hmm_logarithms(const double *rows, ptrdiff_t n_rows, ptrdiff_t n_states, ptrdiff_t padded,
                 double *out)
{
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        for (ptrdiff_t j = 0; j < padded; j++) {
            const double x = j < n_states ? rows[i * n_states + j] : 0.0;
            /* Scaled first, so that subnormal numbers become normal. */
            out[i * padded + j] = x > 0.0 ? hmm_log(x * 0x1p100) - hmm_log(0x1p100) : -INFINITY;
        }
    }
}

static void
hmm_transpose(const double *square, ptrdiff_t n, double *out)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        for (ptrdiff_t j = 0; j < n; j++) {
            out[j * n + i] = square[i * n + j];
        }
    }
}

/* Largest of `padded` numbers. */
INLINE double
hmm_largest(const double *numbers, ptrdiff_t padded)
{
    double largest = -INFINITY;
    for (ptrdiff_t i = 0; i < padded; i++) {
        largest = numbers[i] > largest ? numbers[i] : largest;
    }
    return largest;
}

/* out[j] = log sum over i of exp(state[i] + move[i][j]) */
static void
hmm_log_product(const double *state, const double *move, ptrdiff_t n_states, ptrdiff_t padded,
                  double *out)
{
    const vec_d infinity = broadcast_d(INFINITY);
    for (ptrdiff_t j = 0; j < padded; j += HMM_LANES) {
        vec_d largest = -infinity, total = {0};
        for (ptrdiff_t i = 0; i < n_states; i++) {
            largest = larger_d(state[i] + load_d(move + i * padded + j), largest);
        }
        const ivec_d none = largest == -infinity;
        largest = select_d(none, (vec_d){0}, largest);
        for (ptrdiff_t i = 0; i < n_states; i++) {
            total += exp_d(state[i] + load_d(move + i * padded + j) - largest);
        }
        total = select_d(none, broadcast_d(1.0), total);
        store_d(out + j, select_d(none, -infinity, largest + log_d(total)));
    }
}

/* Replaces the log-densities of one sequence by posterior probabilities times `weight`, and adds
   the expected transitions to `xi`. The value is the log-likelihood: -inf for an impossible
   sequence, NaN if a log-density is NaN or +inf. Returns 0 if out of memory. */
static int
forward_backward_log(const double *start, const double *transition, ptrdiff_t n_states,
                     double *joint, ptrdiff_t stride, ptrdiff_t n_rows, double weight, double *xi,
                     double *value)
{
    const ptrdiff_t padded = (n_states + HMM_LANES - 1) / HMM_LANES * HMM_LANES;
    const ptrdiff_t square = n_states * padded;
    size_t size = add_size(0, padded, 2 * n_states + 4);
    size = add_size(add_size(size, n_rows, padded + 1), n_states, n_states);
    double *memory = aligned_memory(size, sizeof(double));
    if (memory == NULL) {
        return 0;
    }
    double *from = memory, *into = from + square, *filtered = into + square;
    double *x = filtered + n_rows * padded, *beta = x + padded, *next = beta + padded;
    double *first = next + padded, *shift = first + padded, *turned = shift + n_rows;
    hmm_transpose(transition, n_states, turned);
    hmm_logarithms(start, 1, n_states, padded, first);
    hmm_logarithms(transition, n_states, n_states, padded, from);
    hmm_logarithms(turned, n_states, n_states, padded, into);
    for (ptrdiff_t k = 0; k < padded; k++) {
        x[k] = -INFINITY;
    }
    *value = 0.0;
    for (ptrdiff_t t = 0; t < n_rows; t++) {
        double *state = filtered + t * padded;
        for (ptrdiff_t k = 0; k < n_states; k++) {
            x[k] = joint[k * stride + t];
            if (!(x[k] < INFINITY)) {
                *value = NAN;
            }
        }
        if (t == 0) {
            memcpy(state, first, (size_t)padded * sizeof(double));
        } else {
            hmm_log_product(state - padded, from, n_states, padded, state);
        }
        for (ptrdiff_t k = 0; k < padded; k++) {
            state[k] += x[k];
        }
        shift[t] = hmm_largest(state, padded);
        *value += shift[t];
        if (!(*value > -INFINITY)) {
            break;
        }
        for (ptrdiff_t k = 0; k < padded; k++) {
            state[k] -= shift[t];
        }
    }
    if (!(*value > -INFINITY)) {
        for (ptrdiff_t k = 0; k < n_states; k++) {
            memset(joint + k * stride, 0, (size_t)n_rows * sizeof(double));
        }
        aligned_free(memory);
        return 1;
    }
    vec_d sum = {0};
    for (ptrdiff_t k = 0; k < padded; k += HMM_LANES) {
        sum += exp_d(load_d(filtered + (n_rows - 1) * padded + k));
    }
    const double total = hmm_log(sum_lanes_d(sum));
    *value += total;
    for (ptrdiff_t k = 0; k < padded; k++) {
        beta[k] = k < n_states ? -total : -INFINITY;
    }
    for (ptrdiff_t t = n_rows - 1; t >= 0; t--) {
        const double *state = filtered + t * padded;
        for (ptrdiff_t k = 0; k < n_states; k++) {
            next[k] = joint[k * stride + t] + beta[k] - shift[t];
        }
        for (ptrdiff_t k = n_states; k < padded; k++) {
            next[k] = -INFINITY;
        }
        for (ptrdiff_t k = 0; k < padded; k += HMM_LANES) {
            const vec_d posterior = exp_d(load_d(state + k) + load_d(beta + k)) * weight;
            for (ptrdiff_t i = 0; i < HMM_LANES && k + i < n_states; i++) {
                joint[(k + i) * stride + t] = posterior[i];
            }
        }
        if (t == 0) {
            break;
        }
        for (ptrdiff_t i = 0; i < n_states; i++) {
            for (ptrdiff_t j = 0; j < padded; j += HMM_LANES) {
                const vec_d pair = exp_d(state[i - padded] + load_d(from + i * padded + j) +
                                         load_d(next + j)) * weight;
                for (ptrdiff_t l = 0; l < HMM_LANES && j + l < n_states; l++) {
                    xi[i * n_states + j + l] += pair[l];
                }
            }
        }
        hmm_log_product(next, into, n_states, padded, beta);
    }
    aligned_free(memory);
    return 1;
}

/* Most probable path of each sequence; arguments as in hmm_bindings.h. Returns 0, or -1 if out
   of memory.

   Ties between paths go to the lower state, starting from the last row. */
static int
viterbi_all(const double *joint, ptrdiff_t n_states, ptrdiff_t stride, const int64_t *edges,
            ptrdiff_t n_sequences, const double *start, const double *transition, int64_t *path,
            double *score)
{
    const ptrdiff_t padded = (n_states + HMM_LANES - 1) / HMM_LANES * HMM_LANES;
    const ptrdiff_t square = n_states * padded;
    ptrdiff_t longest = 0;
    for (ptrdiff_t s = 0; s < n_sequences; s++) {
        longest = edges[s + 1] - edges[s] > longest ? edges[s + 1] - edges[s] : longest;
    }
    double *memory = aligned_memory(add_size(add_size(0, square, 1), longest + 1, padded),
                                    sizeof(double));
    if (memory == NULL) {
        return -1;
    }
    double *from = memory, *first = from + square, *best = first + padded;
    hmm_logarithms(start, 1, n_states, padded, first);
    hmm_logarithms(transition, n_states, n_states, padded, from);
    for (ptrdiff_t s = 0; s < n_sequences; s++) {
        const ptrdiff_t n_rows = edges[s + 1] - edges[s];
        const double *x = joint + edges[s];
        double *state = best;
        memcpy(state, first, (size_t)padded * sizeof(double));
        for (ptrdiff_t k = 0; k < n_states; k++) {
            state[k] += x[k * stride];
        }
        for (ptrdiff_t t = 1; t < n_rows; t++) {
            const double *before = state;
            state += padded;
            for (ptrdiff_t j = 0; j < padded; j += HMM_LANES) {
                vec_d largest = before[0] + load_d(from + j);
                for (ptrdiff_t i = 1; i < n_states; i++) {
                    largest = larger_d(before[i] + load_d(from + i * padded + j), largest);
                }
                store_d(state + j, largest);
            }
            for (ptrdiff_t k = 0; k < n_states; k++) {
                state[k] += x[k * stride + t];
            }
        }
        ptrdiff_t at = 0;
        for (ptrdiff_t k = 1; k < n_states; k++) {
            at = state[k] > state[at] ? k : at;
        }
        score[s] = state[at];
        path[edges[s] + n_rows - 1] = at;
        for (ptrdiff_t t = n_rows - 2; t >= 0; t--) {
            state -= padded;
            const ptrdiff_t to = at;
            double largest = state[0] + from[to];
            at = 0;
            for (ptrdiff_t i = 1; i < n_states; i++) {
                const double value = state[i] + from[i * padded + to];
                if (value > largest) {
                    largest = value;
                    at = i;
                }
            }
            path[edges[s] + t] = at;
        }
    }
    aligned_free(memory);
    return 0;
}
