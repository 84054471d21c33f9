/* E-step of probabilistic latent semantic analysis, over the words of each document; in double
   precision.

   There are n_topics numbers, a multiple of 8, of each document and of each word: the first ones
   are probabilities or powers of them, the last ones may be zeros. A word that is in a document
   has the mixture sum_k document_k word_k there. */

#ifndef EMLEARN_TOPIC_H
#define EMLEARN_TOPIC_H

/* Words of a document that are worked on at once, so that their numbers stay in the cache. */
#define TOPIC_CHUNK 128
/* Words ahead of the present one that are fetched into the cache. */
#define TOPIC_AHEAD 4

typedef struct {
    const int64_t *starts; /* of each document among the entries */
    const int32_t *words;  /* of each entry */
    const double *counts;  /* of each entry */
    const double *documents, *topics;
    const double *weight; /* of each document, or NULL */
    double *document_sums, *values;
    double *word_sums; /* or NULL */
    ptrdiff_t n_documents, n_topics;
} Corpus;

INLINE void
fetch_row(const double *row, ptrdiff_t n, const int write)
{
    for (ptrdiff_t k = 0; k < n; k += 8) {
        if (write) {
            __builtin_prefetch(row + k, 1);
        } else {
            __builtin_prefetch(row + k, 0);
        }
    }
}

/* Mixtures of `size` words of a document. */
INLINE void
mix_words(const double *document, const double *topics, const int32_t *words, ptrdiff_t size,
          ptrdiff_t n, double *mixture)
{
    for (ptrdiff_t e = 0; e < size; e++) {
        const double *word = topics + (ptrdiff_t)words[e] * n;
        if (e + TOPIC_AHEAD < size) {
            fetch_row(topics + (ptrdiff_t)words[e + TOPIC_AHEAD] * n, n, 0);
        }
        vec_d first = {0}, second = {0};
        for (ptrdiff_t k = 0; k < n; k += 8) {
            first += load_d(document + k) * load_d(word + k);
            if (sizeof(vec_d) < 64) {
                second += load_d(document + k + 4) * load_d(word + k + 4);
            }
        }
        mixture[e] = sum_lanes_d(first + second);
    }
}

/* Mixtures become counts / mixture; the sum of counts x log(mixture) is returned. A word with
   the mixture 0 makes it -inf. */
INLINE double
divide_counts(const double *counts, ptrdiff_t size, double *mixture)
{
    const ptrdiff_t lanes = (ptrdiff_t)(sizeof(vec_d) / sizeof(double));
    double padded[sizeof(vec_d) / sizeof(double)] = {0};
    vec_d total = {0};
    int impossible = 0;
    for (ptrdiff_t e = 0; e < size; e += lanes) {
        vec_d count;
        if (e + lanes <= size) {
            count = load_d(counts + e);
        } else {
            memcpy(padded, counts + e, (size_t)(size - e) * sizeof(double));
            count = load_d(padded);
            for (ptrdiff_t i = size; i < e + lanes; i++) {
                mixture[i] = 1.0;
            }
        }
        for (ptrdiff_t i = e; i < e + lanes; i++) {
            if (!(mixture[i] >= 2.2250738585072014e-308)) {
                impossible = 1;
                mixture[i] = INFINITY;
            }
        }
        const vec_d mixed = load_d(mixture + e);
        store_d(mixture + e, count / mixed);
        total += count * log_d(mixed);
    }
    return impossible ? -INFINITY : sum_lanes_d(total);
}

INLINE void
add_words(const double *weighted, const double *topics, const int32_t *words, const double *ratio,
          ptrdiff_t size, ptrdiff_t n, double *document_sums, double *word_sums)
{
    const ptrdiff_t lanes = (ptrdiff_t)(sizeof(vec_d) / sizeof(double));
    for (ptrdiff_t e = 0; e < size; e++) {
        const double *word = topics + (ptrdiff_t)words[e] * n;
        double *sums = word_sums + (ptrdiff_t)words[e] * n;
        if (e + TOPIC_AHEAD < size) {
            fetch_row(word_sums + (ptrdiff_t)words[e + TOPIC_AHEAD] * n, n, 1);
        }
        const vec_d factor = broadcast_d(ratio[e]);
        for (ptrdiff_t k = 0; k < n; k += lanes) {
            store_d(document_sums + k, load_d(document_sums + k) + factor * load_d(word + k));
            store_d(sums + k, load_d(sums + k) + factor * load_d(weighted + k));
        }
    }
}

INLINE void
add_to_document(const double *topics, const int32_t *words, const double *ratio, ptrdiff_t size,
                ptrdiff_t n, double *document_sums)
{
    const ptrdiff_t lanes = (ptrdiff_t)(sizeof(vec_d) / sizeof(double));
    for (ptrdiff_t e = 0; e < size; e++) {
        const double *word = topics + (ptrdiff_t)words[e] * n;
        const vec_d factor = broadcast_d(ratio[e]);
        for (ptrdiff_t k = 0; k < n; k += lanes) {
            store_d(document_sums + k, load_d(document_sums + k) + factor * load_d(word + k));
        }
    }
}

/* See topic_bindings.h. `scratch` has 3 n numbers, aligned to vectors. */
INLINE void
read_documents(const Corpus *corpus, double *scratch, ptrdiff_t n)
{
    double mixture[TOPIC_CHUNK + 8];
    double *document = scratch, *weighted = scratch + n, *sums = scratch + 2 * n;
    for (ptrdiff_t d = 0; d < corpus->n_documents; d++) {
        const double weight = corpus->weight ? corpus->weight[d] : 1.0;
        double value = 0.0;
        for (ptrdiff_t k = 0; k < n; k++) {
            document[k] = corpus->documents[d * n + k];
            weighted[k] = weight * document[k];
            sums[k] = 0.0;
        }
        for (int64_t start = corpus->starts[d]; start < corpus->starts[d + 1];
             start += TOPIC_CHUNK) {
            const int64_t left = corpus->starts[d + 1] - start;
            const ptrdiff_t size = left < TOPIC_CHUNK ? (ptrdiff_t)left : TOPIC_CHUNK;
            const int32_t *words = corpus->words + start;
            mix_words(document, corpus->topics, words, size, n, mixture);
            value += divide_counts(corpus->counts + start, size, mixture);
            if (corpus->word_sums) {
                add_words(weighted, corpus->topics, words, mixture, size, n, sums,
                          corpus->word_sums);
            } else {
                add_to_document(corpus->topics, words, mixture, size, n, sums);
            }
        }
        for (ptrdiff_t k = 0; k < n; k++) {
            corpus->document_sums[d * n + k] = sums[k];
        }
        corpus->values[d] = value;
    }
}

static void
read_corpus(const Corpus *corpus, double *scratch)
{
    /* With constants the sums of a document stay in registers. */
    switch (corpus->n_topics) {
    case 8: read_documents(corpus, scratch, 8); break;
    case 16: read_documents(corpus, scratch, 16); break;
    case 24: read_documents(corpus, scratch, 24); break;
    case 32: read_documents(corpus, scratch, 32); break;
    case 56: read_documents(corpus, scratch, 56); break;
    default: read_documents(corpus, scratch, corpus->n_topics);
    }
}

#endif
