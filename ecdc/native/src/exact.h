/* Matrix products of the exact language model: integers of 16 bits times integers of 8, never rounded. */
#ifndef ECDC_EXACT_H
#define ECDC_EXACT_H

#include "native.h"

/* `weight`: [out][in] as given; `packed`: for products; `narrow`: sums of 16-bit inputs fit 32 bits. */
typedef struct {
    int64_t in, out, narrow;
    const int8_t *weight;
    const double *scale, *bias;
    int8_t *packed;
} Linear;

/* Packs the weights and finds whether sums fit; 0 without memory. */
int prepare_linear(Linear *linear);

/* out[row, n] = sum of in[row, k] weight[n, k], times scale, plus bias, each step rounded once: `affine` in exact.py.
   `work`: room for rows x (in + 1) integers. Only the first `columns` outputs. */
void affine(const Linear *linear, const double *in, int64_t rows, int64_t columns, double *out, int16_t *work);

/* sum + a[0] b[0] + a[1] b[1] of each lane: `pair` has the two of a in every lane, `b` two for each lane. */
INLINE ivec add_pairs(ivec sum, int32_t pair, const int16_t *b)
{
#if defined(__AVX512VNNI__)
    return (ivec)_mm512_dpwssd_epi32((__m512i)sum, _mm512_set1_epi32(pair), _mm512_loadu_si512(b));
#elif defined(__AVX2__)
    __m256i products = _mm256_madd_epi16(_mm256_set1_epi32(pair), _mm256_loadu_si256((const __m256i *)b));
    return sum + (ivec)products;
#elif defined(__SSE2__)
    return sum + (ivec)_mm_madd_epi16(_mm_set1_epi32(pair), _mm_loadu_si128((const __m128i *)b));
#else
    int16_t a[2];
    memcpy(a, &pair, sizeof a);
    for (int i = 0; i < LANES; i++)
        sum[i] += a[0] * b[2 * i] + a[1] * b[2 * i + 1];
    return sum;
#endif
}

INLINE int32_t pair_at(const int16_t *from)
{
    int32_t pair;
    memcpy(&pair, from, sizeof pair);
    return pair;
}

#endif
