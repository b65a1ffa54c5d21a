/* One matrix product that does all convolutions, recurrent layers and distances to codebook entries. */
#ifndef ECDC_PRODUCT_H
#define ECDC_PRODUCT_H

#include "native.h"

/* Columns that are worked out at once: weights are packed for it, [columns / PANEL][inputs][PANEL]. */
#define PANEL (2 * LANES)

/* out[m, n] = bias[n] + sum over inputs of in[m, input] weight[input, n] (+ added[m, n]).
   The inputs of row m are `taps` runs of `run` floats, `tap_stride` apart, the first at in + m in_stride:
   the rows of a convolution overlap, and nothing is copied. `more` floats of another source may follow.
   Each result is one chain of multiply-adds in this order, however many rows are worked out at once. */
typedef struct {
    const float *in;
    int64_t in_stride, taps, tap_stride, run;
    const float *other;
    int64_t other_stride, more;
    const float *weight, *bias;
    const float *added;
    int64_t added_stride;
    float *out;  /* as it is, or NULL */
    float *active; /* after ELU, or NULL */
    int64_t out_stride, rows, columns;
} Product;

/* Floats that weights of this size take once they are packed. */
int64_t packed_size(int64_t inputs, int64_t columns);

/* weight[input, column] at from[input input_stride + column column_stride], into panels; zeros fill the last one. */
void pack(float *to, const float *from, int64_t inputs, int64_t columns, int64_t input_stride, int64_t column_stride);

void multiply(const Product *p);

#endif
