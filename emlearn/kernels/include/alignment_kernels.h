/* Sums over the links of words in pairs of sentences; in double precision.

   A source word in a sentence (an occurrence) has links to all words of the target sentence, one
   after another. Each has an entry of the table of translations. The cells of an occurrence in the
   table of positions follow one another, as do its target words. Occurrences are best sorted by
   source word: entries of a word are close, so that sums stay in the cache. */

#ifndef EMLEARN_ALIGNMENT_H
#define EMLEARN_ALIGNMENT_H

typedef struct {
    const int32_t *entries;     /* of each link */
    const int64_t *starts;      /* of each occurrence among the links */
    const int64_t *word_starts; /* of each occurrence among the target words */
    const int64_t *cell_starts; /* of each occurrence among the cells */
    ptrdiff_t n_occurrences, n_words, n_entries;
    const double *translation, *cells;
} Links;

/* Adds translation x cell of each link to the sum of its target word. */
static void
add_links(const Links *links, double *restrict values)
{
    const double *restrict translation = links->translation;
    for (ptrdiff_t w = 0; w < links->n_words; w++) {
        values[w] = 0.0;
    }
    for (ptrdiff_t o = 0; o < links->n_occurrences; o++) {
        const ptrdiff_t size = (ptrdiff_t)(links->starts[o + 1] - links->starts[o]);
        const int32_t *restrict entries = links->entries + links->starts[o];
        const double *restrict cells = links->cells + links->cell_starts[o];
        double *restrict sums = values + links->word_starts[o];
        for (ptrdiff_t j = 0; j < size; j++) {
            sums[j] += translation[entries[j]] * cells[j];
        }
    }
}

/* Adds translation x cell x factor of the target word to the entries and cells. */
static void
spread_links(const Links *links, const double *factors, double *restrict counts,
             double *cell_counts)
{
    const double *restrict translation = links->translation;
    for (ptrdiff_t o = 0; o < links->n_occurrences; o++) {
        const ptrdiff_t size = (ptrdiff_t)(links->starts[o + 1] - links->starts[o]);
        const int32_t *restrict entries = links->entries + links->starts[o];
        const double *restrict cells = links->cells + links->cell_starts[o];
        const double *restrict own = factors + links->word_starts[o];
        if (cell_counts) {
            double *restrict of_cells = cell_counts + links->cell_starts[o];
            for (ptrdiff_t j = 0; j < size; j++) {
                const double part = translation[entries[j]] * cells[j] * own[j];
                counts[entries[j]] += part;
                of_cells[j] += part;
            }
        } else {
            for (ptrdiff_t j = 0; j < size; j++) {
                counts[entries[j]] += translation[entries[j]] * cells[j] * own[j];
            }
        }
    }
}

/* Number of the occurrence with the largest translation x cell of each target word; of equal ones
   that with the smallest distance; -1 if all are 0. `largest` and `nearest` have a number for each
   target word. */
static void
find_best_links(const Links *links, const double *along, const double *places, double *largest,
                double *nearest, int64_t *best)
{
    for (ptrdiff_t w = 0; w < links->n_words; w++) {
        largest[w] = 0.0;
        nearest[w] = INFINITY;
        best[w] = -1;
    }
    for (ptrdiff_t o = 0; o < links->n_occurrences; o++) {
        const ptrdiff_t size = (ptrdiff_t)(links->starts[o + 1] - links->starts[o]);
        const int32_t *entries = links->entries + links->starts[o];
        const double *cells = links->cells + links->cell_starts[o];
        for (ptrdiff_t j = 0; j < size; j++) {
            const ptrdiff_t w = (ptrdiff_t)links->word_starts[o] + j;
            const double value = links->translation[entries[j]] * cells[j];
            if (!(value > 0.0) || value < largest[w]) {
                continue;
            }
            const double distance = fabs(places[o] - along[w]);
            if (value > largest[w] || distance < nearest[w]) {
                largest[w] = value;
                nearest[w] = distance;
                best[w] = o;
            }
        }
    }
}

typedef struct {
    const int64_t *row_starts; /* of each source word among the entries */
    const int32_t *columns;    /* target word of each entry */
    const int64_t *order;      /* occurrences, sorted by source word */
    const int32_t *source;     /* source word of each occurrence */
    const int64_t *starts, *word_starts;
    const int32_t *target;
    int32_t *entries;
    ptrdiff_t n_rows, n_columns, n_occurrences, n_entries;
} Lookup;

/* The entry of each link. A pair of words that is not in the table gets that of the source word
   after all entries. `marks` has -1 for each column. */
static void
find_links(const Lookup *lookup, int32_t *marks)
{
    ptrdiff_t next = 0;
    for (ptrdiff_t s = 0; s < lookup->n_rows && next < lookup->n_occurrences; s++) {
        const int64_t first = lookup->row_starts[s], last = lookup->row_starts[s + 1];
        const int32_t other = (int32_t)(lookup->n_entries + s);
        if (lookup->source[lookup->order[next]] != s) {
            continue;
        }
        for (int64_t e = first; e < last; e++) {
            marks[lookup->columns[e]] = (int32_t)e;
        }
        for (; next < lookup->n_occurrences && lookup->source[lookup->order[next]] == s; next++) {
            const int64_t o = lookup->order[next];
            const ptrdiff_t size = (ptrdiff_t)(lookup->starts[o + 1] - lookup->starts[o]);
            const int32_t *target = lookup->target + lookup->word_starts[o];
            int32_t *entries = lookup->entries + lookup->starts[o];
            for (ptrdiff_t j = 0; j < size; j++) {
                const int32_t found = target[j] < lookup->n_columns ? marks[target[j]] : -1;
                entries[j] = found >= 0 ? found : other;
            }
        }
        for (int64_t e = first; e < last; e++) {
            marks[lookup->columns[e]] = -1;
        }
    }
}

/* The pairs of words that occur: the start of each source word among the entries, and the target
   word of each entry, in the order in which they are met; and the entry of each link. The
   occurrences are sorted by source word; `marks` has -1 for each target word. The number of
   entries is returned. */
static ptrdiff_t
build_table(const int32_t *source, const int64_t *starts, const int64_t *word_starts,
            const int32_t *target, ptrdiff_t n_rows, ptrdiff_t n_occurrences, int64_t *row_starts,
            int32_t *columns, int32_t *entries, int32_t *marks)
{
    ptrdiff_t next = 0;
    int32_t n_entries = 0;
    for (ptrdiff_t s = 0; s < n_rows; s++) {
        const int32_t first = n_entries;
        row_starts[s] = first;
        for (; next < n_occurrences && source[next] == s; next++) {
            const int32_t *words = target + word_starts[next];
            for (int64_t e = starts[next]; e < starts[next + 1]; e++, words++) {
                if (marks[*words] < first) {
                    marks[*words] = n_entries;
                    columns[n_entries++] = *words;
                }
                entries[e] = marks[*words];
            }
        }
    }
    row_starts[n_rows] = n_entries;
    return n_entries;
}

#endif
