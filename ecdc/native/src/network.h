/* A SEANet encoder or decoder (paper section 3.1): its layers with packed weights, and a stream's way through them. */
#ifndef ECDC_NETWORK_H
#define ECDC_NETWORK_H

#include "product.h"

enum { CONV, TRANSPOSED, RESIDUAL, LSTM };

/* As `ecdc/codec/native.py` gives them: float32, PyTorch's layout. `gain` and `shift` are group norm's, or NULL. */
typedef struct {
    const float *weight, *bias, *gain, *shift;
} Tensors;

/* CONV: kernels[0]. TRANSPOSED: kernels[0], of 2 x stride; `left`, `right` are trimmed. RESIDUAL: a branch of
   kernels[0] (in -> hidden) and kernels[1] (1 x 1, hidden -> in), a shortcut kernels[2] (1 x 1) or none.
   LSTM: kernels[0].weight holds the weights of the inputs, kernels[1].weight the recurrent ones, kernels[0].bias both
   biases' sum, of all `depth` layers. `active`: ELU comes before. */
typedef struct {
    int64_t kind, in, out, hidden, kernel, stride, dilation, left, right, active, depth;
    Tensors kernels[3];
} Description;

/* Packed for a product of `inputs` and `columns`. `phases`: neighbouring outputs that one row of it gives. */
typedef struct {
    float *weight, *bias, *gain, *shift;
    int64_t inputs, columns, phases;
} Weights;

typedef struct {
    Description shape;
    int64_t span, wait, keep; /* see Conv1d in layers.py */
    Weights main, second;     /* RESIDUAL: the branch's first convolution; its second one beside the shortcut */
    Weights shortcut;         /* where it has a norm of its own */
    Weights *recurrent;       /* LSTM: of each layer the inputs' and the recurrent ones */
} Layer;

/* Layers that are run one after another, at most `most` rows of the first one's input at a time, so that what is
   between them stays in the cache. */
typedef struct {
    int64_t first, end, most;
} Group;

typedef struct {
    int64_t count, reflect, groups;
    Layer *layers;
    Group *group;
} Network;

/* Rows of channels that wait to be read. `front`: rows left free before the first one. */
typedef struct {
    float *rows;
    int64_t channels, capacity, begin, end, front;
} Queue;

/* `raw` and `active`: the layer's input as it is and after ELU, where it reads them; `hidden`: inside a residual
   block. `used`: rows of the convolution's input that its windows have left, kept as material for reflection. */
typedef struct {
    Queue raw, active, hidden;
    int64_t used, skip;
    int started, padded;
    float *memory; /* LSTM: of each layer h and c */
} LayerState;

typedef struct {
    const Network *network;
    int64_t count;      /* of its own: a stream may be freed after its network, when a program ends */
    LayerState *layers; /* one more than there are layers: the last one's `raw` is the output */
    float *scratch[2];
    int64_t scratch_size[2];
} Stream;

/* Zeros, at the beginning of a cache line; NULL without memory. */
float *new_floats(int64_t count);
void free_floats(float *floats);

/* Rows behind `end` that `count` more can be written to; 0 without memory. */
int reserve(Queue *queue, int64_t count);
/* At least so many floats; NULL without memory. */
float *scratch(Stream *stream, int which, int64_t count);

INLINE float *row_of(const Queue *queue, int64_t row)
{
    return queue->rows + row * queue->channels;
}

/* The product of `rows` rows, `stride` floats apart, with packed weights; where it goes is still to be said. */
INLINE Product product_of(const float *in, int64_t stride, const Weights *w, int64_t rows)
{
    return (Product){.in = in,
                     .in_stride = stride,
                     .taps = 1,
                     .run = w->inputs,
                     .weight = w->weight,
                     .bias = w->bias,
                     .out_stride = w->columns,
                     .rows = rows,
                     .columns = w->columns};
}

/* Rows at hand of an LSTM layer go through it, for all streams in step if they are as many in each; 0 without memory. */
int run_lstm(Stream **streams, int64_t count, int64_t layer);

#endif
