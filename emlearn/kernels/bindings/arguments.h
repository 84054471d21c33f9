/* Tables of the arguments of compiled functions, and the reader of these tables.

   A table has one row for each argument: its name, the kinds of numbers that it may hold, and its
   shape. All checks follow from these. Errors name the argument. Builds with a GIL use only
   Python's limited API (3.11), so that one build serves all versions; free-threaded builds have
   no limited API. */

#ifndef EMLEARN_ARGUMENTS_H
#define EMLEARN_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "memory.h"

#define MAX_ARGUMENTS 17

enum {
    READ = 0,
    WRITE = 1,    /* the function writes to it */
    STRIDED = 2,  /* any strides; all others are C-contiguous */
    OPTIONAL = 4, /* None stands for no array */
    PRIVATE = 8,  /* copied: numbers that are checked must not change before they are used */
};

/* One argument.

   kinds   letters of the kinds of numbers: d float64, f float32, i int32, q int64, H uint16,
           ? bool. If there are two, the one that is found is the kind of the call, which "="
           then requires. "#" is a float instead of an array.
   shape   one letter for each dimension: equal letters are equal sizes, capitals are at least
           1, "n+" is n + 1. "|" separates alternatives with other numbers of dimensions. */
typedef struct {
    const char *name, *kinds, *shape;
    int access;
} Parameter;

/* The arguments of a call that have been read so far. */
typedef struct {
    const char *function;
    int n_read;
    char kind;
    ptrdiff_t sizes['z' - 'A' + 1];
    Py_buffer views[MAX_ARGUMENTS];
    void *copies[MAX_ARGUMENTS];
    void *data[MAX_ARGUMENTS]; /* NULL for None */
    double number[MAX_ARGUMENTS];
} Call;

#define SIZE(call, letter) ((call).sizes[(letter) - 'A'])

static void
release(Call *call)
{
    while (call->n_read > 0) {
        call->n_read--;
        free(call->copies[call->n_read]);
        PyBuffer_Release(&call->views[call->n_read]);
    }
}

/* Releases the arguments and returns `result`. */
static PyObject *
finish(Call *call, PyObject *result)
{
    release(call);
    return result;
}

/* None, or MemoryError if the status is not 0. */
static PyObject *
nothing_or_no_memory(int status)
{
    return status == 0 ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

/* The kind of a buffer's numbers; 0 if it is not supported. */
static inline char
kind_of(const Py_buffer *view)
{
    const char *format = view->format ? view->format : "B";
    if (*format == '@' || *format == '=' || *format == (PY_LITTLE_ENDIAN ? '<' : '>')) {
        format++;
    }
    if (format[0] == '\0' || format[1] != '\0') {
        return 0;
    }
    switch (format[0]) {
    case 'd': return view->itemsize == 8 ? 'd' : 0;
    case 'f': return view->itemsize == 4 ? 'f' : 0;
    case 'i':
    case 'l':
    case 'q': return view->itemsize == 8 ? 'q' : view->itemsize == 4 ? 'i' : 0;
    case 'H': return view->itemsize == 2 ? 'H' : 0;
    case '?': return view->itemsize == 1 ? '?' : 0;
    default: return 0;
    }
}

static const char *
name_of(char kind)
{
    switch (kind) {
    case 'd': return "float64";
    case 'f': return "float32";
    case 'i': return "int32";
    case 'q': return "int64";
    case 'H': return "uint16";
    default: return "bool";
    }
}

/* Whether the numbers are of one of the kinds and aligned, and C-contiguous where they have to
   be. */
static int
check_numbers(Call *call, const Parameter *parameter, const Py_buffer *view)
{
    const char kind = kind_of(view);
    const char own[2] = {call->kind, '\0'};
    const char *kinds = parameter->kinds[0] == '=' ? own : parameter->kinds;
    if (kind == 0 || strchr(kinds, kind) == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s: %s must be an array of %s%s in native byte order, not of format '%s'",
                     call->function, parameter->name, name_of(kinds[0]),
                     kinds[1] ? " or float32" : "", view->format ? view->format : "B");
        return 0;
    }
    if (kinds[1] != '\0') {
        call->kind = kind;
    }
    if (view->strides == NULL && parameter->access & STRIDED) {
        PyErr_Format(PyExc_ValueError, "%s: expected %s to have strides; copy it first",
                     call->function, parameter->name);
        return 0;
    }
    for (int i = 0; i < view->ndim; i++) {
        if (view->shape[i] == 0) {
            return 1;
        }
    }
    uintptr_t address = (uintptr_t)view->buf;
    ptrdiff_t stride = view->itemsize;
    int contiguous = 1;
    /* ctypes gives no strides for contiguous rows. */
    for (int i = view->ndim - 1; i >= 0 && view->strides != NULL; i--) {
        if (view->shape[i] > 1) {
            address |= (uintptr_t)view->strides[i];
            contiguous &= view->strides[i] == stride;
            stride *= contiguous ? view->shape[i] : 1;
        }
    }
    if (address % (uintptr_t)view->itemsize != 0) {
        PyErr_Format(PyExc_ValueError, "%s: expected %s to be aligned in memory; copy it first",
                     call->function, parameter->name);
        return 0;
    }
    if (!contiguous && !(parameter->access & STRIDED)) {
        PyErr_Format(PyExc_ValueError, "%s: expected %s to be C-contiguous; copy it first",
                     call->function, parameter->name);
        return 0;
    }
    return 1;
}

/* The part of the shape's description with this number of dimensions; NULL if there is none. */
static const char *
find_shape(const char *shape, int ndim)
{
    while (1) {
        int n = 0;
        const char *end = shape;
        for (; *end != '\0' && *end != '|'; end++) {
            n += *end != '+';
        }
        if (n == ndim) {
            return shape;
        }
        if (*end == '\0') {
            return NULL;
        }
        shape = end + 1;
    }
}

static int
check_shape(Call *call, const Parameter *parameter, const Py_buffer *view)
{
    const char *letter = find_shape(parameter->shape, view->ndim);
    if (letter == NULL) {
        PyErr_Format(PyExc_TypeError, "%s: %s has %d dimensions where it must have (%s)",
                     call->function, parameter->name, view->ndim, parameter->shape);
        return 0;
    }
    for (int i = 0; i < view->ndim; i++, letter++) {
        ptrdiff_t *known = &SIZE(*call, *letter), size = view->shape[i];
        const int capital = *letter <= 'Z', more = letter[1] == '+';
        if (size < capital + more) {
            PyErr_Format(PyExc_TypeError, "%s: %s has only %zd entries along dimension %d",
                         call->function, parameter->name, size, i);
            return 0;
        }
        size -= more;
        if (*known < 0) {
            *known = size;
        } else if (*known != size) {
            PyErr_Format(PyExc_TypeError,
                         "%s: %s has %zd entries along dimension %d where the other arguments "
                         "have %zd",
                         call->function, parameter->name, size + more, i, *known + more);
            return 0;
        }
        letter += more;
    }
    return 1;
}

static int
read_array(Call *call, const Parameter *parameter, PyObject *argument, int i)
{
    Py_buffer *view = &call->views[i];
    const int write = parameter->access & WRITE ? PyBUF_WRITABLE : 0;
    if (PyObject_GetBuffer(argument, view, PyBUF_STRIDES | PyBUF_FORMAT | write) < 0) {
        view->obj = NULL;
        return 0;
    }
    if (!check_shape(call, parameter, view) || !check_numbers(call, parameter, view)) {
        return 0;
    }
    call->data[i] = view->buf;
    if (parameter->access & PRIVATE) {
        call->copies[i] = malloc((size_t)view->len + 1);
        if (call->copies[i] == NULL) {
            PyErr_NoMemory();
            return 0;
        }
        if (view->len > 0) {
            memcpy(call->copies[i], view->buf, (size_t)view->len);
        }
        call->data[i] = call->copies[i];
    }
    return 1;
}

/* Reads the arguments of a call. Returns whether they are as described; if not, an exception is
   set and there is nothing to release. */
static int
read_arguments(Call *call, const char *function, const Parameter *parameters, int n,
               PyObject *const *arguments, Py_ssize_t n_given)
{
    call->function = function;
    call->n_read = 0;
    call->kind = 'd';
    memset(call->sizes, 0xff, sizeof call->sizes);
    if (n_given != n) {
        PyErr_Format(PyExc_TypeError, "%s: expected %d arguments, got %zd", function, n, n_given);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        int valid = 1;
        call->views[i].obj = NULL;
        call->copies[i] = NULL;
        call->data[i] = NULL;
        call->n_read = i + 1;
        if (parameters[i].kinds[0] == '#') {
            call->number[i] = PyFloat_AsDouble(arguments[i]);
            valid = call->number[i] != -1.0 || PyErr_Occurred() == NULL;
        } else if (arguments[i] != Py_None || !(parameters[i].access & OPTIONAL)) {
            valid = read_array(call, &parameters[i], arguments[i], i);
        }
        if (!valid) {
            release(call);
            return 0;
        }
    }
    return 1;
}

/* Defines a Python function with arguments of these names. */
#define READ_ARGUMENTS(call, function, parameters) \
    read_arguments(call, function, parameters, (int)(sizeof parameters / sizeof *parameters), \
                   arguments, n_arguments)

/* Sets an exception: arguments do not fit each other. Returns 0. */
static int
refuse(Call *call, PyObject *exception, const char *message)
{
    PyErr_Format(exception, "%s: %s", call->function, message);
    release(call);
    return 0;
}

#endif
