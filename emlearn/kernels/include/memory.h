/* Memory for the kernels: aligned for any vector, with sizes that cannot overflow. */

#ifndef EMLEARN_MEMORY_H
#define EMLEARN_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <malloc.h>
#endif

/* Bytes of a cache line, and of the longest vector. */
#define ALIGNMENT 64

/* total + n x m, or SIZE_MAX if that overflows. */
static inline size_t
add_size(size_t total, ptrdiff_t n, ptrdiff_t m)
{
    size_t size;
    if (__builtin_mul_overflow(n, m, &size) || __builtin_add_overflow(total, size, &size)) {
        return SIZE_MAX;
    }
    return size;
}

static inline ptrdiff_t
round_up(ptrdiff_t size, ptrdiff_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* `count` items of `size` bytes; NULL if out of memory. Free with `aligned_free`. */
static inline void *
aligned_memory(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 2 * ALIGNMENT) {
        return NULL;
    }
    bytes = bytes / ALIGNMENT * ALIGNMENT + ALIGNMENT;
#if defined(_WIN32)
    return _aligned_malloc(bytes, ALIGNMENT);
#else
    return aligned_alloc(ALIGNMENT, bytes);
#endif
}

static inline void
aligned_free(void *memory)
{
#if defined(_WIN32)
    _aligned_free(memory);
#else
    free(memory);
#endif
}

#endif
