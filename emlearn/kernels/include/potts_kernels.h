/* Mean-field updates of a Potts model; included by float_types.h. */

/* Sum over the two neighbors along a line, of every second pixel from `start` on. */
INLINE void
FN(line_neighbors)(const REAL *line, ptrdiff_t length, ptrdiff_t start, ptrdiff_t size,
                   REAL coupling, REAL *sums)
{
    for (ptrdiff_t j = 0; j < size; j++) {
        const ptrdiff_t x = start + 2 * j;
        const REAL left = x > 0 ? line[x - 1] : (REAL)0;
        const REAL right = x + 1 < length ? line[x + 1] : (REAL)0;
        sums[j] = coupling * (left + right);
    }
}

/* The same for the lines before and after, which lie `step` numbers away where they exist. */
INLINE void
FN(other_neighbors)(const REAL *line, ptrdiff_t step, int has_before, int has_after,
                    ptrdiff_t start, ptrdiff_t size, REAL coupling, REAL *sums)
{
    const REAL *first = line + start;
    if (has_before) {
        const REAL *restrict before = first - step;
        for (ptrdiff_t j = 0; j < size; j++) {
            sums[j] += coupling * before[2 * j];
        }
    }
    if (has_after) {
        const REAL *restrict after = first + step;
        for (ptrdiff_t j = 0; j < size; j++) {
            sums[j] += coupling * after[2 * j];
        }
    }
}

/* See potts_bindings.h. Returns 0, or -1 if out of memory.

   Neighbors have different colors, so all voxels of a color are updated at once: half a line at
   a time. Each edge joins the colors, and so is in the normalizers of the second color; what the
   first color's contain of edges is subtracted. */
static int
FN(potts_sweep)(const void *joint_, void *q_, const unsigned char *mask, ptrdiff_t n_classes,
                ptrdiff_t n_planes, ptrdiff_t n_lines, ptrdiff_t length, const double *coupling,
                double *sum)
{
    const REAL *joint = joint_;
    REAL *q = q_;
    const ptrdiff_t plane = n_lines * length, n = n_planes * plane;
    const ptrdiff_t stride = round_up((length + 1) / 2, LANES);
    const size_t count = add_size(add_size(0, 2 * n_classes, stride), 2, stride);
    REAL *energy = aligned_memory(count, sizeof(REAL));
    if (energy == NULL) {
        return -1;
    }
    memset(energy, 0, count * sizeof(REAL));
    REAL *field = energy + n_classes * stride, *weight = field + n_classes * stride;
    REAL *density = weight + stride;
    const REAL along_planes = (REAL)coupling[0], along_lines = (REAL)coupling[1];
    *sum = 0.0;
    for (ptrdiff_t color = 0; color < 2; color++) {
        for (ptrdiff_t row = 0; row < n_planes * n_lines; row++) {
            const ptrdiff_t z = row / n_lines, y = row % n_lines, at = row * length;
            const ptrdiff_t start = (color + z + y) % 2, size = (length - start + 1) / 2;
            REAL covered = 0;
            for (ptrdiff_t j = 0; j < stride; j++) {
                const int inside = j < size && (mask == NULL || mask[at + start + 2 * j]);
                weight[j] = (REAL)inside;
                covered += (REAL)inside;
            }
            if (covered == 0) {
                continue;
            }
            for (ptrdiff_t k = 0; k < n_classes; k++) {
                const REAL *line = q + k * n + at, *own = joint + k * n + at + start;
                REAL *restrict sums = field + k * stride, *restrict total = energy + k * stride;
                FN(line_neighbors)(line, length, start, size, (REAL)coupling[2], sums);
                FN(other_neighbors)(line, length, y > 0, y + 1 < n_lines, start, size, along_lines,
                                    sums);
                FN(other_neighbors)(line, plane, z > 0, z + 1 < n_planes, start, size,
                                    along_planes, sums);
                for (ptrdiff_t j = 0; j < size; j++) {
                    total[j] = own[2 * j] + sums[j];
                }
                for (ptrdiff_t j = size; j < stride; j++) {
                    total[j] = 0;
                }
            }
            FN(softmax)(energy, stride, n_classes, stride, weight, density);
            REAL edges = 0;
            for (ptrdiff_t k = 0; k < n_classes; k++) {
                REAL *to = q + k * n + at + start;
                const REAL *new = energy + k * stride, *sums = field + k * stride;
                for (ptrdiff_t j = 0; j < size; j++) {
                    to[2 * j] = new[j];
                    edges += color == 0 ? new[j] * sums[j] : 0;
                }
            }
            *sum += FN(weighted_sum)(weight, density, size) - (double)edges;
        }
    }
    aligned_free(energy);
    return 0;
}
