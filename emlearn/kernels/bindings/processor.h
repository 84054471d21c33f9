/* Which of the builds this processor can run. This calls the instruction `cpuid` directly,
   because the builtin of the compilers is not available with Clang on Windows. */

#ifndef EMLEARN_PROCESSOR_H
#define EMLEARN_PROCESSOR_H

#if defined(__x86_64__)
#include <cpuid.h>

/* Registers that the operating system saves, as bits: 1, 2 the vectors of AVX, 5 to 7 those
   of AVX-512. */
static inline unsigned
saved_registers(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

static inline const char *
processor_level(void)
{
#if defined(__x86_64__)
    /* Of leaf 1: FMA, MOVBE, OSXSAVE, AVX, F16C. Of leaf 7: BMI1, AVX2, BMI2; AVX512F, DQ, CD,
       BW, VL. Of the extended leaf: LZCNT. */
    const unsigned leaf_1 = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
    const unsigned v3 = 1u << 3 | 1u << 5 | 1u << 8;
    const unsigned v4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & leaf_1) != leaf_1 ||
        !__get_cpuid(0x80000001u, &a, &b, &c, &d) || !(c & 1u << 5) ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & v3) != v3 ||
        (saved_registers() & 0x6) != 0x6) {
        return "base";
    }
    return (b & v4) == v4 && (saved_registers() & 0xe0) == 0xe0 ? "v4" : "v3";
#else
    return "base";
#endif
}

#endif
