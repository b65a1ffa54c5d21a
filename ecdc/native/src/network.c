/* Packs the weights of a network, and decides in which groups its layers run. */
#include "network.h"

#include <stdlib.h>

/* Layers of more rows a frame than this on one side are run for few frames at a time. */
#define COARSE_ROWS 8
#define FINE_FRAMES 6
#define LINE 64

float *new_floats(int64_t count)
{
    char *base = calloc(1, (size_t)count * sizeof(float) + 2 * LINE);
    if (!base)
        return NULL;
    char *aligned = (char *)(((uintptr_t)base + 2 * LINE - 1) / LINE * LINE);
    memcpy(aligned - sizeof base, &base, sizeof base);
    return (float *)aligned;
}

void free_floats(float *floats)
{
    char *base;
    if (!floats)
        return;
    memcpy(&base, (char *)floats - sizeof base, sizeof base);
    free(base);
}

static float *copy_of(const float *from, int64_t count)
{
    float *copy = from ? new_floats(count) : NULL;
    if (copy)
        memcpy(copy, from, (size_t)count * sizeof *copy);
    return copy;
}

/* The matrix [inputs, columns] of `from` goes into panels; the bias is repeated for each phase. */
static int pack_all(Weights *w, const float *from, const float *bias, int64_t channels)
{
    w->weight = new_floats(packed_size(w->inputs, w->columns));
    w->bias = new_floats(w->columns);
    if (!w->weight || !w->bias)
        return 0;
    pack(w->weight, from, w->inputs, w->columns, w->columns, 1);
    for (int64_t column = 0; column < w->columns; column++)
        w->bias[column] = bias[column % channels];
    return 1;
}

static int add_norm(Weights *w, const Tensors *t, int64_t channels)
{
    w->gain = copy_of(t->gain, channels);
    w->shift = copy_of(t->shift, channels);
    return !t->gain || (w->gain && w->shift);
}

/* Conv1d: out[t, o] = bias[o] + sum over tap, c of in[t stride + tap dilation, c] weight[o, c, tap]. Where that has
   fewer columns than a vector has lanes, a row of the product gives several neighbouring outputs (a Toeplitz matrix). */
static int pack_conv(Weights *w, const Tensors *t, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                     int64_t dilation)
{
    w->phases = stride == 1 && dilation == 1 && kernel > 1 && out < LANES ? LANES / out : 1;
    w->inputs = (kernel + w->phases - 1) * in;
    w->columns = out * w->phases;
    float *matrix = new_floats(w->inputs * w->columns);
    if (!matrix)
        return 0;
    for (int64_t phase = 0; phase < w->phases; phase++)
        for (int64_t tap = 0; tap < kernel; tap++)
            for (int64_t c = 0; c < in; c++)
                for (int64_t o = 0; o < out; o++)
                    matrix[((phase + tap) * in + c) * w->columns + phase * out + o] =
                        t->weight[(o * in + c) * kernel + tap];
    int good = pack_all(w, matrix, t->bias, out) && add_norm(w, t, out);
    free_floats(matrix);
    return good;
}

/* ConvTranspose1d of kernel 2 stride: out[t stride + s, o] = bias[o] + sum over c of in[t - 1, c] weight[c, o, stride + s]
   + in[t, c] weight[c, o, s]: one row of the product gives all phases s. */
static int pack_transposed(Weights *w, const Tensors *t, int64_t in, int64_t out, int64_t stride)
{
    w->phases = stride;
    w->inputs = 2 * in;
    w->columns = out * stride;
    float *matrix = new_floats(w->inputs * w->columns);
    if (!matrix)
        return 0;
    for (int64_t c = 0; c < in; c++)
        for (int64_t o = 0; o < out; o++)
            for (int64_t s = 0; s < stride; s++) {
                const float *taps = t->weight + (c * out + o) * 2 * stride;
                matrix[c * w->columns + s * out + o] = taps[stride + s];
                matrix[(in + c) * w->columns + s * out + o] = taps[s];
            }
    int good = pack_all(w, matrix, t->bias, out) && add_norm(w, t, out);
    free_floats(matrix);
    return good;
}

/* The branch's second convolution and the shortcut are both 1 x 1: without norms, one product of both inputs. */
static int pack_residual(Layer *layer, const Description *d)
{
    const Tensors *second = &d->kernels[1], *shortcut = &d->kernels[2];
    if (!pack_conv(&layer->main, &d->kernels[0], d->in, d->hidden, d->kernel, 1, d->dilation))
        return 0;
    if (!shortcut->weight || second->gain)
        return pack_conv(&layer->second, second, d->hidden, d->in, 1, 1, 1) &&
               (!shortcut->weight || pack_conv(&layer->shortcut, shortcut, d->in, d->in, 1, 1, 1));
    Weights *w = &layer->second;
    w->phases = 1;
    w->inputs = d->hidden + d->in;
    w->columns = d->in;
    float *matrix = new_floats(w->inputs * w->columns), *bias = new_floats(d->in);
    int good = matrix && bias;
    for (int64_t o = 0; good && o < d->in; o++) {
        for (int64_t c = 0; c < d->hidden; c++)
            matrix[c * d->in + o] = second->weight[o * d->hidden + c];
        for (int64_t c = 0; c < d->in; c++)
            matrix[(d->hidden + c) * d->in + o] = shortcut->weight[o * d->in + c];
        bias[o] = second->bias[o] + shortcut->bias[o];
    }
    good = good && pack_all(w, matrix, bias, d->in);
    free_floats(matrix);
    free_floats(bias);
    return good;
}

static int pack_lstm(Layer *layer, const Description *d)
{
    int64_t size = 4 * d->in * d->in;
    layer->recurrent = calloc((size_t)(2 * d->depth), sizeof *layer->recurrent);
    for (int64_t which = 0; layer->recurrent && which < 2 * d->depth; which++) {
        Weights *w = &layer->recurrent[which];
        int64_t depth = which / 2;
        w->inputs = d->in;
        w->columns = 4 * d->in;
        w->weight = new_floats(packed_size(w->inputs, w->columns));
        if (!w->weight)
            return 0;
        pack(w->weight, d->kernels[which % 2].weight + depth * size, w->inputs, w->columns, 1, d->in);
        if (which % 2 == 0 && !(w->bias = copy_of(d->kernels[0].bias + depth * 4 * d->in, 4 * d->in)))
            return 0;
    }
    return layer->recurrent != NULL;
}

/* The padding rules are those of Conv1d in layers.py. */
static int pack_layer(Layer *layer, const Description *d, int64_t reflect)
{
    layer->shape = *d;
    layer->span = (d->kernel - 1) * d->dilation + 1;
    layer->keep = reflect && d->right ? d->right + d->stride : 0;
    int64_t after = d->right + d->stride - 1;
    layer->wait = reflect ? (d->left > after ? d->left : after) : -1;
    switch (d->kind) {
    case CONV:
        return pack_conv(&layer->main, &d->kernels[0], d->in, d->out, d->kernel, d->stride, d->dilation);
    case TRANSPOSED:
        return pack_transposed(&layer->main, &d->kernels[0], d->in, d->out, d->stride);
    case RESIDUAL:
        return pack_residual(layer, d);
    default:
        return pack_lstm(layer, d);
    }
}

/* Runs of fine layers, runs of coarse ones, and LSTMs by themselves, as these work on many streams in step. */
static void make_groups(Network *network, int64_t rate)
{
    int before = -1;
    for (int64_t i = 0; i < network->count; i++) {
        const Layer *layer = &network->layers[i];
        const Description *d = &layer->shape;
        int64_t next = d->kind == CONV ? rate / d->stride : d->kind == TRANSPOSED ? rate * d->stride : rate;
        int fine = rate > COARSE_ROWS || next > COARSE_ROWS;
        int kind = d->kind == LSTM ? 2 : fine && !layer->main.gain;
        if (kind != before || kind == 2)
            network->group[network->groups++] = (Group){i, i, kind == 1 ? FINE_FRAMES * rate : INT64_MAX};
        network->group[network->groups - 1].end = i + 1;
        before = kind;
        rate = next;
    }
}

static void free_weights(Weights *w)
{
    free_floats(w->weight);
    free_floats(w->bias);
    free_floats(w->gain);
    free_floats(w->shift);
}

EXPORT void ecdc_network_free(Network *network)
{
    for (int64_t i = 0; network && network->layers && i < network->count; i++) {
        Layer *layer = &network->layers[i];
        free_weights(&layer->main);
        free_weights(&layer->second);
        free_weights(&layer->shortcut);
        for (int64_t which = 0; layer->recurrent && which < 2 * layer->shape.depth; which++)
            free_weights(&layer->recurrent[which]);
        free(layer->recurrent);
    }
    if (network) {
        free(network->layers);
        free(network->group);
    }
    free(network);
}

/* `rate`: rows a frame of the input; NULL without memory. The tensors are copied. */
EXPORT Network *ecdc_network_new(const Description *descriptions, int64_t count, int64_t rate, int64_t reflect)
{
    Network *network = calloc(1, sizeof *network);
    if (!network)
        return NULL;
    network->count = count;
    network->reflect = reflect;
    network->layers = calloc((size_t)count, sizeof *network->layers);
    network->group = calloc((size_t)count, sizeof *network->group);
    int good = network->layers && network->group;
    for (int64_t i = 0; good && i < count; i++)
        good = pack_layer(&network->layers[i], &descriptions[i], reflect);
    if (!good) {
        ecdc_network_free(network);
        return NULL;
    }
    make_groups(network, rate);
    return network;
}
