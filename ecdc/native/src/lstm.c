/* LSTM over time, added to its input (paper section 3.1); many streams in step share the reading of its weights. */
#include "activation.h"
#include "network.h"

INLINE vec magnitude(vec x)
{
    return greatest(x, -x);
}

/* 1 / (1 + e^-x), from e^-|x|, which cannot overflow. */
INLINE vec sigmoid(vec x)
{
    vec less = exp_minus_one(at_least_minus_87(-magnitude(x)));
    vec share = spread(1.0f) / (less + 2.0f);
    return chosen(x < 0.0f, (less + 1.0f) * share, share);
}

INLINE vec hyperbolic_tangent(vec x)
{
    vec less = exp_minus_one(at_least_minus_87(-2.0f * magnitude(x)));
    vec y = -less / (less + 2.0f);
    return chosen(x < 0.0f, -y, y);
}

/* One step of one stream: gates [4 D] (input, forget, cell, output), h and c [D]. */
static void step_cell(const float *gates, float *h, float *c, int64_t size)
{
    for (int64_t k = 0; k < size; k += LANES) {
        int64_t left = size - k < LANES ? size - k : LANES;
        float part[4][LANES] = {{0}}, cell[LANES] = {0};
        for (int gate = 0; gate < 4; gate++)
            memcpy(part[gate], gates + gate * size + k, (size_t)left * sizeof(float));
        memcpy(cell, c + k, (size_t)left * sizeof(float));
        vec kept = sigmoid(load(part[1])) * load(cell);
        vec now = fused(sigmoid(load(part[0])), hyperbolic_tangent(load(part[2])), kept);
        store_part(c + k, now, left);
        store_part(h + k, sigmoid(load(part[3])) * hyperbolic_tangent(now), left);
    }
}

/* One layer over `frames` steps of `count` streams: gates [frames, count, 4 D] hold the inputs' part and become
   [frames, count, D] in `y`. `h`, `c`: [count, D]. */
static void run_layer(const float *gates, float *y, float *h, float *c, const Weights *w, int64_t frames, int64_t count,
                      float *sums)
{
    int64_t size = w->inputs;
    for (int64_t t = 0; t < frames; t++) {
        Product p = product_of(h, size, w, count);
        p.added = gates + t * count * 4 * size;
        p.added_stride = 4 * size;
        p.out = sums;
        multiply(&p);
        for (int64_t s = 0; s < count; s++)
            step_cell(sums + s * 4 * size, h + s * size, c + s * size, size);
        memcpy(y + t * count * size, h, (size_t)(count * size) * sizeof *y);
    }
}

/* `frames` rows of each stream; scratch 0: gates and sums; scratch 1: y, and h and c of all streams. */
static int run_together(Stream **streams, int64_t count, int64_t index, int64_t frames)
{
    const Layer *layer = &streams[0]->network->layers[index];
    int64_t size = layer->shape.in, depth = layer->shape.depth;
    float *gates = scratch(streams[0], 0, (frames + 1) * count * 4 * size);
    float *y = scratch(streams[0], 1, (frames + 2) * count * size);
    if (!gates || !y)
        return 0;
    float *sums = gates + frames * count * 4 * size, *h = y + frames * count * size, *c = h + count * size;
    for (int64_t d = 0; d < depth; d++) {
        const Weights *w = &layer->recurrent[2 * d];
        for (int64_t s = 0; s < count; s++) {
            LayerState *state = &streams[s]->layers[index];
            const float *in = d ? y + s * size : row_of(&state->raw, state->raw.begin);
            Product p = product_of(in, d ? count * size : size, w, frames);
            p.out = gates + s * 4 * size;
            p.out_stride = count * 4 * size;
            multiply(&p);
            memcpy(h + s * size, state->memory + 2 * d * size, (size_t)size * sizeof *h);
            memcpy(c + s * size, state->memory + (2 * d + 1) * size, (size_t)size * sizeof *c);
        }
        run_layer(gates, y, h, c, w + 1, frames, count, sums);
        for (int64_t s = 0; s < count; s++) {
            LayerState *state = &streams[s]->layers[index];
            memcpy(state->memory + 2 * d * size, h + s * size, (size_t)size * sizeof *h);
            memcpy(state->memory + (2 * d + 1) * size, c + s * size, (size_t)size * sizeof *c);
        }
    }
    for (int64_t s = 0; s < count; s++) {
        LayerState *state = &streams[s]->layers[index], *next = state + 1;
        Queue *raw = &next->raw, *active = &next->active;
        if ((raw->channels && !reserve(raw, frames)) || (active->channels && !reserve(active, frames)))
            return 0;
        for (int64_t t = 0; t < frames; t++) {
            const float *x = row_of(&state->raw, state->raw.begin + t), *z = y + (t * count + s) * size;
            for (int64_t k = 0; k < size; k += LANES) {
                int64_t left = size - k < LANES ? size - k : LANES;
                float sum[LANES] = {0};
                for (int64_t i = 0; i < left; i++)
                    sum[i] = x[k + i] + z[k + i];
                if (raw->channels)
                    store_part(row_of(raw, raw->end + t) + k, load(sum), left);
                if (active->channels)
                    store_part(row_of(active, active->end + t) + k, elu(load(sum)), left);
            }
        }
        if (raw->channels)
            raw->end += frames;
        if (active->channels)
            active->end += frames;
        state->raw.begin += frames;
    }
    return 1;
}

int run_lstm(Stream **streams, int64_t count, int64_t layer)
{
    for (int64_t first = 0; first < count;) {
        const Queue *queue = &streams[first]->layers[layer].raw;
        int64_t frames = queue->end - queue->begin, end = first + 1;
        while (end < count && streams[end]->layers[layer].raw.end - streams[end]->layers[layer].raw.begin == frames)
            end++;
        if (frames && !run_together(streams + first, end - first, layer, frames))
            return 0;
        first = end;
    }
    return 1;
}
