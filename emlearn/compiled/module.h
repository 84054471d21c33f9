/* The Python module of one instruction set: _base, _v3 or _v4.

   Each has the same functions, built with other flags of the compiler and other vectors;
   `level` tells which of them this processor can run. */

#if !defined(__GNUC__)
#error "the kernels need the vector extensions of GCC or Clang"
#endif
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wpsabi"

#include "arrays.h"

#include <math.h>

#include "precisions.h"

/* level() -> name of the best module for this processor */
static PyObject *
level(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arguments))
{
    const char *name = "base";
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2")) {
        name = "v3";
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd")) {
            name = "v4";
        }
    }
#endif
    return PyUnicode_FromString(name);
}

#include "lookup.h"
#include "normalize.h"

#include "chain_careful.h"

#include "chain.h"

#include "chains.h"

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef methods[] = {
    {"level", level, METH_NOARGS, NULL},
    METHOD(lookup_add),
    METHOD(lookup_sum),
    METHOD(normalize),
    METHOD(smooth_chains),
    METHOD(most_probable_paths),
    {NULL, NULL, 0, NULL},
};

#define TEXT_(level) "_" #level
#define TEXT(level) TEXT_(level)
#define INIT_(level) PyInit__##level
#define INIT(level) INIT_(level)

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = TEXT(LEVEL), .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
INIT(LEVEL)(void)
{
    return PyModule_Create(&definition);
}
