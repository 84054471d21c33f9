/* Vectors of one instruction set and precision, and their exponentials and logarithms. */

#undef LANES
#undef VEC
#undef IVEC
#undef UVEC
#undef UNALIGNED
#define VEC FN(vec)
#define IVEC FN(ivec)
#define UVEC FN(uvec)
#define UNALIGNED FN(unaligned)
#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(REAL)))

typedef REAL VEC __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef INTEGER IVEC __attribute__((vector_size(VECTOR_BYTES), may_alias));
/* For sums of bits that may overflow. */
typedef UNSIGNED UVEC __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef REAL UNALIGNED __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE VEC
FN(load)(const REAL *from)
{
    return *(const UNALIGNED *)from;
}

INLINE void
FN(store)(REAL *to, VEC value)
{
    *(UNALIGNED *)to = value;
}

INLINE VEC
FN(broadcast)(REAL value)
{
    return value - (VEC){0};
}

/* `yes` where the mask is set, `no` elsewhere. */
INLINE VEC
FN(select)(IVEC mask, VEC yes, VEC no)
{
    return (VEC)(((IVEC)yes & mask) | ((IVEC)no & ~mask));
}

INLINE VEC
FN(larger)(VEC a, VEC b)
{
    return FN(select)(a > b, a, b);
}

/* Halves are added until one number is left. */
INLINE REAL
FN(sum_lanes)(VEC v)
{
    REAL parts[VECTOR_BYTES / sizeof(REAL)];
    memcpy(parts, &v, sizeof v);
    UNROLL
    for (ptrdiff_t width = LANES / 2; width > 0; width /= 2) {
        UNROLL
        for (ptrdiff_t i = 0; i < width; i++) {
            parts[i] += parts[i + width];
        }
    }
    return parts[0];
}

/* exp(x) for x up to 700 (80 in single precision); 0 where it is below the normal numbers.

   x = n log 2 + r with |r| <= log(2)/2, and exp(r) by its Taylor series (13 terms, or 7),
   which is accurate to the last digit but one there. Adding and subtracting a large number
   rounds to n and leaves n in the last bits of the sum. */
INLINE VEC
FN(exp)(VEC x)
{
#if IS_DOUBLE
    const REAL lowest = -708.0, magic = 6755399441055744.0;
    const REAL log2_high = 0x1.62e42fefa3800p-1, log2_low = 0x1.ef35793c76730p-45;
    const int mantissa = 52;
#else
    const REAL lowest = -87.0f, magic = 12582912.0f;
    const REAL log2_high = 0x1.62e400p-1f, log2_low = 0x1.7f7d1cp-20f;
    const int mantissa = 23;
#endif
    const IVEC under = ~(x >= lowest);
    x = FN(select)(under, FN(broadcast)(lowest), x);
    const VEC shifted = x * (REAL)1.4426950408889634 + magic;
    const VEC n = shifted - magic;
    const VEC r = (x - n * log2_high) - n * log2_low;
#if IS_DOUBLE
    /* Even and odd halves of the series side by side: a shorter chain. */
    const VEC s = r * r;
    VEC even = s * (1.0 / 479001600.0) + 1.0 / 3628800.0;
    VEC odd = s * (1.0 / 6227020800.0) + 1.0 / 39916800.0;
    even = even * s + 1.0 / 40320.0;
    odd = odd * s + 1.0 / 362880.0;
    even = even * s + 1.0 / 720.0;
    odd = odd * s + 1.0 / 5040.0;
    even = even * s + 1.0 / 24.0;
    odd = odd * s + 1.0 / 120.0;
    even = even * s + 0.5;
    odd = odd * s + 1.0 / 6.0;
    even = even * s + 1.0;
    odd = odd * s + 1.0;
    const VEC p = odd * r + even;
#else
    VEC p = r * (1.0f / 5040.0f) + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
#endif
    const IVEC scaled = (IVEC)((UVEC)p + ((UVEC)shifted << mantissa));
    return (VEC)(scaled & ~under);
}

/* log(x) for positive normal x: x = 2^e m with m within a factor sqrt(2) of 1, and
   log m = 2 artanh((m - 1) / (m + 1)) by its series. */
INLINE VEC
FN(log)(VEC x)
{
#if IS_DOUBLE
    const INTEGER half_root = 0x3fe6a09e667f3bcd;
    const int mantissa = 52;
#else
    const INTEGER half_root = 0x3f3504f3;
    const int mantissa = 23;
#endif
    const IVEC above = (IVEC)((UVEC)x - (UNSIGNED)half_root);
    const IVEC exponent = above >> mantissa;
    const VEC m = (VEC)((above & (((INTEGER)1 << mantissa) - 1)) + half_root);
#if IS_DOUBLE
    const VEC e = (VEC)(exponent + 0x4338000000000000) - 6755399441055744.0;
#else
    const VEC e = (VEC)(exponent + 0x4b400000) - 12582912.0f;
#endif
    const VEC f = (m - (REAL)1) / (m + (REAL)1);
    const VEC s = f * f;
#if IS_DOUBLE
    VEC p = s * (2.0 / 23.0) + 2.0 / 21.0;
    p = p * s + 2.0 / 19.0;
    p = p * s + 2.0 / 17.0;
    p = p * s + 2.0 / 15.0;
    p = p * s + 2.0 / 13.0;
    p = p * s + 2.0 / 11.0;
    p = p * s + 2.0 / 9.0;
    p = p * s + 2.0 / 7.0;
    p = p * s + 2.0 / 5.0;
    p = p * s + 2.0 / 3.0;
    return e * 0.6931471805599453 + (p * s * f + 2.0 * f);
#else
    VEC p = s * (2.0f / 9.0f) + 2.0f / 7.0f;
    p = p * s + 2.0f / 5.0f;
    p = p * s + 2.0f / 3.0f;
    return e * 0.69314718f + (p * s * f + 2.0f * f);
#endif
}
