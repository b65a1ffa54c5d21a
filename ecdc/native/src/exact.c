/* The products of exact.h. */
#include "exact.h"

#include <stdlib.h>

#define LIMIT 32767
/* Rows whose sums stay in registers, with two vectors of columns. */
#define TALL 6

int prepare_linear(Linear *l)
{
    int64_t pairs = (l->in + 1) / 2, panels = (l->out + LANES - 1) / LANES;
    l->packed = calloc((size_t)(panels * pairs * 2 * LANES), 1);
    if (!l->packed)
        return 0;
    l->narrow = 1;
    for (int64_t n = 0; n < l->out; n++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < l->in; k++) {
            int8_t w = l->weight[n * l->in + k];
            sum += w < 0 ? -w : w;
            l->packed[((n / LANES * pairs + k / 2) * LANES + n % LANES) * 2 + k % 2] = w;
        }
        if (sum * LIMIT > INT32_MAX)
            l->narrow = 0;
    }
    return 1;
}

/* As add_pairs, with weights of 8 bits. */
INLINE ivec add_weights(ivec sum, int32_t pair, const int8_t *w)
{
#if defined(__AVX512VNNI__)
    __m512i wide = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w));
    return (ivec)_mm512_dpwssd_epi32((__m512i)sum, _mm512_set1_epi32(pair), wide);
#elif defined(__AVX2__)
    __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w));
    return sum + (ivec)_mm256_madd_epi16(_mm256_set1_epi32(pair), wide);
#elif defined(__SSE2__)
    __m128i bytes = _mm_loadl_epi64((const __m128i *)w);
    __m128i wide = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
    return sum + (ivec)_mm_madd_epi16(_mm_set1_epi32(pair), wide);
#else
    int16_t wide[2 * LANES];
    for (int i = 0; i < 2 * LANES; i++)
        wide[i] = w[i];
    return add_pairs(sum, pair, wide);
#endif
}

/* Sums of `rows` rows for two vectors of columns. */
INLINE void tile(const Linear *l, const int16_t *x, int64_t width, int64_t column, int64_t columns, double *out,
                 int64_t stride, const int rows)
{
    int64_t pairs = width / 2;
    const int8_t *w0 = l->packed + column / LANES * pairs * 2 * LANES;
    const int8_t *w1 = column + LANES < columns ? w0 + pairs * 2 * LANES : w0;
    ivec sum[TALL][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = (ivec){0};
    for (int64_t k = 0; k < pairs; k++) {
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            int32_t pair = pair_at(x + i * width + 2 * k);
            sum[i][0] = add_weights(sum[i][0], pair, w0 + k * 2 * LANES);
            sum[i][1] = add_weights(sum[i][1], pair, w1 + k * 2 * LANES);
        }
    }
    int64_t end = columns - column < 2 * LANES ? columns - column : 2 * LANES;
    for (int i = 0; i < rows; i++) {
        int32_t sums[2 * LANES];
        memcpy(sums, sum[i], sizeof sums);
        double *to = out + i * stride + column;
        const double *scale = l->scale + column, *bias = l->bias + column;
        if (end == 2 * LANES) {
            for (int64_t n = 0; n < 2 * LANES; n++)
                to[n] = (double)sums[n] * scale[n] + bias[n];
        } else {
            for (int64_t n = 0; n < end; n++)
                to[n] = (double)sums[n] * scale[n] + bias[n];
        }
    }
}

/* Any integers, whose sums float64 holds. */
static void affine_wide(const Linear *l, const double *in, int64_t rows, int64_t columns, double *out)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t n = 0; n < columns; n++) {
            double sum = 0;
            for (int64_t k = 0; k < l->in; k++)
                sum += in[row * l->in + k] * l->weight[n * l->in + k];
            out[row * columns + n] = sum * l->scale[n] + l->bias[n];
        }
}

void affine(const Linear *l, const double *in, int64_t rows, int64_t columns, double *out, int16_t *work)
{
    int64_t width = (l->in + 1) / 2 * 2;
    int fits = l->narrow != 0;
    for (int64_t row = 0; row < rows; row++) {
        const double *x = in + row * l->in;
        int16_t *to = work + row * width;
        int beyond = 0;
        for (int64_t k = 0; k < l->in; k++) {
            int32_t value = (int32_t)x[k];
            beyond |= value > LIMIT || value < -LIMIT;
            to[k] = (int16_t)value;
        }
        if (width > l->in)
            to[l->in] = 0;
        fits &= !beyond;
    }
    if (!fits) {
        affine_wide(l, in, rows, columns, out);
        return;
    }
    for (int64_t column = 0; column < columns; column += 2 * LANES) {
        int64_t row = 0;
        for (; row + TALL <= rows; row += TALL)
            tile(l, work + row * width, width, column, columns, out + row * columns, columns, TALL);
        for (; row + 2 <= rows; row += 2)
            tile(l, work + row * width, width, column, columns, out + row * columns, columns, 2);
        for (; row < rows; row++)
            tile(l, work + row * width, width, column, columns, out + row * columns, columns, 1);
    }
}
