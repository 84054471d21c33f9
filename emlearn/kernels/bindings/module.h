/* The Python module of one instruction set: _base, _v3 or _v4.

   All have the same functions, built with different compiler flags and vectors. `level` names
   the best one that this processor can run. */

#include "arguments.h"

#include "float_types.h"
#include "processor.h"

/* level() -> name of the best module for this processor */
static PyObject *
level(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arguments))
{
    return PyUnicode_FromString(processor_level());
}

#include "alignment_bindings.h"
#include "blocks_bindings.h"
#include "categorical_bindings.h"
#include "cholesky_bindings.h"
#include "clusters_bindings.h"
#include "columns_bindings.h"
#include "gaussian_bindings.h"
#include "gaussian_missing_bindings.h"
#include "general_location_bindings.h"
#include "hmm_bindings.h"
#include "potts_bindings.h"
#include "projection_bindings.h"
#include "softmax_bindings.h"
#include "sparse_bindings.h"
#include "state_space_bindings.h"
#include "topic_bindings.h"

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef methods[] = {
    {"level", level, METH_NOARGS, NULL},
    METHOD(backproject_lines),
    METHOD(best_links),
    METHOD(categorical_counts),
    METHOD(categorical_log_density),
    METHOD(center_observed),
    METHOD(cholesky_counts),
    METHOD(cholesky_pattern),
    METHOD(cluster_moments),
    METHOD(column_squares),
    METHOD(column_sums),
    METHOD(count_links),
    METHOD(factorize_sparse),
    METHOD(fill_missing),
    METHOD(filter_states),
    METHOD(forward_backward),
    METHOD(gaussian_log_density),
    METHOD(gaussian_missing_log_density),
    METHOD(gaussian_missing_moments),
    METHOD(gaussian_missing_step),
    METHOD(gaussian_moments),
    METHOD(gaussian_step),
    METHOD(general_location_condition),
    METHOD(general_location_draw),
    METHOD(general_location_expect),
    METHOD(join_clusters),
    METHOD(link_table),
    METHOD(lloyd),
    METHOD(look_up_links),
    METHOD(potts_sweep),
    METHOD(precision_cholesky),
    METHOD(project_lines),
    METHOD(responsibilities),
    METHOD(seed_clusters),
    METHOD(selected_inverse),
    METHOD(smooth_states),
    METHOD(solve_blocks),
    METHOD(solve_sparse),
    METHOD(standardize),
    METHOD(sum_links),
    METHOD(topic_step),
    METHOD(viterbi),
    {NULL, NULL, 0, NULL},
};

/* Neither the module nor the kernels have state. */
static PyModuleDef_Slot slots[] = {
#if defined(Py_mod_multiple_interpreters)
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if defined(Py_mod_gil)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

#define TEXT_(level) "_" #level
#define TEXT(level) TEXT_(level)
#define INIT_(level) PyInit__##level
#define INIT(level) INIT_(level)

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = TEXT(LEVEL),
                                        .m_doc = "Compiled kernels of one instruction set.",
                                        .m_size = 0,
                                        .m_methods = methods,
                                        .m_slots = slots};

PyMODINIT_FUNC
INIT(LEVEL)(void)
{
    return PyModuleDef_Init(&definition);
}
