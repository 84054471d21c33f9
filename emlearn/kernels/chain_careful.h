/* What the scaled recursions of chain.h cannot do: hidden Markov chains in logarithms, for
   the sequences in which those lose numbers, and most probable paths. */

#define CHAIN_LANES ((Py_ssize_t)(VECTOR_BYTES / 8))

/* log(x) for positive normal x. */
INLINE double
chain_log(double x)
{
    return log_d(broadcast_d(x))[0];
}

/* Logarithms of probabilities: rows padded with -inf. */
static void
chain_logarithms(const double *rows, Py_ssize_t n_rows, Py_ssize_t n_states, Py_ssize_t padded,
                 double *out)
{
    for (Py_ssize_t i = 0; i < n_rows; i++) {
        for (Py_ssize_t j = 0; j < padded; j++) {
            const double x = j < n_states ? rows[i * n_states + j] : 0.0;
            /* Subnormal numbers are brought among the normal ones first. */
            out[i * padded + j] = x > 0.0 ? chain_log(x * 0x1p100) - chain_log(0x1p100) : -INFINITY;
        }
    }
}

static void
chain_transpose(const double *square, Py_ssize_t n, double *out)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        for (Py_ssize_t j = 0; j < n; j++) {
            out[j * n + i] = square[i * n + j];
        }
    }
}

/* Largest of `padded` numbers. */
INLINE double
chain_largest(const double *numbers, Py_ssize_t padded)
{
    double largest = -INFINITY;
    for (Py_ssize_t i = 0; i < padded; i++) {
        largest = numbers[i] > largest ? numbers[i] : largest;
    }
    return largest;
}

/* out[j] = log sum over i of exp(state[i] + move[i][j]) */
static void
chain_log_product(const double *state, const double *move, Py_ssize_t n_states, Py_ssize_t padded,
                  double *out)
{
    const vec_d infinity = broadcast_d(INFINITY);
    for (Py_ssize_t j = 0; j < padded; j += CHAIN_LANES) {
        vec_d largest = -infinity, total = {0};
        for (Py_ssize_t i = 0; i < n_states; i++) {
            largest = larger_d(state[i] + load_d(move + i * padded + j), largest);
        }
        const ivec_d none = largest == -infinity;
        largest = select_d(none, (vec_d){0}, largest);
        for (Py_ssize_t i = 0; i < n_states; i++) {
            total += exp_d(state[i] + load_d(move + i * padded + j) - largest);
        }
        total = select_d(none, broadcast_d(1.0), total);
        store_d(out + j, select_d(none, -infinity, largest + log_d(total)));
    }
}

/* Smoothed probabilities of one sequence, times `weight`, in place of its log-densities;
   expected transitions are added to `pairs`. The value is the log-likelihood: -inf for an
   impossible sequence, NaN where a log-density is NaN or +inf. 0 where there is no memory. */
static int
chain_careful(const double *start, const double *transition, Py_ssize_t n_states, double *joint,
              Py_ssize_t stride, Py_ssize_t n_rows, double weight, double *pairs, double *value)
{
    const Py_ssize_t padded = (n_states + CHAIN_LANES - 1) / CHAIN_LANES * CHAIN_LANES;
    const Py_ssize_t square = n_states * padded;
    double *memory = aligned((size_t)(2 * square + (n_rows + 4) * padded + n_states * n_states +
                                      n_rows) * sizeof(double));
    if (memory == NULL) {
        return 0;
    }
    double *from = memory, *into = from + square, *filtered = into + square;
    double *x = filtered + n_rows * padded, *later = x + padded, *next = later + padded;
    double *first = next + padded, *shift = first + padded, *turned = shift + n_rows;
    chain_transpose(transition, n_states, turned);
    chain_logarithms(start, 1, n_states, padded, first);
    chain_logarithms(transition, n_states, n_states, padded, from);
    chain_logarithms(turned, n_states, n_states, padded, into);
    for (Py_ssize_t k = 0; k < padded; k++) {
        x[k] = -INFINITY;
    }
    *value = 0.0;
    for (Py_ssize_t t = 0; t < n_rows; t++) {
        double *state = filtered + t * padded;
        for (Py_ssize_t k = 0; k < n_states; k++) {
            x[k] = joint[k * stride + t];
            if (!(x[k] < INFINITY)) {
                *value = NAN;
            }
        }
        if (t == 0) {
            memcpy(state, first, (size_t)padded * sizeof(double));
        }
        else {
            chain_log_product(state - padded, from, n_states, padded, state);
        }
        for (Py_ssize_t k = 0; k < padded; k++) {
            state[k] += x[k];
        }
        shift[t] = chain_largest(state, padded);
        *value += shift[t];
        if (!(*value > -INFINITY)) {
            break;
        }
        for (Py_ssize_t k = 0; k < padded; k++) {
            state[k] -= shift[t];
        }
    }
    if (!(*value > -INFINITY)) {
        for (Py_ssize_t k = 0; k < n_states; k++) {
            memset(joint + k * stride, 0, (size_t)n_rows * sizeof(double));
        }
        free(memory);
        return 1;
    }
    vec_d sum = {0};
    for (Py_ssize_t k = 0; k < padded; k += CHAIN_LANES) {
        sum += exp_d(load_d(filtered + (n_rows - 1) * padded + k));
    }
    const double total = chain_log(sum_lanes_d(sum));
    *value += total;
    for (Py_ssize_t k = 0; k < padded; k++) {
        later[k] = k < n_states ? -total : -INFINITY;
    }
    for (Py_ssize_t t = n_rows - 1; t >= 0; t--) {
        const double *state = filtered + t * padded;
        for (Py_ssize_t k = 0; k < n_states; k++) {
            next[k] = joint[k * stride + t] + later[k] - shift[t];
        }
        for (Py_ssize_t k = n_states; k < padded; k++) {
            next[k] = -INFINITY;
        }
        for (Py_ssize_t k = 0; k < padded; k += CHAIN_LANES) {
            const vec_d smoothed = exp_d(load_d(state + k) + load_d(later + k)) * weight;
            for (Py_ssize_t i = 0; i < CHAIN_LANES && k + i < n_states; i++) {
                joint[(k + i) * stride + t] = smoothed[i];
            }
        }
        if (t == 0) {
            break;
        }
        for (Py_ssize_t i = 0; i < n_states; i++) {
            for (Py_ssize_t j = 0; j < padded; j += CHAIN_LANES) {
                const vec_d pair = exp_d(state[i - padded] + load_d(from + i * padded + j) +
                                         load_d(next + j)) * weight;
                for (Py_ssize_t l = 0; l < CHAIN_LANES && j + l < n_states; l++) {
                    pairs[i * n_states + j + l] += pair[l];
                }
            }
        }
        chain_log_product(next, into, n_states, padded, later);
    }
    free(memory);
    return 1;
}

/* Most probable path of each sequence; arguments as in chains.h. 0 where there is no memory.

   Of paths of equal probability the one with the lower states is taken, from the end. */
static int
chain_paths(const double *joint, Py_ssize_t n_states, Py_ssize_t stride, const int64_t *edges,
            Py_ssize_t n_sequences, const double *start, const double *transition, int64_t *path,
            double *score)
{
    const Py_ssize_t padded = (n_states + CHAIN_LANES - 1) / CHAIN_LANES * CHAIN_LANES;
    const Py_ssize_t square = n_states * padded;
    Py_ssize_t longest = 0;
    for (Py_ssize_t s = 0; s < n_sequences; s++) {
        longest = edges[s + 1] - edges[s] > longest ? edges[s + 1] - edges[s] : longest;
    }
    double *memory = aligned((size_t)(square + (longest + 1) * padded) * sizeof(double));
    if (memory == NULL) {
        return 0;
    }
    double *from = memory, *first = from + square, *best = first + padded;
    chain_logarithms(start, 1, n_states, padded, first);
    chain_logarithms(transition, n_states, n_states, padded, from);
    for (Py_ssize_t s = 0; s < n_sequences; s++) {
        const Py_ssize_t n_rows = edges[s + 1] - edges[s];
        const double *x = joint + edges[s];
        double *state = best;
        memcpy(state, first, (size_t)padded * sizeof(double));
        for (Py_ssize_t k = 0; k < n_states; k++) {
            state[k] += x[k * stride];
        }
        for (Py_ssize_t t = 1; t < n_rows; t++) {
            const double *before = state;
            state += padded;
            for (Py_ssize_t j = 0; j < padded; j += CHAIN_LANES) {
                vec_d largest = before[0] + load_d(from + j);
                for (Py_ssize_t i = 1; i < n_states; i++) {
                    largest = larger_d(before[i] + load_d(from + i * padded + j), largest);
                }
                store_d(state + j, largest);
            }
            for (Py_ssize_t k = 0; k < n_states; k++) {
                state[k] += x[k * stride + t];
            }
        }
        Py_ssize_t at = 0;
        for (Py_ssize_t k = 1; k < n_states; k++) {
            at = state[k] > state[at] ? k : at;
        }
        score[s] = state[at];
        path[edges[s] + n_rows - 1] = at;
        for (Py_ssize_t t = n_rows - 2; t >= 0; t--) {
            state -= padded;
            const Py_ssize_t to = at;
            double largest = state[0] + from[to];
            at = 0;
            for (Py_ssize_t i = 1; i < n_states; i++) {
                const double value = state[i] + from[i * padded + to];
                if (value > largest) {
                    largest = value;
                    at = i;
                }
            }
            path[edges[s] + t] = at;
        }
    }
    free(memory);
    return 1;
}
