/* The product of product.h: tiles of rows and columns whose sums stay in registers. */
#include "product.h"

#include "activation.h"

/* Rows of a tile: with two vectors of columns, sums and weights fill the registers that there are. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define TALL 12
#else
#define TALL 6
#endif
#define LOW 4

int64_t packed_size(int64_t inputs, int64_t columns)
{
    return (columns + LANES - 1) / LANES * LANES * inputs;
}

void pack(float *to, const float *from, int64_t inputs, int64_t columns, int64_t input_stride, int64_t column_stride)
{
    for (int64_t first = 0; first < columns; first += PANEL) {
        int64_t wide = columns - first <= LANES ? LANES : PANEL;
        for (int64_t input = 0; input < inputs; input++)
            for (int64_t lane = 0; lane < wide; lane++) {
                int64_t column = first + lane;
                *to++ = column < columns ? from[input * input_stride + column * column_stride] : 0.0f;
            }
    }
}

/* Adds the products of one run of inputs, `rows` rows at `stride`, with `vectors` vectors of columns. */
INLINE const float *add_run(vec sum[TALL][2], const float *in, int64_t stride, int64_t run, const float *weight,
                            const int rows, const int vectors)
{
    for (int64_t k = 0; k < run; k++, weight += vectors * LANES) {
        vec w0 = load(weight), w1 = vectors > 1 ? load(weight + LANES) : w0;
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            vec x = spread(in[i * stride + k]);
            sum[i][0] = fused(x, w0, sum[i][0]);
            if (vectors > 1)
                sum[i][1] = fused(x, w1, sum[i][1]);
        }
    }
    return weight;
}

INLINE void finish(const Product *p, vec sum, int64_t row, int64_t column)
{
    int64_t left = p->columns - column;
    if (p->added) {
        const float *added = p->added + row * p->added_stride + column;
        if (left >= LANES) {
            sum += load(added);
        } else {
            float some[LANES] = {0};
            memcpy(some, added, left * sizeof *some);
            sum += load(some);
        }
    }
    int64_t at = row * p->out_stride + column;
    if (left >= LANES) {
        if (p->out)
            store(p->out + at, sum);
        if (p->active)
            store(p->active + at, elu(sum));
    } else {
        if (p->out)
            store_part(p->out + at, sum, left);
        if (p->active)
            store_part(p->active + at, elu(sum), left);
    }
}

INLINE void tile(const Product *p, int64_t row, int64_t column, const float *weight, const float *bias, const int rows,
                 const int vectors)
{
    vec sum[TALL][2];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        sum[i][0] = load(bias);
        if (vectors > 1)
            sum[i][1] = load(bias + LANES);
    }
    for (int64_t tap = 0; tap < p->taps; tap++)
        weight = add_run(sum, p->in + row * p->in_stride + tap * p->tap_stride, p->in_stride, p->run, weight, rows,
                         vectors);
    if (p->more)
        add_run(sum, p->other + row * p->other_stride, p->other_stride, p->more, weight, rows, vectors);
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        finish(p, sum[i][0], row + i, column);
        if (vectors > 1)
            finish(p, sum[i][1], row + i, column + LANES);
    }
}

INLINE void panel(const Product *p, int64_t column, const float *weight, const float *bias, const int vectors)
{
    int64_t row = 0;
    for (; row + TALL <= p->rows; row += TALL)
        tile(p, row, column, weight, bias, TALL, vectors);
    for (; row + LOW <= p->rows; row += LOW)
        tile(p, row, column, weight, bias, LOW, vectors);
    for (; row < p->rows; row++)
        tile(p, row, column, weight, bias, 1, vectors);
}

/* A single row: there are only as many chains of sums as vectors of columns, so that it takes four panels at once. */
static int64_t wide_row(const Product *p, int64_t inputs)
{
    int64_t column = 0;
    for (; column + 4 * PANEL <= p->columns; column += 4 * PANEL) {
        const float *weight = p->weight + column * inputs;
        vec sum[8];
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            sum[j] = p->bias ? load(p->bias + column + j * LANES) : spread(0.0f);
        for (int64_t k = 0; k < inputs; k++, weight += PANEL) {
            vec x = spread(p->in[k]);
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++)
                sum[j] = fused(x, load(weight + j / 2 * PANEL * inputs + j % 2 * LANES), sum[j]);
        }
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            finish(p, sum[j], 0, column + j * LANES);
    }
    return column;
}

void multiply(const Product *p)
{
    int64_t inputs = p->taps * p->run + p->more;
    int64_t column = p->rows == 1 && p->taps == 1 && !p->more ? wide_row(p, inputs) : 0;
    for (; column < p->columns; column += PANEL) {
        const float *weight = p->weight + column * inputs;
        float bias[PANEL] = {0};
        int64_t left = p->columns - column < PANEL ? p->columns - column : PANEL;
        if (p->bias)
            memcpy(bias, p->bias + column, left * sizeof *bias);
        if (left <= LANES)
            panel(p, column, weight, bias, 1);
        else
            panel(p, column, weight, bias, 2);
    }
}
