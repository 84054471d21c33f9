/* The kernels for x86-64 processors with AVX2 and FMA. */

#define LEVEL v3
#define VECTOR_BYTES 32
#include "module.h"
