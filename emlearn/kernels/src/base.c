/* The kernels for any processor. */

#define LEVEL base
#define VECTOR_BYTES 32
#include "module.h"
