/* Arguments of the compiled functions: arrays through the buffer protocol.

   Only names of Python's limited API (3.11) are used, so that one build serves all versions. */

#ifndef EMLEARN_ARRAYS_H
#define EMLEARN_ARRAYS_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARRAYS 16

/* Arrays held during one call; `release` lets go of all of them. */
typedef struct {
    Py_buffer views[MAX_ARRAYS];
    int n_held;
} Held;

static inline void
release(Held *held)
{
    while (held->n_held > 0) {
        PyBuffer_Release(&held->views[--held->n_held]);
    }
}

enum { READ = 0, WRITE = PyBUF_WRITABLE };

/* Whether a buffer holds numbers of this kind: 'd', 'f', or 'q' for an int of 64 bits. */
static inline int
is_kind(const Py_buffer *view, char kind)
{
    const char *format = view->format;
    if (format == NULL || format[0] == '\0' || format[1] != '\0') {
        return 0;
    }
    if (kind == 'q') {
        return view->itemsize == 8 && (format[0] == 'l' || format[0] == 'q');
    }
    return format[0] == kind;
}

/* View of an array with strides. NULL, with an exception set, if it has another number of
   dimensions or another kind of numbers; `kind` 0 admits 'd' and 'f'. */
static inline const Py_buffer *
hold_strided(Held *held, PyObject *array, char kind, int ndim, int access)
{
    if (held->n_held == MAX_ARRAYS) {
        PyErr_SetString(PyExc_SystemError, "too many arrays");
        return NULL;
    }
    Py_buffer *view = &held->views[held->n_held];
    if (PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT | access) < 0) {
        return NULL;
    }
    held->n_held++;
    int fits = kind ? is_kind(view, kind) : is_kind(view, 'd') || is_kind(view, 'f');
    if (!fits || view->ndim != ndim) {
        PyErr_Format(PyExc_TypeError, "expected %d dimensions of kind '%c', got %d of '%s'", ndim,
                     kind ? kind : 'd', view->ndim, view->format);
        return NULL;
    }
    return view;
}

/* Numbers of a C-contiguous array of exactly `size` elements. */
static inline void *
hold(Held *held, PyObject *array, char kind, Py_ssize_t size, int access)
{
    if (held->n_held == MAX_ARRAYS) {
        PyErr_SetString(PyExc_SystemError, "too many arrays");
        return NULL;
    }
    Py_buffer *view = &held->views[held->n_held];
    if (PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | access) < 0) {
        return NULL;
    }
    held->n_held++;
    if (!is_kind(view, kind) || view->len != size * view->itemsize) {
        PyErr_Format(PyExc_TypeError, "expected %zd numbers of kind '%c', got %zd bytes of '%s'",
                     size, kind, view->len, view->format);
        return NULL;
    }
    return view->buf;
}

/* As `hold`, where None stands for no array; `*error` is set if there is an exception. */
static inline void *
hold_or_none(Held *held, PyObject *array, char kind, Py_ssize_t size, int access,
             int *error)
{
    if (array == Py_None) {
        return NULL;
    }
    void *numbers = hold(held, array, kind, size, access);
    *error |= numbers == NULL;
    return numbers;
}

static inline int
expect_arguments(Py_ssize_t given, Py_ssize_t expected)
{
    if (given != expected) {
        PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", expected, given);
        return 0;
    }
    return 1;
}

/* Memory aligned for any vector; to be freed with `free`. */
static inline void *
aligned(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
}

#endif
