/* Includes BODY in double and in single precision.

   BODY writes its functions with FN(name), REAL and the vectors of simd.h; KERNEL(name, kind)
   is then the variant for numbers of the kind 'd' or 'f'. */

#define GLUE_(name, suffix) name##_##suffix
#define GLUE(name, suffix) GLUE_(name, suffix)
#define FN(name) GLUE(name, SUFFIX)
#define KERNEL(name, kind) ((kind) == 'd' ? name##_d : name##_f)

#define REAL double
#define INTEGER int64_t
#define SUFFIX d
#define IS_DOUBLE 1
#include "simd.h"
#include "softmax.h"
#include "gaussian.h"
#include "sweep.h"
#include "gaussian_missing.h"
#include "tables.h"
#undef REAL
#undef INTEGER
#undef SUFFIX
#undef IS_DOUBLE

#define REAL float
#define INTEGER int32_t
#define SUFFIX f
#define IS_DOUBLE 0
#include "simd.h"
#include "softmax.h"
#include "gaussian.h"
#include "tables.h"
#undef REAL
#undef INTEGER
#undef SUFFIX
#undef IS_DOUBLE
