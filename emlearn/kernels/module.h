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

#include "factor.h"
#include "gaussian_methods.h"
#include "gaussian_missing_methods.h"
#include "lookup.h"
#include "normalize.h"
#include "frames.h"
#include "solve_blocks.h"

#include "chain_careful.h"

#include "chain.h"

#include "chains.h"

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef methods[] = {
    {"level", level, METH_NOARGS, NULL},
    METHOD(factor),
    METHOD(gaussian_log_density),
    METHOD(gaussian_missing_log_density),
    METHOD(gaussian_missing_moments),
    METHOD(gaussian_missing_step),
    METHOD(gaussian_moments),
    METHOD(gaussian_step),
    METHOD(lookup_add),
    METHOD(lookup_sum),
    METHOD(normalize),
    METHOD(column_squares),
    METHOD(column_sums),
    METHOD(deviate),
    METHOD(restore),
    METHOD(solve_blocks),
    METHOD(standardize),
    METHOD(most_probable_paths),
    METHOD(smooth_chains),
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
