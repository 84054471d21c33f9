/* The general location model with latent classes, rows with missing entries; included by
   float_types.h in double precision only.

   A row has q numbers and J categories, any of which can be missing. In class k the categories are
   independent, and the numbers are normal with mean mu_k + the sum of the effects of the levels.
   The levels of all categories are numbered through: `offsets[j]` is the first of category j.

   With W'W = inv(Sigma_oo), a = W (x_o - mu_o - effects of observed levels) and v_l = W effect_l,

       log density of levels s = constant - |a|^2 / 2 + sum_j h_s(j) - sum_(i < j) v_s(i) v_s(j)
       h_l = log p_l + a v_l - |v_l|^2 / 2

   so that a combination of missing levels costs a few additions. Where nothing couples them (no
   number is observed), or there are more combinations than `most`, independent probabilities
   take the place of the combinations: the first is exact, the second a lower bound. */

#define GIBBS_SWEEPS 30
#define MEAN_FIELD_SWEEPS 200
#define MEAN_FIELD_TOL 1e-9

/* Data and parameters. */
typedef struct {
    ptrdiff_t n, q, J, T, K, n_covariances, most;
    const double *numbers, *log_weights, *log_probabilities, *means, *effects, *covariances;
    const char *missing;
    const int32_t *codes;
    const int64_t *offsets;
} LocationModel;

/* Functions of a covariance for one pattern of missing numbers and categories. */
typedef struct {
    double *whitener, *gain, *conditional, *root; /* q x q each */
    double *whitened, *shift;                     /* T x q each: v_l, effects on missing numbers */
    double *square, *gram;                        /* T, T x T: |v_l|^2, v_l v_m */
    double constant;
} LocationPattern;

/* A row given its observed entries; the arrays have one part for each class. */
typedef struct {
    double *base, *field, *fill; /* K, K x T, K x q: constant, h, numbers without missing levels */
    double *share, *marginal;    /* K, K x T: probabilities of classes, and with missing levels */
    double *pair;                /* K x T x T: with two missing levels, of different categories */
    double *combination;         /* K x the number of combinations: their probabilities */
    ptrdiff_t n_combinations;    /* 0: independent */
    double density;
} LocationRow;

typedef struct {
    LocationModel m;
    LocationPattern *pattern;
    LocationRow row;
    /* Observed and missing numbers; observed and missing categories. */
    ptrdiff_t n_observed, n_missing, n_known, n_unknown, n_levels;
    ptrdiff_t *observed, *missing, *known, *unknown;
    /* For each unknown category, its first place among the `n_levels` missing levels. */
    ptrdiff_t *first, *level, *digit, *seen;
    int32_t *code;
    double *effect, *deviation, *white, *mean, *work;
    double *memory;
    ptrdiff_t *places;
} Location;

static void
location_free(Location *s)
{
    aligned_free(s->memory);
    aligned_free(s->places);
    aligned_free(s->pattern);
}

/* Memory for work. Returns 0, or -1 if there is none. */
static int
location_new(Location *s)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q, T = m->T, K = m->K, J = m->J, lanes = LANES;
    size_t size = add_size(0, m->n_covariances, 1);
    size_t count = 0;
    s->memory = NULL;
    s->places = NULL;
    s->pattern = aligned_memory(size, sizeof *s->pattern);
    for (ptrdiff_t c = 0; c < m->n_covariances; c++) {
        count = add_size(add_size(add_size(add_size(count, 4 * q, q), 2 * T, q), T, 1), T, T);
    }
    count = add_size(add_size(add_size(count, K, 2), 2 * K, T), K, q);
    count = add_size(add_size(add_size(count, K * T, T), K, m->most), 5, q + lanes);
    count = add_size(count, 1, T + K + J + 4 * lanes);
    s->memory = aligned_memory(count, sizeof(double));
    s->places = aligned_memory(add_size(add_size(add_size(0, 2, q), 5, J + 1), 2, T + 1),
                               sizeof(ptrdiff_t));
    if (s->pattern == NULL || s->memory == NULL || s->places == NULL) {
        location_free(s);
        return -1;
    }
    double *next = s->memory;
    /* First, so that its vectors are aligned as the memory is. */
    s->row.combination = next, next += K * m->most + lanes;
    for (ptrdiff_t c = 0; c < m->n_covariances; c++) {
        LocationPattern *p = s->pattern + c;
        p->whitener = next, next += q * q;
        p->gain = next, next += q * q;
        p->conditional = next, next += q * q;
        p->root = next, next += q * q;
        p->whitened = next, next += T * q;
        p->shift = next, next += T * q;
        p->square = next, next += T;
        p->gram = next, next += T * T;
    }
    s->row.base = next, next += K;
    s->row.share = next, next += K;
    s->row.field = next, next += K * T;
    s->row.marginal = next, next += K * T;
    s->row.fill = next, next += K * q;
    s->row.pair = next, next += K * T * T;
    s->effect = next, next += q;
    s->deviation = next, next += q;
    s->white = next, next += q;
    s->mean = next, next += q;
    s->work = next;
    s->observed = s->places;
    s->missing = s->observed + q;
    s->known = s->missing + q;
    s->unknown = s->known + J;
    s->first = s->unknown + J;
    s->digit = s->first + J + 1;
    s->seen = s->digit + J;
    s->level = s->seen + J;
    s->code = (int32_t *)(s->level + T);
    return 0;
}

/* Copies the codes of a row. Returns whether they are within their categories. */
static int
location_codes(Location *s, ptrdiff_t i)
{
    const LocationModel *m = &s->m;
    for (ptrdiff_t j = 0; j < m->J; j++) {
        const int32_t code = m->codes[i * m->J + j];
        s->code[j] = code;
        if (code >= 0 && code >= m->offsets[j + 1] - m->offsets[j]) {
            return 0;
        }
    }
    return 1;
}

static int
same_numbers(const Location *s, ptrdiff_t i, ptrdiff_t before)
{
    const LocationModel *m = &s->m;
    return memcmp(m->missing + i * m->q, m->missing + before * m->q, (size_t)m->q) == 0;
}

/* The pattern of a row's numbers: conditional distributions of the missing ones. Returns whether
   the covariances of the observed ones are positive definite. */
static int
location_numbers(Location *s, ptrdiff_t i)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q;
    s->n_observed = s->n_missing = 0;
    for (ptrdiff_t j = 0; j < q; j++) {
        if (m->missing[i * q + j]) {
            s->missing[s->n_missing++] = j;
        } else {
            s->observed[s->n_observed++] = j;
        }
    }
    const ptrdiff_t no = s->n_observed, nm = s->n_missing;
    for (ptrdiff_t c = 0; c < m->n_covariances; c++) {
        const double *sigma = m->covariances + c * q * q;
        LocationPattern *p = s->pattern + c;
        double *w = p->whitener, log_pivots = 0.0;
        for (ptrdiff_t a = 0; a < no; a++) {
            for (ptrdiff_t b = 0; b <= a; b++) {
                double sum = sigma[s->observed[a] * q + s->observed[b]];
                for (ptrdiff_t e = 0; e < b; e++) {
                    sum -= w[a * q + e] * w[b * q + e];
                }
                if (b < a) {
                    w[a * q + b] = sum / w[b * q + b];
                } else if (sum > 0.0) {
                    log_pivots += log(sum);
                    w[a * q + a] = sqrt(sum);
                } else {
                    return 0;
                }
            }
        }
        for (ptrdiff_t a = 0; a < no; a++) {
            const double pivot = 1.0 / w[a * q + a];
            for (ptrdiff_t b = 0; b < a; b++) {
                double sum = 0.0;
                for (ptrdiff_t e = b; e < a; e++) {
                    sum += w[a * q + e] * w[e * q + b];
                }
                w[a * q + b] = -sum * pivot;
            }
            w[a * q + a] = pivot;
        }
        p->constant = -0.5 * (log_pivots + (double)no * 1.8378770664093453);
        /* G = W Sigma_om, by columns in `root`; gain = G'W, conditional = Sigma_mm - G'G. */
        for (ptrdiff_t b = 0; b < nm; b++) {
            double *g = p->root + b * q, *gain = p->gain + b * q;
            memset(gain, 0, (size_t)no * sizeof(double));
            for (ptrdiff_t a = 0; a < no; a++) {
                double sum = 0.0;
                for (ptrdiff_t e = 0; e <= a; e++) {
                    sum += w[a * q + e] * sigma[s->observed[e] * q + s->missing[b]];
                }
                g[a] = sum;
                for (ptrdiff_t e = 0; e <= a; e++) {
                    gain[e] += sum * w[a * q + e];
                }
            }
            for (ptrdiff_t d = 0; d <= b; d++) {
                double sum = sigma[s->missing[b] * q + s->missing[d]];
                for (ptrdiff_t a = 0; a < no; a++) {
                    sum -= g[a] * p->root[d * q + a];
                }
                p->conditional[b * q + d] = p->conditional[d * q + b] = sum;
            }
        }
    }
    return 1;
}

static int
same_categories(const Location *s, ptrdiff_t i, ptrdiff_t before)
{
    const LocationModel *m = &s->m;
    for (ptrdiff_t j = 0; j < m->J; j++) {
        if ((m->codes[i * m->J + j] < 0) != (m->codes[before * m->J + j] < 0)) {
            return 0;
        }
    }
    return 1;
}

/* The pattern of a row's categories, from `code`: the effects of missing levels. */
static void
location_categories(Location *s)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q;
    s->n_known = s->n_unknown = s->n_levels = 0;
    s->row.n_combinations = 1;
    for (ptrdiff_t j = 0; j < m->J; j++) {
        if (s->code[j] >= 0) {
            s->known[s->n_known++] = j;
            continue;
        }
        const ptrdiff_t size = (ptrdiff_t)(m->offsets[j + 1] - m->offsets[j]);
        s->first[s->n_unknown] = s->n_levels;
        s->unknown[s->n_unknown++] = j;
        for (ptrdiff_t l = 0; l < size; l++) {
            s->level[s->n_levels++] = (ptrdiff_t)m->offsets[j] + l;
        }
        s->row.n_combinations *= s->row.n_combinations > m->most ? 1 : size;
    }
    s->first[s->n_unknown] = s->n_levels;
    if (s->n_observed == 0 || s->row.n_combinations > m->most) {
        s->row.n_combinations = 0;
    }
    const ptrdiff_t no = s->n_observed, nm = s->n_missing, T = m->T;
    for (ptrdiff_t c = 0; c < m->n_covariances; c++) {
        LocationPattern *p = s->pattern + c;
        for (ptrdiff_t l = 0; l < s->n_levels; l++) {
            const double *effect = m->effects + s->level[l] * q;
            double *v = p->whitened + l * q, square = 0.0;
            for (ptrdiff_t a = 0; a < no; a++) {
                double sum = 0.0;
                for (ptrdiff_t e = 0; e <= a; e++) {
                    sum += p->whitener[a * q + e] * effect[s->observed[e]];
                }
                v[a] = sum;
                square += sum * sum;
            }
            p->square[l] = square;
            for (ptrdiff_t b = 0; b < nm; b++) {
                double sum = effect[s->missing[b]];
                for (ptrdiff_t e = 0; e < no; e++) {
                    sum -= p->gain[b * q + e] * effect[s->observed[e]];
                }
                p->shift[l * q + b] = sum;
            }
            for (ptrdiff_t k = 0; k < (s->n_unknown > 1 ? l : 0); k++) {
                double sum = 0.0;
                for (ptrdiff_t a = 0; a < no; a++) {
                    sum += v[a] * p->whitened[k * q + a];
                }
                p->gram[l * T + k] = p->gram[k * T + l] = sum;
            }
        }
    }
}

/* Log-densities of all combinations of missing levels, in mixed radix, the last category first. */
static void
combine(Location *s, const LocationPattern *p, const double *field, double base, double *out)
{
    ptrdiff_t size = 1;
    out[0] = base;
    for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
        const ptrdiff_t first = s->first[j], n = s->first[j + 1] - first;
        for (ptrdiff_t e = 0; e < j; e++) {
            s->digit[e] = s->first[e + 1] - 1;
        }
        for (ptrdiff_t c = size - 1; c >= 0; c--) {
            const double before = out[c];
            double *to = out + c * n;
            for (ptrdiff_t l = 0; l < n; l++) {
                s->work[l] = before + field[first + l];
            }
            for (ptrdiff_t e = 0; e < j; e++) {
                const double *gram = p->gram + s->digit[e] * s->m.T + first;
                for (ptrdiff_t l = 0; l < n; l++) {
                    s->work[l] -= gram[l];
                }
            }
            memcpy(to, s->work, (size_t)n * sizeof(double));
            for (ptrdiff_t e = j - 1; e >= 0 && --s->digit[e] < s->first[e]; e--) {
                s->digit[e] = s->first[e + 1] - 1;
            }
        }
        size *= n;
    }
}

/* Turns logarithms into numbers that sum to `weight`; returns the logarithm of their sum. The
   array has room for a vector more. */
static double
location_softmax(double *value, ptrdiff_t n, double weight)
{
    double largest = value[0], total = 0.0;
    for (ptrdiff_t i = 1; i < n; i++) {
        largest = value[i] > largest ? value[i] : largest;
    }
    for (ptrdiff_t i = n; i % LANES != 0; i++) {
        value[i] = -INFINITY;
    }
    const VEC subtracted = FN(broadcast)(largest);
    VEC sums = {0};
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const VEC ratio = FN(exp)(FN(load)(value + i) - subtracted);
        sums += ratio;
        FN(store)(value + i, ratio);
    }
    total = FN(sum_lanes)(sums);
    const double factor = weight / total;
    for (ptrdiff_t i = 0; i < n; i++) {
        value[i] *= factor;
    }
    return largest + log(total);
}

/* Probabilities of missing levels, and of pairs of them, from those of the combinations. */
static void
sum_combinations(Location *s, const double *weight, double *marginal, double *pair)
{
    const ptrdiff_t T = s->m.T, n_levels = s->n_levels, last = s->n_unknown - 1;
    const ptrdiff_t first = s->first[last], n = s->first[last + 1] - first;
    memset(marginal, 0, (size_t)n_levels * sizeof(double));
    if (last > 0) {
        for (ptrdiff_t l = 0; l < n_levels; l++) {
            memset(pair + l * T, 0, (size_t)n_levels * sizeof(double));
        }
    }
    for (ptrdiff_t e = 0; e < last; e++) {
        s->digit[e] = s->first[e];
    }
    for (ptrdiff_t c = 0; c < s->row.n_combinations / n; c++, weight += n) {
        double total = 0.0;
        for (ptrdiff_t l = 0; l < n; l++) {
            total += weight[l];
            marginal[first + l] += weight[l];
        }
        for (ptrdiff_t e = 0; e < last; e++) {
            double *row = pair + s->digit[e] * T;
            marginal[s->digit[e]] += total;
            for (ptrdiff_t l = 0; l < n; l++) {
                row[first + l] += weight[l];
            }
            for (ptrdiff_t d = e + 1; d < last; d++) {
                row[s->digit[d]] += total;
            }
        }
        for (ptrdiff_t e = last - 1; e >= 0 && ++s->digit[e] == s->first[e + 1]; e--) {
            s->digit[e] = s->first[e];
        }
    }
}

/* Independent probabilities of the missing levels of one class, in `marginal`, that fit best;
   returns the bound of the log-density. `coupled` is whether the levels are. */
static double
mean_field(Location *s, const LocationPattern *p, const double *field, double base, int coupled,
           double *marginal)
{
    const ptrdiff_t T = s->m.T;
    double bound = base, change = coupled ? 1.0 : 0.0;
    for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
        const ptrdiff_t first = s->first[j], n = s->first[j + 1] - first;
        memcpy(s->work, field + first, (size_t)n * sizeof(double));
        bound += location_softmax(s->work, n, 1.0);
        memcpy(marginal + first, s->work, (size_t)n * sizeof(double));
    }
    for (int sweep = 0; sweep < MEAN_FIELD_SWEEPS && change > MEAN_FIELD_TOL; sweep++) {
        change = 0.0;
        bound = base;
        for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
            const ptrdiff_t first = s->first[j], n = s->first[j + 1] - first;
            memcpy(s->work, field + first, (size_t)n * sizeof(double));
            for (ptrdiff_t l = 0; l < s->n_levels; l++) {
                if (l < first || l >= first + n) {
                    for (ptrdiff_t e = 0; e < n; e++) {
                        s->work[e] -= marginal[l] * p->gram[l * T + first + e];
                    }
                }
            }
            location_softmax(s->work, n, 1.0);
            for (ptrdiff_t e = 0; e < n; e++) {
                const double moved = fabs(s->work[e] - marginal[first + e]);
                change = moved > change ? moved : change;
                marginal[first + e] = s->work[e];
            }
        }
    }
    if (coupled) {
        for (ptrdiff_t l = 0; l < s->n_levels; l++) {
            const double own = marginal[l];
            bound += own > 0.0 ? own * (field[l] - log(own)) : 0.0;
        }
        for (ptrdiff_t j = 1; j < s->n_unknown; j++) {
            for (ptrdiff_t l = s->first[j]; l < s->first[j + 1]; l++) {
                for (ptrdiff_t e = 0; e < s->first[j]; e++) {
                    bound -= marginal[l] * marginal[e] * p->gram[l * T + e];
                }
            }
        }
    }
    return bound;
}

/* What `location_row` computes beyond the probabilities of classes and combinations. */
enum { LEVELS = 1, PAIRS = 2 };

/* Conditions on the observed entries of a row; probabilities sum to `weight`. */
static void
location_row(Location *s, ptrdiff_t i, double weight, int wanted)
{
    const LocationModel *m = &s->m;
    LocationRow *r = &s->row;
    const ptrdiff_t q = m->q, T = m->T, no = s->n_observed, nm = s->n_missing;
    const ptrdiff_t n_combinations = r->n_combinations;
    const int independent = n_combinations == 0 && s->n_unknown > 0;
    memset(s->effect, 0, (size_t)q * sizeof(double));
    for (ptrdiff_t a = 0; a < s->n_known; a++) {
        const ptrdiff_t j = s->known[a], level = (ptrdiff_t)m->offsets[j] + s->code[j];
        const double *effect = m->effects + level * q;
        s->seen[a] = level;
        for (ptrdiff_t b = 0; b < q; b++) {
            s->effect[b] += effect[b];
        }
    }
    for (ptrdiff_t k = 0; k < m->K; k++) {
        const LocationPattern *p = s->pattern + (m->n_covariances == 1 ? 0 : k);
        const double *mean = m->means + k * q, *log_p = m->log_probabilities + k * T;
        double *fill = r->fill + k * q, *field = r->field + k * T;
        double base = m->log_weights[k] + p->constant;
        for (ptrdiff_t a = 0; a < no; a++) {
            const ptrdiff_t b = s->observed[a];
            fill[b] = m->numbers[i * q + b];
            s->deviation[a] = fill[b] - mean[b] - s->effect[b];
        }
        for (ptrdiff_t a = 0; a < no; a++) {
            double sum = 0.0;
            for (ptrdiff_t e = 0; e <= a; e++) {
                sum += p->whitener[a * q + e] * s->deviation[e];
            }
            s->white[a] = sum;
            base -= 0.5 * sum * sum;
        }
        for (ptrdiff_t a = 0; a < nm; a++) {
            const ptrdiff_t b = s->missing[a];
            double sum = mean[b] + s->effect[b];
            for (ptrdiff_t e = 0; e < no; e++) {
                sum += p->gain[a * q + e] * s->deviation[e];
            }
            fill[b] = sum;
        }
        for (ptrdiff_t a = 0; a < s->n_known; a++) {
            base += log_p[s->seen[a]];
        }
        for (ptrdiff_t l = 0; l < s->n_levels; l++) {
            double sum = log_p[s->level[l]] - 0.5 * p->square[l];
            for (ptrdiff_t a = 0; a < no; a++) {
                sum += s->white[a] * p->whitened[l * q + a];
            }
            field[l] = sum;
        }
        if (independent) {
            base = mean_field(s, p, field, base, no > 0, r->marginal + k * T);
        } else if (s->n_unknown > 0) {
            combine(s, p, field, base, r->combination + k * n_combinations);
        }
        r->base[k] = base;
    }
    if (independent || s->n_unknown == 0) {
        memcpy(s->work, r->base, (size_t)m->K * sizeof(double));
        r->density = location_softmax(s->work, m->K, weight);
        memcpy(r->share, s->work, (size_t)m->K * sizeof(double));
    } else {
        r->density = location_softmax(r->combination, m->K * n_combinations, weight);
    }
    for (ptrdiff_t k = 0; k < m->K && s->n_unknown > 0; k++) {
        double *marginal = r->marginal + k * T, *pair = r->pair + k * T * T;
        if (!independent) {
            const double *own = r->combination + k * n_combinations;
            r->share[k] = 0.0;
            for (ptrdiff_t c = 0; c < n_combinations; c++) {
                r->share[k] += own[c];
            }
            if (wanted) {
                sum_combinations(s, own, marginal, pair);
            }
            continue;
        }
        for (ptrdiff_t l = 0; l < s->n_levels && wanted & PAIRS; l++) {
            for (ptrdiff_t e = 0; e < s->n_levels; e++) {
                pair[l * T + e] = r->share[k] * marginal[l] * marginal[e];
            }
        }
        for (ptrdiff_t l = 0; l < s->n_levels && wanted; l++) {
            marginal[l] *= r->share[k];
        }
    }
}

/* The covariance of two missing levels in class k, times its probability; l in category j. */
static inline double
level_covariance(const Location *s, ptrdiff_t k, ptrdiff_t j, ptrdiff_t l, ptrdiff_t e)
{
    const ptrdiff_t T = s->m.T;
    const double *marginal = s->row.marginal + k * T, *pair = s->row.pair + k * T * T;
    const double product = marginal[l] * marginal[e] / s->row.share[k];
    if (e >= s->first[j] && e < s->first[j + 1]) {
        return (l == e ? marginal[l] : 0.0) - product;
    }
    return (l < e ? pair[l * T + e] : pair[e * T + l]) - product;
}

/* Mean of the numbers of the row in class k, in `mean`. */
static void
location_mean(Location *s, ptrdiff_t k)
{
    const ptrdiff_t q = s->m.q;
    const LocationPattern *p = s->pattern + (s->m.n_covariances == 1 ? 0 : k);
    const double *marginal = s->row.marginal + k * s->m.T;
    memcpy(s->mean, s->row.fill + k * q, (size_t)q * sizeof(double));
    for (ptrdiff_t l = 0; l < s->n_levels; l++) {
        const double probability = marginal[l] / s->row.share[k];
        for (ptrdiff_t a = 0; a < s->n_missing; a++) {
            s->mean[s->missing[a]] += probability * p->shift[l * q + a];
        }
    }
}

/* Expected sufficient statistics. */
typedef struct {
    double *weight, *first, *second, *pairs, *cross; /* K, Kq, Kqq, KTT, KTq */
    double *share, *covariance; /* of a pattern: K, K x T x T */
} LocationSums;

static inline void
add_pair(double *pairs, ptrdiff_t T, ptrdiff_t a, ptrdiff_t b, double value)
{
    pairs[a < b ? a * T + b : b * T + a] += value;
}

static void
add_row(Location *s, LocationSums *sums)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q, T = m->T, n_levels = s->n_levels;
    for (ptrdiff_t k = 0; k < m->K; k++) {
        const double share = s->row.share[k];
        const double *marginal = s->row.marginal + k * T, *pair = s->row.pair + k * T * T;
        double *pairs = sums->pairs + k * T * T, *cross = sums->cross + k * T * q;
        double *first = sums->first + k * q, *second = sums->second + k * q * q;
        if (!(share > 0.0)) {
            continue;
        }
        location_mean(s, k);
        sums->weight[k] += share;
        sums->share[k] += share;
        for (ptrdiff_t a = 0; a < q; a++) {
            const double scaled = share * s->mean[a];
            first[a] += scaled;
            for (ptrdiff_t b = 0; b <= a; b++) {
                second[a * q + b] += scaled * s->mean[b];
            }
        }
        for (ptrdiff_t a = 0; a < s->n_known; a++) {
            const ptrdiff_t level = s->seen[a];
            for (ptrdiff_t b = 0; b <= a; b++) {
                pairs[s->seen[b] * T + level] += share;
            }
            for (ptrdiff_t l = 0; l < n_levels; l++) {
                add_pair(pairs, T, level, s->level[l], marginal[l]);
            }
            for (ptrdiff_t b = 0; b < q; b++) {
                cross[level * q + b] += share * s->mean[b];
            }
        }
        for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
            for (ptrdiff_t l = s->first[j]; l < s->first[j + 1]; l++) {
                const ptrdiff_t level = s->level[l];
                pairs[level * T + level] += marginal[l];
                for (ptrdiff_t e = s->first[j + 1]; e < n_levels; e++) {
                    pairs[level * T + s->level[e]] += pair[l * T + e];
                }
                for (ptrdiff_t b = 0; b < q; b++) {
                    cross[level * q + b] += marginal[l] * s->mean[b];
                }
                for (ptrdiff_t e = 0; e < (s->n_missing ? n_levels : 0); e++) {
                    sums->covariance[(k * T + l) * T + e] += level_covariance(s, k, j, l, e);
                }
            }
        }
    }
}

/* Adds what the rows of one pattern of categories have in common. */
static void
add_categories(Location *s, LocationSums *sums)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q, T = m->T;
    if (s->n_levels == 0 || s->n_missing == 0) {
        return;
    }
    for (ptrdiff_t k = 0; k < m->K; k++) {
        const LocationPattern *p = s->pattern + (m->n_covariances == 1 ? 0 : k);
        double *second = sums->second + k * q * q;
        for (ptrdiff_t l = 0; l < s->n_levels; l++) {
            double *row = sums->covariance + (k * T + l) * T;
            double *cross = sums->cross + (k * T + s->level[l]) * q;
            for (ptrdiff_t a = 0; a < s->n_missing; a++) {
                double sum = 0.0;
                for (ptrdiff_t e = 0; e < s->n_levels; e++) {
                    sum += row[e] * p->shift[e * q + a];
                }
                cross[s->missing[a]] += sum;
                for (ptrdiff_t b = a; b < s->n_missing; b++) {
                    second[s->missing[b] * q + s->missing[a]] += sum * p->shift[l * q + b];
                }
            }
            memset(row, 0, (size_t)s->n_levels * sizeof(double));
        }
    }
}

/* Adds what the rows of one pattern of numbers have in common. */
static void
add_numbers(Location *s, LocationSums *sums)
{
    const ptrdiff_t q = s->m.q;
    for (ptrdiff_t k = 0; k < s->m.K; k++) {
        const LocationPattern *p = s->pattern + (s->m.n_covariances == 1 ? 0 : k);
        double *second = sums->second + k * q * q;
        for (ptrdiff_t a = 0; a < s->n_missing; a++) {
            for (ptrdiff_t b = 0; b <= a; b++) {
                second[s->missing[a] * q + s->missing[b]] +=
                    sums->share[k] * p->conditional[a * q + b];
            }
        }
        sums->share[k] = 0.0;
    }
}

/* Prepares the patterns of row i. Returns 0, -2 for a code out of range, -3 for a covariance that
   is not positive definite. `sums`, if any, gets what belongs to the patterns that end. */
static int
location_next(Location *s, ptrdiff_t i, LocationSums *sums)
{
    const int numbers = i == 0 || !same_numbers(s, i, i - 1);
    const int categories = numbers || !same_categories(s, i, i - 1);
    if (sums && i > 0 && categories) {
        add_categories(s, sums);
    }
    if (sums && i > 0 && numbers) {
        add_numbers(s, sums);
    }
    if (!location_codes(s, i)) {
        return -2;
    }
    if (numbers && !location_numbers(s, i)) {
        return -3;
    }
    if (!categories) {
        /* Another thread may have changed a code since. */
        for (ptrdiff_t a = 0; a < s->n_known; a++) {
            if (s->code[s->known[a]] < 0) {
                return -2;
            }
        }
        return 0;
    }
    location_categories(s);
    return 0;
}

/* See general_location_bindings.h. Returns 0, or -1 if out of memory, or as `location_next`. */
static int
location_expect(const LocationModel *model, const double *weight, LocationSums *sums,
                double *log_likelihood)
{
    Location s = {.m = *model};
    const ptrdiff_t K = model->K, q = model->q, T = model->T;
    double total = 0.0;
    const size_t own = add_size(add_size(0, K * T, T), K, 1);
    sums->share = aligned_memory(own, sizeof(double));
    if (sums->share == NULL || location_new(&s) < 0) {
        aligned_free(sums->share);
        return -1;
    }
    sums->covariance = sums->share + K;
    memset(sums->share, 0, own * sizeof(double));
    memset(sums->weight, 0, (size_t)K * sizeof(double));
    memset(sums->first, 0, (size_t)(K * q) * sizeof(double));
    memset(sums->second, 0, (size_t)(K * q * q) * sizeof(double));
    memset(sums->pairs, 0, (size_t)(K * T * T) * sizeof(double));
    memset(sums->cross, 0, (size_t)(K * T * q) * sizeof(double));
    int status = 0;
    for (ptrdiff_t i = 0; i < model->n && status == 0; i++) {
        status = location_next(&s, i, sums);
        if (status == 0) {
            location_row(&s, i, weight[i], LEVELS | PAIRS);
            total += weight[i] * s.row.density;
            add_row(&s, sums);
        }
    }
    if (status == 0 && model->n > 0) {
        add_categories(&s, sums);
        add_numbers(&s, sums);
    }
    *log_likelihood = total;
    aligned_free(sums->share);
    location_free(&s);
    return status;
}

/* Conditional distributions of the missing entries of each row. */
typedef struct {
    double *density, *share, *levels, *mean, *variance; /* n, nK, nT, nq, nq */
} LocationOut;

static void
put_row(Location *s, ptrdiff_t i, const LocationOut *out)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q, T = m->T;
    double *levels = out->levels + i * T, *mean = out->mean + i * q;
    double *variance = out->variance + i * q;
    out->density[i] = s->row.density;
    memcpy(out->share + i * m->K, s->row.share, (size_t)m->K * sizeof(double));
    memset(levels, 0, (size_t)T * sizeof(double));
    memset(variance, 0, (size_t)q * sizeof(double));
    memcpy(mean, m->numbers + i * q, (size_t)q * sizeof(double));
    for (ptrdiff_t a = 0; a < s->n_missing; a++) {
        mean[s->missing[a]] = 0.0;
    }
    for (ptrdiff_t a = 0; a < s->n_known; a++) {
        levels[s->seen[a]] = 1.0;
    }
    for (ptrdiff_t k = 0; k < m->K; k++) {
        const LocationPattern *p = s->pattern + (m->n_covariances == 1 ? 0 : k);
        const double share = s->row.share[k];
        if (!(share > 0.0)) {
            continue;
        }
        for (ptrdiff_t l = 0; l < s->n_levels; l++) {
            levels[s->level[l]] += s->row.marginal[k * T + l];
        }
        location_mean(s, k);
        for (ptrdiff_t a = 0; a < s->n_missing; a++) {
            const double own = s->mean[s->missing[a]];
            double sum = share * (p->conditional[a * q + a] + own * own);
            for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
                for (ptrdiff_t l = s->first[j]; l < s->first[j + 1]; l++) {
                    for (ptrdiff_t e = 0; e < s->n_levels; e++) {
                        sum += level_covariance(s, k, j, l, e) * p->shift[l * q + a] *
                               p->shift[e * q + a];
                    }
                }
            }
            mean[s->missing[a]] += share * own;
            variance[s->missing[a]] += sum;
        }
    }
    for (ptrdiff_t a = 0; a < s->n_missing; a++) {
        const ptrdiff_t b = s->missing[a];
        const double rest = variance[b] - mean[b] * mean[b];
        variance[b] = rest > 0.0 ? rest : 0.0;
    }
}

static int
location_condition(const LocationModel *model, const LocationOut *out)
{
    Location s = {.m = *model};
    if (location_new(&s) < 0) {
        return -1;
    }
    int status = 0;
    for (ptrdiff_t i = 0; i < model->n && status == 0; i++) {
        status = location_next(&s, i, NULL);
        if (status == 0) {
            location_row(&s, i, 1.0, LEVELS | PAIRS);
            put_row(&s, i, out);
        }
    }
    location_free(&s);
    return status;
}

/* ---- draws --------------------------------------------------------------------------------- */

/* The place in `weight` at which its cumulated sum passes `uniform` times its total. */
static ptrdiff_t
choose(const double *weight, ptrdiff_t n, double uniform)
{
    double total = 0.0, sum = 0.0;
    ptrdiff_t last = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        total += weight[i];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        sum += weight[i];
        last = weight[i] > 0.0 ? i : last;
        if (sum > uniform * total) {
            return i;
        }
    }
    return last;
}

/* The next of a sequence of numbers between 0 and 1 (Steele, Lea and Flood, 2014). */
static double
next_uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Draws the missing levels of class k into `digit`, where they are not enumerated. */
static void
draw_levels(Location *s, ptrdiff_t k, const double *uniform)
{
    const ptrdiff_t T = s->m.T;
    const LocationPattern *p = s->pattern + (s->m.n_covariances == 1 ? 0 : k);
    const double *field = s->row.field + k * T, *marginal = s->row.marginal + k * T;
    uint64_t state;
    for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
        const ptrdiff_t first = s->first[j];
        s->digit[j] = first + choose(marginal + first, s->first[j + 1] - first, uniform[j + 1]);
    }
    memcpy(&state, uniform, sizeof state);
    for (int sweep = 0; s->n_observed > 0 && sweep < GIBBS_SWEEPS; sweep++) {
        for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
            const ptrdiff_t first = s->first[j], n = s->first[j + 1] - first;
            memcpy(s->work, field + first, (size_t)n * sizeof(double));
            for (ptrdiff_t e = 0; e < s->n_unknown; e++) {
                for (ptrdiff_t l = 0; e != j && l < n; l++) {
                    s->work[l] -= p->gram[s->digit[e] * T + first + l];
                }
            }
            location_softmax(s->work, n, 1.0);
            s->digit[j] = first + choose(s->work, n, next_uniform(&state));
        }
    }
}

/* Cholesky factors of the conditional covariances, in `root`; 0 for directions without spread. */
static void
location_roots(Location *s)
{
    const ptrdiff_t q = s->m.q;
    for (ptrdiff_t c = 0; c < s->m.n_covariances; c++) {
        LocationPattern *p = s->pattern + c;
        for (ptrdiff_t a = 0; a < s->n_missing; a++) {
            for (ptrdiff_t b = 0; b <= a; b++) {
                double sum = p->conditional[a * q + b];
                for (ptrdiff_t e = 0; e < b; e++) {
                    sum -= p->root[a * q + e] * p->root[b * q + e];
                }
                const double pivot = b < a ? p->root[b * q + b] : 0.0;
                p->root[a * q + b] = b == a ? (sum > 0.0 ? sqrt(sum) : 0.0)
                                            : (pivot > 0.0 ? sum / pivot : 0.0);
            }
        }
    }
}

static void
draw_row(Location *s, ptrdiff_t i, const double *uniform, const double *normal, double *numbers,
         int32_t *codes)
{
    const LocationModel *m = &s->m;
    const ptrdiff_t q = m->q, n_combinations = s->row.n_combinations;
    ptrdiff_t k;
    if (s->n_unknown > 0 && n_combinations > 0) {
        ptrdiff_t c = choose(s->row.combination, m->K * n_combinations, uniform[0]);
        k = c / n_combinations;
        c %= n_combinations;
        for (ptrdiff_t j = s->n_unknown - 1; j >= 0; j--) {
            const ptrdiff_t n = s->first[j + 1] - s->first[j];
            s->digit[j] = s->first[j] + c % n;
            c /= n;
        }
    } else {
        k = choose(s->row.share, m->K, uniform[0]);
        draw_levels(s, k, uniform);
    }
    const LocationPattern *p = s->pattern + (m->n_covariances == 1 ? 0 : k);
    memcpy(numbers, s->row.fill + k * q, (size_t)q * sizeof(double));
    memcpy(codes, s->code, (size_t)m->J * sizeof(int32_t));
    for (ptrdiff_t a = 0; a < s->n_missing; a++) {
        double sum = 0.0;
        for (ptrdiff_t e = 0; e <= a; e++) {
            sum += p->root[a * q + e] * normal[i * q + e];
        }
        for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
            sum += p->shift[s->digit[j] * q + a];
        }
        numbers[s->missing[a]] += sum;
    }
    for (ptrdiff_t j = 0; j < s->n_unknown; j++) {
        codes[s->unknown[j]] = (int32_t)(s->digit[j] - s->first[j]);
    }
}

static int
location_draw(const LocationModel *model, const double *uniform, const double *normal,
              double *numbers, int32_t *codes)
{
    Location s = {.m = *model};
    if (location_new(&s) < 0) {
        return -1;
    }
    int status = 0;
    for (ptrdiff_t i = 0; i < model->n && status == 0; i++) {
        status = location_next(&s, i, NULL);
        if (status == 0) {
            if (i == 0 || !same_numbers(&s, i, i - 1)) {
                location_roots(&s);
            }
            /* `marginal` of independent levels is that of each class by itself. */
            location_row(&s, i, 1.0, 0);
            draw_row(&s, i, uniform + i * (model->J + 1), normal, numbers + i * model->q,
                     codes + i * model->J);
        }
    }
    location_free(&s);
    return status;
}
