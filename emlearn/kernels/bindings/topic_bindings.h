/* topic_step(starts, words, counts, documents, topics, weight, document_sums, values, word_sums)

   The mixture of an entry is the product of the numbers of its document and of its word, summed
   over the topics.

   starts         of each document among the entries
   words          column of each entry
   counts         of each entry
   documents      (documents, topics); the number of topics is a multiple of 8
   topics         (words, topics)
   weight         of each document, or None for 1 each
   document_sums  sums of count / mixture x topics over the words of a document: out
   values         sums of counts x log(mixture) over the words of a document; -inf if a mixture
                  is 0: out
   word_sums      sums of weight x count / mixture x documents are added to it; or None */
static PyObject *
topic_step(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"starts", "q", "d+", PRIVATE},   {"words", "i", "e", PRIVATE},
        {"counts", "d", "e", READ},       {"documents", "d", "dK", READ},
        {"topics", "d", "vK", READ},      {"weight", "d", "d", OPTIONAL},
        {"document_sums", "d", "dK", WRITE}, {"values", "d", "d", WRITE},
        {"word_sums", "d", "vK", OPTIONAL | WRITE},
    };
    Call call;
    if (!READ_ARGUMENTS(&call, "topic_step", parameters)) {
        return NULL;
    }
    const int64_t *starts = call.data[0];
    const int32_t *words = call.data[1];
    const ptrdiff_t n = SIZE(call, 'd'), n_words = SIZE(call, 'v'), n_topics = SIZE(call, 'K');
    if (n_topics % 8 != 0) {
        refuse(&call, PyExc_ValueError, "the number of topics must be a multiple of 8");
        return NULL;
    }
    int fits = starts[0] == 0 && starts[n] == SIZE(call, 'e');
    for (ptrdiff_t d = 0; fits && d < n; d++) {
        fits = starts[d + 1] >= starts[d];
    }
    for (ptrdiff_t e = 0; fits && e < SIZE(call, 'e'); e++) {
        fits = words[e] >= 0 && words[e] < n_words;
    }
    if (!fits) {
        refuse(&call, PyExc_ValueError,
               "there must be starts that rise to the number of entries, and words with topics");
        return NULL;
    }
    double *scratch = aligned_memory(add_size(0, n_topics, 3), sizeof(double));
    if (scratch == NULL) {
        return finish(&call, PyErr_NoMemory());
    }
    const Corpus corpus = {.starts = starts, .words = words, .counts = call.data[2],
                           .documents = call.data[3], .topics = call.data[4],
                           .weight = call.data[5], .document_sums = call.data[6],
                           .values = call.data[7], .word_sums = call.data[8], .n_documents = n, .n_topics = n_topics};
    Py_BEGIN_ALLOW_THREADS
    read_corpus(&corpus, scratch);
    Py_END_ALLOW_THREADS
    aligned_free(scratch);
    return finish(&call, Py_NewRef(Py_None));
}
