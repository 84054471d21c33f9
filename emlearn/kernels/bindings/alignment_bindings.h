/* link_step(entries, starts, cell_starts, translation, cells, weight, values, counts, cell_counts)

   The probability of a target word is the sum of translation x cell over its links.

   entries      of each link in the table of translations
   starts       of each target word among the links
   cell_starts  of each target word among the cells, which go on for as many as it has links
   translation  table of translations
   cells        table of positions
   weight       of each target word, or None for 1 each
   values       probability of each target word; 0 where it underflows: out
   counts       weight x the part of a link in the probability is added to it; or None
   cell_counts  the same of the cells; or None */
static PyObject *
link_step(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"entries", "i", "e", READ},
        {"starts", "q", "w+", PRIVATE},
        {"cell_starts", "q", "w", PRIVATE},
        {"translation", "d", "t", READ},
        {"cells", "d", "c", READ},
        {"weight", "d", "w", OPTIONAL},
        {"values", "d", "w", WRITE},
        {"counts", "d", "t", OPTIONAL | WRITE},
        {"cell_counts", "d", "c", OPTIONAL | WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "link_step", parameters)) {
        return NULL;
    }
    const int64_t *starts = call.data[1], *cell_starts = call.data[2];
    const ptrdiff_t n = SIZE(call, 'w');
    ptrdiff_t longest = 1;
    int fits = starts[0] == 0 && starts[n] == SIZE(call, 'e');
    for (ptrdiff_t w = 0; fits && w < n; w++) {
        const int64_t size = starts[w + 1] - starts[w];
        fits = size >= 0 && size <= SIZE(call, 'e') && size <= SIZE(call, 'c') &&
               cell_starts[w] >= 0 && cell_starts[w] <= SIZE(call, 'c') - size;
        longest = fits && size > longest ? (ptrdiff_t)size : longest;
    }
    if (!fits) {
        refuse(&call, PyExc_ValueError,
               "there must be starts that rise to the number of links, and cells for all of them");
        return NULL;
    }
    double *scratch = aligned_memory(add_size(0, longest, 2), sizeof(double));
    if (scratch == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    const Links links = {.entries = call.data[0],     .starts = starts,
                         .cell_starts = cell_starts,  .translation = call.data[3],
                         .cells = call.data[4],       .weight = call.data[5],
                         .values = call.data[6],      .counts = call.data[7],
                         .cell_counts = call.data[8], .n_words = n,
                         .n_entries = SIZE(call, 't')};
    Py_BEGIN_ALLOW_THREADS
    fits = count_links(&links, scratch, (int32_t *)(scratch + longest));
    Py_END_ALLOW_THREADS
    aligned_free(scratch);
    if (!fits) {
        refuse(&call, PyExc_ValueError, "entries must be within the table of translations");
        return NULL;
    }
    return finish(&call, Py_NewRef(Py_None));
}

/* look_up_links(row_starts, columns, order, pair, source, source_starts, target, target_starts,
                 link_starts, entries)

   row_starts     of each source word among the entries of the table
   columns        target word of each entry
   order          positions of source words, sorted by word
   pair           pair of sentences of each position of a source word
   source         source words; at most the number of rows
   source_starts  of each pair
   target         target words
   target_starts  of each pair
   link_starts    of each pair, among the links: those of the first target word come first
   entries        entry of each link, or number of entries + source word if there is none: out */
static PyObject *
look_up_links(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"row_starts", "q", "r+", PRIVATE},    {"columns", "i", "c", PRIVATE},
        {"order", "q", "s", PRIVATE},          {"pair", "q", "s", PRIVATE},
        {"source", "i", "s", PRIVATE},         {"source_starts", "q", "p+", PRIVATE},
        {"target", "i", "t", PRIVATE},         {"target_starts", "q", "p+", PRIVATE},
        {"link_starts", "q", "p+", PRIVATE},   {"entries", "i", "e", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "look_up_links", parameters)) {
        return NULL;
    }
    const int64_t *row_starts = call.data[0], *order = call.data[2], *pair = call.data[3];
    const int32_t *columns = call.data[1], *source = call.data[4], *target = call.data[6];
    const int64_t *source_starts = call.data[5], *target_starts = call.data[7];
    const int64_t *link_starts = call.data[8];
    const ptrdiff_t n_rows = SIZE(call, 'r'), n_entries = SIZE(call, 'c');
    const ptrdiff_t n_positions = SIZE(call, 's'), n_pairs = SIZE(call, 'p');
    ptrdiff_t n_columns = 1;
    int fits = row_starts[0] == 0 && row_starts[n_rows] == n_entries &&
               n_entries < INT32_MAX - n_rows && source_starts[0] == 0 &&
               source_starts[n_pairs] == n_positions && target_starts[0] == 0 &&
               target_starts[n_pairs] == SIZE(call, 't') && link_starts[0] == 0 &&
               link_starts[n_pairs] == SIZE(call, 'e');
    for (ptrdiff_t s = 0; fits && s < n_rows; s++) {
        fits = row_starts[s + 1] >= row_starts[s];
    }
    for (ptrdiff_t e = 0; fits && e < n_entries; e++) {
        fits = columns[e] >= 0 && columns[e] < INT32_MAX;
        n_columns = columns[e] >= n_columns ? (ptrdiff_t)columns[e] + 1 : n_columns;
    }
    for (ptrdiff_t j = 0; fits && j < SIZE(call, 't'); j++) {
        fits = target[j] >= 0;
    }
    for (ptrdiff_t p = 0; fits && p < n_pairs; p++) {
        const int64_t l = source_starts[p + 1] - source_starts[p];
        const int64_t m = target_starts[p + 1] - target_starts[p];
        fits = l >= 0 && m >= 0 && l <= n_positions && m <= SIZE(call, 't') &&
               link_starts[p + 1] >= link_starts[p] &&
               (l == 0 || m <= INT64_MAX / l) && link_starts[p + 1] - link_starts[p] == l * m;
    }
    for (ptrdiff_t i = 0; fits && i < n_positions; i++) {
        fits = order[i] >= 0 && order[i] < n_positions && pair[i] >= 0 && pair[i] < n_pairs;
        fits = fits && i >= source_starts[pair[i]] && i < source_starts[pair[i] + 1];
        fits = fits && source[i] >= 0 && source[i] < n_rows;
    }
    for (ptrdiff_t i = 1; fits && i < n_positions; i++) {
        fits = source[order[i]] >= source[order[i - 1]];
    }
    if (!fits) {
        refuse(&call, PyExc_ValueError,
               "there must be starts that rise to the numbers of entries, words and links, and "
               "words of the table, sorted by order");
        return NULL;
    }
    int32_t *marks = aligned_memory((size_t)n_columns, sizeof(int32_t));
    if (marks == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    const Lookup lookup = {.row_starts = row_starts, .columns = columns,
                           .order = order, .pair = pair,
                           .source = source, .target = target,
                           .source_starts = source_starts, .target_starts = target_starts,
                           .link_starts = link_starts, .entries = call.data[9],
                           .n_rows = n_rows, .n_columns = n_columns,
                           .n_positions = n_positions, .n_entries = n_entries};
    Py_BEGIN_ALLOW_THREADS
    for (ptrdiff_t t = 0; t < n_columns; t++) {
        marks[t] = -1;
    }
    find_links(&lookup, marks);
    Py_END_ALLOW_THREADS
    aligned_free(marks);
    return finish(&call, Py_NewRef(Py_None));
}
