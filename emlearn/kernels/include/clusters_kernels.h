/* Clusters of points, for the starts of EM: seeds of k-means++, Lloyd's steps, and clusters
   joined one after another. In double precision; points are columns (d, n). */

#define CLUSTER_LANES ((ptrdiff_t)(VECTOR_BYTES / 8))

/* Squared distances of all points from a center. */
static void
squared_distances(const double *columns, ptrdiff_t n, ptrdiff_t d, const double *center,
                  ptrdiff_t step, double *restrict distance)
{
    memset(distance, 0, (size_t)n * sizeof(double));
    for (ptrdiff_t j = 0; j < d; j++) {
        const double *restrict x = columns + j * n;
        const double c = center[j * step];
        for (ptrdiff_t i = 0; i < n; i++) {
            const double difference = x[i] - c;
            distance[i] += difference * difference;
        }
    }
}

/* The first point up to which more than this share of the total lies. */
static ptrdiff_t
draw_point(const double *weight, const double *distance, ptrdiff_t n, double share)
{
    double total = 0.0, sum = 0.0;
    ptrdiff_t last = -1;
    for (ptrdiff_t i = 0; i < n; i++) {
        total += distance ? weight[i] * distance[i] : weight[i];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const double part = distance ? weight[i] * distance[i] : weight[i];
        sum += part;
        last = part > 0.0 ? i : last;
        if (sum > share * total && part > 0.0) {
            return i;
        }
    }
    return last;
}

/* Seeds of k-means++; see clusters_bindings.h. `trial` and `best` are for work, n numbers each.
   Returns how many different seeds there are. */
static ptrdiff_t
seed_clusters_all(const double *columns, const double *weight, const double *draws, ptrdiff_t n,
                  ptrdiff_t d, ptrdiff_t k, ptrdiff_t n_trials, int64_t *chosen, int64_t *labels,
                  double *distance, double *trial, double *best)
{
    for (ptrdiff_t c = 0; c < k; c++) {
        double lowest = INFINITY;
        ptrdiff_t winner = -1;
        for (ptrdiff_t t = 0; t < (c == 0 ? 1 : n_trials); t++) {
            const ptrdiff_t point =
                draw_point(weight, c == 0 ? NULL : distance, n, draws[c * n_trials + t]);
            if (point < 0) {
                return c;
            }
            squared_distances(columns, n, d, columns + point, n, trial);
            double potential = 0.0;
            for (ptrdiff_t i = 0; i < n; i++) {
                trial[i] = c > 0 && distance[i] <= trial[i] ? distance[i] : trial[i];
                potential += weight[i] * trial[i];
            }
            if (potential < lowest) {
                lowest = potential;
                winner = point;
                memcpy(best, trial, (size_t)n * sizeof(double));
            }
        }
        if (winner < 0) {
            return c;
        }
        chosen[c] = winner;
        for (ptrdiff_t i = 0; i < n; i++) {
            if (c == 0 || best[i] < distance[i]) {
                labels[i] = c;
                distance[i] = best[i];
            }
        }
    }
    return k;
}

/* Lloyd's steps; see clusters_bindings.h. `work` is for 3 n + 2 k numbers. Returns how many
   steps changed a label. */
static ptrdiff_t
lloyd_all(const double *columns, const double *weight, ptrdiff_t n, ptrdiff_t d, ptrdiff_t k,
          ptrdiff_t max_steps, double *centers, int64_t *labels, double *work)
{
    double *restrict distance = work, *restrict nearest = work + n, *restrict found = nearest + n;
    double *sums = found + n, *column = sums + k;
    for (ptrdiff_t step = 0; step < max_steps; step++) {
        int changed = 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            nearest[i] = INFINITY;
            found[i] = 0.0;
        }
        for (ptrdiff_t c = 0; c < k; c++) {
            squared_distances(columns, n, d, centers + c * d, 1, distance);
            for (ptrdiff_t i = 0; i < n; i++) {
                /* The labels before are needed until all centers were looked at. */
                found[i] = distance[i] < nearest[i] ? (double)c : found[i];
                nearest[i] = distance[i] < nearest[i] ? distance[i] : nearest[i];
            }
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            const int64_t own = (int64_t)found[i];
            changed |= labels[i] != own;
            labels[i] = own;
        }
        if (!changed) {
            return step;
        }
        memset(sums, 0, (size_t)k * sizeof(double));
        for (ptrdiff_t i = 0; i < n; i++) {
            sums[(ptrdiff_t)found[i]] += weight[i];
        }
        for (ptrdiff_t j = 0; j < d; j++) {
            const double *x = columns + j * n;
            memset(column, 0, (size_t)k * sizeof(double));
            for (ptrdiff_t i = 0; i < n; i++) {
                column[(ptrdiff_t)found[i]] += weight[i] * x[i];
            }
            for (ptrdiff_t c = 0; c < k; c++) {
                if (sums[c] > 0.0) {
                    centers[c * d + j] = column[c] / sums[c];
                }
            }
        }
    }
    return max_steps;
}

/* Clusters under way to be joined. What belongs to a cluster is a column of `stride` columns, so
   that as many as a vector has lanes are worked on at a time. */
typedef struct {
    ptrdiff_t n_clusters, d, n_moments, stride;
    double extra, entropy, total; /* pseudo-rows, factor of the entropy, sum of the weights */
    const double *prior;          /* (n_moments): scatter of the pseudo-rows */
    double *size;                 /* (stride) */
    double *own;                  /* (stride): cost */
    double *mean;                 /* (d, stride) */
    double *scatter;              /* (n_moments, stride) */
    double *cost;                 /* (stride, stride): what joining two would cost */
    double *lowest;               /* (stride): lowest cost of a row */
    ptrdiff_t *nearest;           /* (stride): where it is */
    vec_d *work;                  /* (n_moments + d) */
} Joining;

/* Logarithms of the determinants of symmetric matrices, one a lane; their lower triangles are
   overwritten by factors L D L'. */
static vec_d
log_determinants(vec_d *matrix, ptrdiff_t d)
{
    vec_d total = {0};
    for (ptrdiff_t k = 0; k < d; k++) {
        const vec_d pivot = larger_d(matrix[k * (k + 1) / 2 + k], broadcast_d(1e-300));
        const vec_d inverse = 1.0 / pivot;
        total += log_d(pivot);
        for (ptrdiff_t i = k + 1; i < d; i++) {
            vec_d *row = matrix + i * (i + 1) / 2;
            const vec_d factor = row[k] * inverse;
            const vec_d *above = matrix + (k + 1) * (k + 2) / 2 + k;
            for (ptrdiff_t j = k + 1; j <= i; j++) {
                row[j] -= factor * *above;
                above += j + 1;
            }
        }
    }
    return total;
}

/* Cost of clusters, one a lane, of these sizes and scatters; `scatter` is overwritten. */
static vec_d
costs_of(const Joining *all, vec_d size, vec_d *scatter)
{
    const double d = (double)all->d;
    const vec_d share = log_d(size) - log(all->total);
    vec_d log_volume = {0};
    for (ptrdiff_t t = 0; t < all->n_moments; t++) {
        scatter[t] += all->prior[t];
    }
    if (all->n_moments == 0) {
        return -all->entropy * size * share;
    }
    if (all->n_moments == all->d) {
        for (ptrdiff_t j = 0; j < all->d; j++) {
            log_volume += log_d(larger_d(scatter[j], broadcast_d(1e-300)));
        }
    } else if (all->n_moments == 1) {
        log_volume = d * (log_d(larger_d(scatter[0], broadcast_d(1e-300))) - log(d));
    } else {
        log_volume = log_determinants(scatter, all->d);
    }
    return size * (0.5 * (log_volume - d * log_d(size + all->extra)) - all->entropy * share);
}

/* What it costs to join cluster `a` with those from `first` on: row `a` of the costs. */
static void
cost_of_joining(Joining *all, ptrdiff_t a, ptrdiff_t first)
{
    const ptrdiff_t stride = all->stride, d = all->d;
    vec_d *scatter = all->work, *difference = all->work + all->n_moments;
    for (ptrdiff_t b = first / CLUSTER_LANES * CLUSTER_LANES; b < all->n_clusters; b += CLUSTER_LANES) {
        const vec_d other = load_d(all->size + b), size = other + all->size[a];
        const vec_d factor = other * (all->size[a] / size);
        vec_d square = {0}, rise = {0};
        for (ptrdiff_t j = 0; j < d; j++) {
            difference[j] = load_d(all->mean + j * stride + b) - all->mean[j * stride + a];
            square += difference[j] * difference[j];
        }
        for (ptrdiff_t t = 0; t < all->n_moments; t++) {
            const double *own = all->scatter + t * stride;
            scatter[t] = load_d(own + b) + own[a];
        }
        if (all->n_moments == 0) {
            rise = 0.5 * factor * square;
        } else if (all->n_moments == d) {
            for (ptrdiff_t j = 0; j < d; j++) {
                scatter[j] += factor * difference[j] * difference[j];
            }
        } else if (all->n_moments == 1) {
            scatter[0] += factor * square;
        } else {
            vec_d *row = scatter;
            for (ptrdiff_t i = 0; i < d; i++) {
                const vec_d scaled = factor * difference[i];
                for (ptrdiff_t j = 0; j <= i; j++) {
                    row[j] += scaled * difference[j];
                }
                row += i + 1;
            }
        }
        rise += costs_of(all, size, scatter) - load_d(all->own + b) - all->own[a];
        store_d(all->cost + a * stride + b, rise);
    }
}

static void
find_nearest(Joining *all, ptrdiff_t a)
{
    const double *row = all->cost + a * all->stride;
    all->lowest[a] = INFINITY;
    all->nearest[a] = a == 0;
    for (ptrdiff_t b = 0; b < all->n_clusters; b++) {
        if (b != a && row[b] < all->lowest[a]) {
            all->lowest[a] = row[b];
            all->nearest[a] = b;
        }
    }
}

/* Cost of the cluster `a` alone, by the arithmetic of the pairs. */
static void
cost_of_one(Joining *all, ptrdiff_t a)
{
    double lanes[VECTOR_BYTES / 8];
    for (ptrdiff_t t = 0; t < all->n_moments; t++) {
        all->work[t] = broadcast_d(all->scatter[t * all->stride + a]);
    }
    const vec_d cost = costs_of(all, broadcast_d(all->size[a]), all->work);
    memcpy(lanes, &cost, sizeof cost);
    all->own[a] = lanes[0];
}

/* Cluster `b` becomes part of `a`, and the last one takes its place. */
static void
join_pair(Joining *all, ptrdiff_t a, ptrdiff_t b)
{
    const ptrdiff_t stride = all->stride, d = all->d, last = all->n_clusters - 1;
    const double size = all->size[a] + all->size[b], part = all->size[b] / size;
    const double factor = all->size[a] * part;
    for (ptrdiff_t t = 0; t < all->n_moments; t++) {
        double *own = all->scatter + t * stride;
        own[a] += own[b];
        own[b] = own[last];
    }
    double square = 0.0;
    double *difference = (double *)(all->work + all->n_moments);
    for (ptrdiff_t j = 0; j < d; j++) {
        double *own = all->mean + j * stride;
        difference[j] = own[b] - own[a];
        square += difference[j] * difference[j];
        own[a] += part * difference[j];
        own[b] = own[last];
    }
    if (all->n_moments == d) {
        for (ptrdiff_t j = 0; j < d; j++) {
            all->scatter[j * stride + a] += factor * difference[j] * difference[j];
        }
    } else if (all->n_moments == 1) {
        all->scatter[a] += factor * square;
    } else if (all->n_moments > 1) {
        ptrdiff_t t = 0;
        for (ptrdiff_t i = 0; i < d; i++) {
            for (ptrdiff_t j = 0; j <= i; j++, t++) {
                all->scatter[t * stride + a] += factor * difference[i] * difference[j];
            }
        }
    }
    all->size[a] = size;
    all->size[b] = all->size[last];
    all->own[b] = all->own[last];
    all->lowest[b] = all->lowest[last];
    all->nearest[b] = all->nearest[last];
    memcpy(all->cost + b * stride, all->cost + last * stride, (size_t)stride * sizeof(double));
    for (ptrdiff_t c = 0; c < last; c++) {
        all->cost[c * stride + b] = all->cost[c * stride + last];
    }
    all->n_clusters = last;
    cost_of_one(all, a);
}

/* Joins the pair that costs least until `n_left` clusters are left. `labels` are those of the
   clusters given. */
static void
join_until(Joining *all, ptrdiff_t n_left, int64_t *labels, ptrdiff_t n_given)
{
    const ptrdiff_t stride = all->stride;
    for (ptrdiff_t a = 0; a < all->n_clusters; a++) {
        cost_of_one(all, a);
    }
    for (ptrdiff_t a = 0; a < all->n_clusters; a++) {
        cost_of_joining(all, a, a);
        for (ptrdiff_t b = a; b < all->n_clusters; b++) {
            all->cost[b * stride + a] = all->cost[a * stride + b];
        }
    }
    for (ptrdiff_t a = 0; a < all->n_clusters; a++) {
        find_nearest(all, a);
        labels[a] = a;
    }
    while (all->n_clusters > n_left) {
        const ptrdiff_t last = all->n_clusters - 1;
        ptrdiff_t a = 0;
        for (ptrdiff_t c = 1; c <= last; c++) {
            a = all->lowest[c] < all->lowest[a] ? c : a;
        }
        ptrdiff_t b = all->nearest[a];
        if (b < a) {
            const ptrdiff_t swap = a;
            a = b;
            b = swap;
        }
        for (ptrdiff_t i = 0; i < n_given; i++) {
            labels[i] = labels[i] == b ? a : labels[i] == last ? b : labels[i];
        }
        join_pair(all, a, b);
        cost_of_joining(all, a, 0);
        for (ptrdiff_t c = 0; c < all->n_clusters; c++) {
            const double cost = all->cost[c * stride + a] = all->cost[a * stride + c];
            const ptrdiff_t before = all->nearest[c];
            if (c == a) {
                continue;
            }
            if (before == a || before == b) {
                find_nearest(all, c);
                continue;
            }
            all->nearest[c] = before == last ? b : before;
            if (cost < all->lowest[c]) {
                all->lowest[c] = cost;
                all->nearest[c] = a;
            }
        }
        find_nearest(all, a);
    }
}

/* See clusters_bindings.h. Returns -1 without memory. */
static int
join_clusters_all(const double *size, const double *mean, const double *scatter,
                  const double *prior, ptrdiff_t m, ptrdiff_t d, ptrdiff_t n_moments,
                  double extra, double entropy, ptrdiff_t n_left, int64_t *labels)
{
    const ptrdiff_t stride = round_up(m, CLUSTER_LANES);
    size_t count = add_size(0, 4 + d + n_moments, stride);
    count = add_size(count, stride, stride);
    count = add_size(count, n_moments + d, CLUSTER_LANES);
    double *memory = aligned_memory(count, sizeof(double));
    if (memory == NULL) {
        return -1;
    }
    memset(memory, 0, count * sizeof(double));
    Joining all = {.n_clusters = m, .d = d, .n_moments = n_moments, .stride = stride,
                   .extra = extra, .entropy = entropy, .prior = prior};
    all.work = (vec_d *)memory;
    all.size = memory + (n_moments + d) * CLUSTER_LANES;
    all.own = all.size + stride;
    all.lowest = all.own + stride;
    all.nearest = (ptrdiff_t *)(all.lowest + stride);
    all.mean = all.lowest + 2 * stride;
    all.scatter = all.mean + d * stride;
    all.cost = all.scatter + n_moments * stride;
    for (ptrdiff_t a = 0; a < stride; a++) {
        /* Lanes that are no cluster have to be numbers. */
        all.size[a] = a < m ? size[a] : 1.0;
        all.total += a < m ? size[a] : 0.0;
        for (ptrdiff_t j = 0; j < d && a < m; j++) {
            all.mean[j * stride + a] = mean[a * d + j];
        }
    }
    for (ptrdiff_t t = 0; t < n_moments; t++) {
        memcpy(all.scatter + t * stride, scatter + t * m, (size_t)m * sizeof(double));
    }
    join_until(&all, n_left, labels, m);
    aligned_free(memory);
    return 0;
}

/* Sizes, means and scatters of labelled points; see clusters_bindings.h. `point` is for work, d
   numbers. */
static void
cluster_moments_all(const double *columns, const double *weight, const int64_t *labels,
                    ptrdiff_t n, ptrdiff_t d, ptrdiff_t m, ptrdiff_t n_moments, double *size,
                    double *mean, double *scatter, double *point)
{
    memset(size, 0, (size_t)m * sizeof(double));
    memset(mean, 0, (size_t)(m * d) * sizeof(double));
    memset(scatter, 0, (size_t)(m * n_moments) * sizeof(double));
    for (ptrdiff_t i = 0; i < n; i++) {
        size[labels[i]] += weight[i];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const double share = weight[i] / size[labels[i]];
        double *own = mean + labels[i] * d;
        for (ptrdiff_t j = 0; j < d; j++) {
            own[j] += share * columns[j * n + i];
        }
    }
    for (ptrdiff_t i = 0; i < n && n_moments > 0; i++) {
        const double *own = mean + labels[i] * d;
        double *into = scatter + labels[i] * n_moments;
        for (ptrdiff_t j = 0; j < d; j++) {
            point[j] = columns[j * n + i] - own[j];
        }
        if (n_moments == d) {
            for (ptrdiff_t j = 0; j < d; j++) {
                into[j] += weight[i] * point[j] * point[j];
            }
        } else if (n_moments == 1) {
            for (ptrdiff_t j = 0; j < d; j++) {
                into[0] += weight[i] * point[j] * point[j];
            }
        } else {
            for (ptrdiff_t a = 0; a < d; a++) {
                const double scaled = weight[i] * point[a];
                for (ptrdiff_t b = 0; b <= a; b++) {
                    into[b] += scaled * point[b];
                }
                into += a + 1;
            }
        }
    }
}
