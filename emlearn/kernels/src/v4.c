/* The kernels for x86-64 processors with AVX-512. */

#define LEVEL v4
#define VECTOR_BYTES 64
#include "module.h"
