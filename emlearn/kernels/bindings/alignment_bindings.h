/* Links of an occurrence of a source word go to the words of the target sentence.

   entries      of each link in the table of translations
   starts       of each occurrence among the links
   word_starts  of each occurrence among the target words, which go on for as many as it has links
   cell_starts  of each occurrence among the cells, which do so too
   translation  table of translations
   cells        table of positions */

#define LINK_PARAMETERS                                                                            \
    {"entries", "i", "e", PRIVATE}, {"starts", "q", "o+", PRIVATE},                                   \
        {"word_starts", "q", "o", PRIVATE}, {"cell_starts", "q", "o", PRIVATE},                    \
        {"translation", "d", "t", READ}, {"cells", "d", "c", READ}

/* Whether the starts rise to the number of links, and parts of arrays of so many items lie within
   them; otherwise an error. */
static int
check_starts(Call *call, const int64_t *starts, ptrdiff_t n, ptrdiff_t n_links,
             const int64_t *part_starts, ptrdiff_t n_parts)
{
    int fits = starts[0] == 0 && starts[n] == n_links;
    for (ptrdiff_t o = 0; fits && o < n; o++) {
        fits = starts[o + 1] >= starts[o] && starts[o + 1] <= n_links;
        const int64_t size = fits ? starts[o + 1] - starts[o] : 0;
        fits = fits && size <= n_parts && part_starts[o] >= 0 && part_starts[o] <= n_parts - size;
    }
    return fits || refuse(call, PyExc_ValueError,
                          "there must be starts that rise to the number of links, and words and "
                          "cells for all of them");
}

/* The links of a call that begins with LINK_PARAMETERS; 0 with an error if they do not fit. */
static int
read_links(Call *call, Links *links)
{
    *links = (Links){.entries = call->data[0],
                     .starts = call->data[1],
                     .word_starts = call->data[2],
                     .cell_starts = call->data[3],
                     .translation = call->data[4],
                     .cells = call->data[5],
                     .n_occurrences = SIZE(*call, 'o'),
                     .n_words = SIZE(*call, 'w'),
                     .n_entries = SIZE(*call, 't')};
    const ptrdiff_t n_links = SIZE(*call, 'e');
    int32_t least = 0, most = -1;
    for (ptrdiff_t e = 0; e < n_links; e++) {
        least = links->entries[e] < least ? links->entries[e] : least;
        most = links->entries[e] > most ? links->entries[e] : most;
    }
    if (least < 0 || most >= links->n_entries) {
        return refuse(call, PyExc_ValueError, "there must be entries of the table of translations");
    }
    return check_starts(call, links->starts, links->n_occurrences, n_links, links->word_starts,
                        links->n_words) &&
           check_starts(call, links->starts, links->n_occurrences, n_links, links->cell_starts,
                        SIZE(*call, 'c'));
}

/* sum_links(entries, starts, word_starts, cell_starts, translation, cells, values)

   values  sums of translation x cell over the links of each target word: out */
static PyObject *
sum_links(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {LINK_PARAMETERS, {"values", "d", "w", WRITE}};
    Call call;
    Links links;
    if (!READ_ARGUMENTS(&call, "sum_links", parameters) || !read_links(&call, &links)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    add_links(&links, call.data[6]);
    Py_END_ALLOW_THREADS
    return finish(&call, Py_NewRef(Py_None));
}

/* count_links(entries, starts, word_starts, cell_starts, translation, cells, factors, counts,
               cell_counts)

   factors      of each target word
   counts       translation x cell x factor of each link is added to its entry
   cell_counts  and to its cell; or None */
static PyObject *
count_links(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        LINK_PARAMETERS,
        {"factors", "d", "w", READ},
        {"counts", "d", "t", WRITE},
        {"cell_counts", "d", "c", OPTIONAL | WRITE},
    };
    Call call;
    Links links;
    if (!READ_ARGUMENTS(&call, "count_links", parameters) || !read_links(&call, &links)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    spread_links(&links, call.data[6], call.data[7], call.data[8]);
    Py_END_ALLOW_THREADS
    return finish(&call, Py_NewRef(Py_None));
}

/* best_links(entries, starts, word_starts, cell_starts, translation, cells, along, places, best)

   along   place of each target word in its sentence
   places  place of each occurrence in its sentence
   best    number of the occurrence with the largest translation x cell of each target word; of
           equal ones the nearest; -1 if all are 0: out */
static PyObject *
best_links(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        LINK_PARAMETERS,
        {"along", "d", "w", READ},
        {"places", "d", "o", READ},
        {"best", "q", "w", WRITE},
    };
    Call call;
    Links links;
    if (!READ_ARGUMENTS(&call, "best_links", parameters) || !read_links(&call, &links)) {
        return NULL;
    }
    double *scratch = aligned_memory(add_size(0, links.n_words, 2), sizeof(double));
    if (scratch == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    Py_BEGIN_ALLOW_THREADS
    find_best_links(&links, call.data[6], call.data[7], scratch, scratch + links.n_words,
                    call.data[8]);
    Py_END_ALLOW_THREADS
    aligned_free(scratch);
    return finish(&call, Py_NewRef(Py_None));
}

/* look_up_links(row_starts, columns, order, source, starts, word_starts, target, entries)

   row_starts   of each source word among the entries of the table
   columns      target word of each entry
   order        occurrences, sorted by source word
   source       source word of each occurrence
   starts       of each occurrence among the links
   word_starts  of each occurrence among the target words
   target       target words
   entries      entry of each link, or number of entries + source word if there is none: out */
static PyObject *
look_up_links(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"row_starts", "q", "r+", PRIVATE}, {"columns", "i", "c", PRIVATE},
        {"order", "q", "o", PRIVATE},       {"source", "i", "o", PRIVATE},
        {"starts", "q", "o+", PRIVATE},     {"word_starts", "q", "o", PRIVATE},
        {"target", "i", "t", PRIVATE},      {"entries", "i", "e", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "look_up_links", parameters)) {
        return NULL;
    }
    const int64_t *row_starts = call.data[0], *order = call.data[2];
    const int32_t *columns = call.data[1], *source = call.data[3], *target = call.data[6];
    const ptrdiff_t n_rows = SIZE(call, 'r'), n_entries = SIZE(call, 'c');
    const ptrdiff_t n = SIZE(call, 'o'), n_words = SIZE(call, 't');
    if (!check_starts(&call, call.data[4], n, SIZE(call, 'e'), call.data[5], n_words)) {
        return NULL;
    }
    ptrdiff_t n_columns = 1;
    int fits = row_starts[0] == 0 && row_starts[n_rows] == n_entries &&
               n_entries < INT32_MAX - n_rows;
    for (ptrdiff_t s = 0; fits && s < n_rows; s++) {
        fits = row_starts[s + 1] >= row_starts[s] && row_starts[s + 1] <= n_entries;
    }
    for (ptrdiff_t e = 0; fits && e < n_entries; e++) {
        fits = columns[e] >= 0 && columns[e] < INT32_MAX;
        n_columns = columns[e] >= n_columns ? (ptrdiff_t)columns[e] + 1 : n_columns;
    }
    for (ptrdiff_t j = 0; fits && j < n_words; j++) {
        fits = target[j] >= 0;
    }
    for (ptrdiff_t o = 0; fits && o < n; o++) {
        fits = source[o] >= 0 && source[o] < n_rows && order[o] >= 0 && order[o] < n;
    }
    for (ptrdiff_t o = 1; fits && o < n; o++) {
        fits = source[order[o]] >= source[order[o - 1]];
    }
    if (!fits) {
        refuse(&call, PyExc_ValueError,
               "there must be starts that rise to the number of entries, and words of the table, "
               "sorted by order");
        return NULL;
    }
    int32_t *marks = aligned_memory((size_t)n_columns, sizeof(int32_t));
    if (marks == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    const Lookup lookup = {.row_starts = row_starts,
                           .columns = columns,
                           .order = order,
                           .source = source,
                           .starts = call.data[4],
                           .word_starts = call.data[5],
                           .target = target,
                           .entries = call.data[7],
                           .n_rows = n_rows,
                           .n_columns = n_columns,
                           .n_occurrences = n,
                           .n_entries = n_entries};
    Py_BEGIN_ALLOW_THREADS
    for (ptrdiff_t t = 0; t < n_columns; t++) {
        marks[t] = -1;
    }
    find_links(&lookup, marks);
    Py_END_ALLOW_THREADS
    aligned_free(marks);
    return finish(&call, Py_NewRef(Py_None));
}

/* link_table(source, starts, word_starts, target, row_starts, columns, entries) -> number of entries

   source       source word of each occurrence, sorted
   starts       of each occurrence among the links
   word_starts  of each occurrence among the target words
   target       target words
   row_starts   of each source word among the entries of the table: out
   columns      target word of each entry, in the order in which they are met; there is room for
                as many as there are links: out
   entries      entry of each link: out */
static PyObject *
link_table(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"source", "i", "o", PRIVATE},      {"starts", "q", "o+", PRIVATE},
        {"word_starts", "q", "o", PRIVATE}, {"target", "i", "t", PRIVATE},
        {"row_starts", "q", "r+", WRITE},   {"columns", "i", "e", WRITE},
        {"entries", "i", "e", WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "link_table", parameters)) {
        return NULL;
    }
    const int32_t *source = call.data[0], *target = call.data[3];
    const ptrdiff_t n = SIZE(call, 'o'), n_words = SIZE(call, 't'), n_rows = SIZE(call, 'r');
    if (!check_starts(&call, call.data[1], n, SIZE(call, 'e'), call.data[2], n_words)) {
        return NULL;
    }
    ptrdiff_t n_columns = 1;
    int fits = SIZE(call, 'e') < INT32_MAX;
    for (ptrdiff_t j = 0; fits && j < n_words; j++) {
        fits = target[j] >= 0 && target[j] < INT32_MAX;
        n_columns = target[j] >= n_columns ? (ptrdiff_t)target[j] + 1 : n_columns;
    }
    for (ptrdiff_t o = 0; fits && o < n; o++) {
        fits = source[o] >= (o ? source[o - 1] : 0) && source[o] < n_rows;
    }
    if (!fits) {
        refuse(&call, PyExc_ValueError, "there must be words of the table, sorted by source word");
        return NULL;
    }
    int32_t *marks = aligned_memory((size_t)n_columns, sizeof(int32_t));
    if (marks == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    ptrdiff_t n_entries;
    Py_BEGIN_ALLOW_THREADS
    for (ptrdiff_t t = 0; t < n_columns; t++) {
        marks[t] = -1;
    }
    n_entries = build_table(source, call.data[1], call.data[2], target, n_rows, n, call.data[4],
                            call.data[5], call.data[6], marks);
    Py_END_ALLOW_THREADS
    aligned_free(marks);
    return finish(&call, PyLong_FromSsize_t(n_entries));
}
