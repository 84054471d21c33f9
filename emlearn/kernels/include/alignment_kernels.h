/* Sums over the links of words in pairs of sentences; in double precision.

   The links of a target word go to the source words of its sentence. Each has an entry of the
   table of translations, and a cell of the table of positions; the cells of a target word follow
   one another. */

#ifndef EMLEARN_ALIGNMENT_H
#define EMLEARN_ALIGNMENT_H

typedef struct {
    const int64_t *starts;      /* of each target word among the links */
    const int64_t *cell_starts; /* of each target word among the cells */
    const int32_t *entries;     /* of each link */
    const double *translation, *cells;
    const double *weight; /* of each target word, or NULL */
    double *values;
    double *counts, *cell_counts; /* or NULL */
    ptrdiff_t n_words, n_entries;
} Links;

/* Probability of each target word, and expected numbers of links; 0 if an entry is not in the
   table. `scratch` has a number and an entry for each link of a word. */
static int
count_links(const Links *links, double *scratch, int32_t *own)
{
    for (ptrdiff_t w = 0; w < links->n_words; w++) {
        const int64_t start = links->starts[w];
        const ptrdiff_t size = (ptrdiff_t)(links->starts[w + 1] - start);
        const double *cells = links->cells + links->cell_starts[w];
        double total = 0.0;
        int fits = 1;
        for (ptrdiff_t k = 0; k < size; k++) {
            own[k] = links->entries[start + k];
            fits &= own[k] >= 0 && own[k] < links->n_entries;
        }
        if (!fits) {
            return 0;
        }
        for (ptrdiff_t k = 0; k < size; k++) {
            scratch[k] = links->translation[own[k]] * cells[k];
            total += scratch[k];
        }
        if (!(total >= 2.2250738585072014e-308)) {
            links->values[w] = 0.0;
            continue;
        }
        links->values[w] = total;
        if (links->counts) {
            const double factor = (links->weight ? links->weight[w] : 1.0) / total;
            for (ptrdiff_t k = 0; k < size; k++) {
                scratch[k] *= factor;
                links->counts[own[k]] += scratch[k];
            }
            if (links->cell_counts) {
                double *cell_counts = links->cell_counts + links->cell_starts[w];
                for (ptrdiff_t k = 0; k < size; k++) {
                    cell_counts[k] += scratch[k];
                }
            }
        }
    }
    return 1;
}

typedef struct {
    const int64_t *row_starts; /* of each source word among the entries */
    const int32_t *columns;    /* target word of each entry */
    const int64_t *order;      /* positions of source words, sorted by word */
    const int64_t *pair;       /* of each position of a source word */
    const int32_t *source, *target;
    const int64_t *source_starts, *target_starts, *link_starts; /* of each pair */
    int32_t *entries;
    ptrdiff_t n_rows, n_columns, n_positions, n_entries;
} Lookup;

/* The entry of each link. A pair of words that is not in the table gets that of the source word
   after all entries. `marks` has -1 for each column. */
static void
find_links(const Lookup *lookup, int32_t *marks)
{
    ptrdiff_t next = 0;
    for (ptrdiff_t s = 0; s < lookup->n_rows && next < lookup->n_positions; s++) {
        const int64_t first = lookup->row_starts[s], last = lookup->row_starts[s + 1];
        const int32_t other = (int32_t)(lookup->n_entries + s);
        for (int64_t e = first; e < last; e++) {
            marks[lookup->columns[e]] = (int32_t)e;
        }
        for (; next < lookup->n_positions && lookup->source[lookup->order[next]] == s; next++) {
            const int64_t position = lookup->order[next], p = lookup->pair[position];
            const int64_t n = lookup->source_starts[p + 1] - lookup->source_starts[p];
            int32_t *entries =
                lookup->entries + lookup->link_starts[p] + position - lookup->source_starts[p];
            for (int64_t j = lookup->target_starts[p]; j < lookup->target_starts[p + 1]; j++) {
                const int32_t t = lookup->target[j];
                const int32_t found = t < lookup->n_columns ? marks[t] : -1;
                *entries = found >= 0 ? found : other;
                entries += n;
            }
        }
        for (int64_t e = first; e < last; e++) {
            marks[lookup->columns[e]] = -1;
        }
    }
}

#endif
