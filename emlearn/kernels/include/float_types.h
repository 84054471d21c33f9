/* Includes the kernels in double and in single precision.

   A kernel writes its functions with FN(name), REAL and the vectors of simd.h; KERNEL(name, kind)
   is then the variant for numbers of the kind 'd' or 'f'. Nothing here knows Python. */

#if !defined(__GNUC__)
#error "the kernels need the vector extensions of GCC or Clang"
#endif

#include <math.h>

#include "memory.h"

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll_count(8)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#define GLUE_(name, suffix) name##_##suffix
#define GLUE(name, suffix) GLUE_(name, suffix)
#define FN(name) GLUE(name, SUFFIX)
#define KERNEL(name, kind) ((kind) == 'd' ? name##_d : name##_f)

#define REAL double
#define INTEGER int64_t
#define UNSIGNED uint64_t
#define SUFFIX d
#define IS_DOUBLE 1
#include "simd.h"
#include "softmax_kernels.h"
#include "gaussian_kernels.h"
#include "gaussian_moments_kernels.h"
#include "columns_kernels.h"
#include "blocks_kernels.h"
#include "gaussian_missing_kernels.h"
#include "general_location_kernels.h"
#include "potts_kernels.h"
#undef REAL
#undef INTEGER
#undef UNSIGNED
#undef SUFFIX
#undef IS_DOUBLE

#define REAL float
#define INTEGER int32_t
#define UNSIGNED uint32_t
#define SUFFIX f
#define IS_DOUBLE 0
#include "simd.h"
#include "softmax_kernels.h"
#include "gaussian_kernels.h"
#include "gaussian_moments_kernels.h"
#include "columns_kernels.h"
#include "potts_kernels.h"
#undef REAL
#undef INTEGER
#undef UNSIGNED
#undef SUFFIX
#undef IS_DOUBLE

#include "alignment_kernels.h"
#include "categorical_kernels.h"
#include "cholesky_kernels.h"
#include "clusters_kernels.h"
#include "quads.h"
#include "hmm_log_kernels.h"
#include "hmm_kernels.h"
#include "projection_kernels.h"
#include "sparse_kernels.h"
#include "state_space_covariance_kernels.h"
#include "state_space_mean_kernels.h"
#include "state_space_backward_kernels.h"
#include "state_space_kernels.h"
#include "topic_kernels.h"
