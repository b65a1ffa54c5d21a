/* Vectors of float32 in the width of the processor, and what is done with them. */
#ifndef ECDC_NATIVE_H
#define ECDC_NATIVE_H

#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#else
#define LANES 4
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

INLINE vec load(const float *from)
{
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vec v)
{
    memcpy(to, &v, sizeof v);
}

INLINE vec spread(float x)
{
    return x - (vec){0};
}

/* The first `count` lanes only. */
INLINE void store_part(float *to, vec v, int64_t count)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)v);
#else
    if (count == LANES) {
        store(to, v);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        to[i] = v[i];
#endif
}

/* a b + c, rounded once where the processor can: then results do not depend on the vector's width. */
INLINE vec fused(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* `a` where the mask's bits are set, `b` elsewhere. */
INLINE vec chosen(ivec mask, vec a, vec b)
{
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

INLINE vec least(vec a, vec b)
{
    return chosen(a < b, a, b);
}

INLINE vec greatest(vec a, vec b)
{
    return chosen(a > b, a, b);
}

/* Whether any lane is below the limit. */
INLINE int any_below(vec v, float limit)
{
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(limit), _CMP_LT_OQ) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)(v < limit)) != 0;
#else
    ivec mask = v < limit;
    return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

#endif
