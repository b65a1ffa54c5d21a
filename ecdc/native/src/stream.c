/* A signal's way through a network: every layer works on what has come so far, and keeps what later rows need.

   Each layer's `step` computes all rows that its input allows, as the layer of the same name in layers.py does. Rows
   are channels-last; a window of a convolution is one run of floats, so its history simply stays in the queue. */
#include "activation.h"
#include "network.h"

#include <math.h>
#include <stdlib.h>

/* Zeros behind a queue's rows: what a product of several phases may read and write beyond them. */
#define SLACK LANES
/* Values whose sums are taken in float32, before they go on in float64. */
#define RUN 4096

int reserve(Queue *queue, int64_t count)
{
    int64_t kept = queue->end - queue->begin;
    if (queue->rows && queue->end + count + SLACK <= queue->capacity)
        return 1;
    int64_t needed = queue->front + kept + count + SLACK;
    float *old = queue->rows;
    if (!old || needed > queue->capacity) {
        int64_t capacity = needed + needed / 4;
        queue->rows = new_floats(capacity * queue->channels);
        if (!queue->rows) {
            queue->rows = old;
            return 0;
        }
        queue->capacity = capacity;
        if (old)
            memcpy(row_of(queue, queue->front), old + queue->begin * queue->channels,
                   (size_t)(kept * queue->channels) * sizeof *old);
        free_floats(old);
    } else {
        memmove(row_of(queue, queue->front), row_of(queue, queue->begin),
                (size_t)(kept * queue->channels) * sizeof *old);
    }
    queue->begin = queue->front;
    queue->end = queue->front + kept;
    return 1;
}

float *scratch(Stream *stream, int which, int64_t count)
{
    if (count > stream->scratch_size[which]) {
        free_floats(stream->scratch[which]);
        stream->scratch[which] = new_floats(count);
        stream->scratch_size[which] = stream->scratch[which] ? count : 0;
    }
    return stream->scratch[which];
}

/* Room for a layer's output in the queues that the next one reads: `rows` of `channels`. */
static int make_room(Product *p, LayerState *next, int64_t rows)
{
    p->out = p->active = NULL;
    if (next->raw.channels) {
        if (!reserve(&next->raw, rows))
            return 0;
        p->out = row_of(&next->raw, next->raw.end);
    }
    if (next->active.channels) {
        if (!reserve(&next->active, rows))
            return 0;
        p->active = row_of(&next->active, next->active.end);
    }
    return 1;
}

static void count_rows(LayerState *next, int64_t rows)
{
    if (next->raw.channels)
        next->raw.end += rows;
    if (next->active.channels)
        next->active.end += rows;
}

/* ---- padding, as `pad` in layers.py has it: a signal too short to reflect is lengthened by zeros first ---- */

static void pad_left(Queue *queue, int64_t left, int reflect)
{
    int64_t length = queue->end - queue->begin;
    size_t size = (size_t)queue->channels * sizeof(float);
    for (int64_t i = 1; i <= left; i++) {
        if (reflect && i < length)
            memcpy(row_of(queue, queue->begin - i), row_of(queue, queue->begin + i), size);
        else
            memset(row_of(queue, queue->begin - i), 0, size);
    }
    queue->begin -= left;
    queue->front = 0;
}

/* `length`: rows that may be reflected; `most`: the larger of both paddings. */
static int pad_right(Queue *queue, int64_t right, int64_t length, int64_t most, int reflect)
{
    if (!reserve(queue, right))
        return 0;
    int64_t first = queue->end - length, missing = most - length + 1 > 0 ? most - length + 1 : 0;
    size_t size = (size_t)queue->channels * sizeof(float);
    for (int64_t i = 0; i < right; i++) {
        int64_t source = length + 2 * missing - 2 - i;
        if (reflect && i >= missing && source < length)
            memcpy(row_of(queue, queue->end + i), row_of(queue, first + source), size);
        else
            memset(row_of(queue, queue->end + i), 0, size);
    }
    queue->end += right;
    return 1;
}

/* Windows of the convolution that its input is enough for; -1 without memory. */
static int64_t windows(const Network *network, const Layer *layer, LayerState *state, Queue *queue, int last)
{
    const Description *d = &layer->shape;
    int reflect = network->reflect != 0;
    int64_t length = queue->end - queue->begin, left = 0;
    if (!queue->rows && !reserve(queue, 0))
        return -1;
    if (!state->started) {
        if (!last && length <= layer->wait)
            return 0;
        state->started = 1;
        left = d->left;
        pad_left(queue, left, reflect);
    }
    int64_t held = queue->end - queue->begin - state->used;
    if (last && !state->padded) {
        int64_t over = held + d->right - layer->span;
        int64_t count = over >= 0 ? (over + d->stride - 1) / d->stride : -(-over / d->stride);
        int64_t right = count * d->stride + layer->span - held;
        state->padded = 1;
        if (!pad_right(queue, right, length, left > right ? left : right, reflect))
            return -1;
        held += right;
    }
    return held < layer->span ? 0 : (held - layer->span) / d->stride + 1;
}

/* `count` windows are done: what no later one needs, nor reflection at the end, is dropped. */
static void forget(const Layer *layer, LayerState *state, Queue *queue, int64_t count)
{
    int64_t used = state->used + count * layer->shape.stride;
    int64_t spare = queue->end - queue->begin - layer->keep;
    int64_t drop = !layer->keep || used < spare ? used : spare > 0 ? spare : 0;
    queue->begin += drop;
    state->used = used - drop;
}

static Product convolution(const Layer *layer, const LayerState *state, const Queue *queue, int64_t count)
{
    const Description *d = &layer->shape;
    const Weights *w = &layer->main;
    int64_t c = queue->channels;
    const float *in = row_of(queue, queue->begin + state->used);
    Product p = product_of(in, w->phases * d->stride * c, w, (count + w->phases - 1) / w->phases);
    if (d->dilation > 1) {
        p.taps = d->kernel;
        p.tap_stride = d->dilation * c;
        p.run = c;
    }
    return p;
}

/* ---- group norm over all of a signal [rows, channels] ---- */

/* The factor and the summand of each channel: y = x factor + summand. */
static void norm_factors(const float *x, int64_t rows, int64_t channels, const Weights *w, float *factor, float *summand)
{
    double sum = 0, squares = 0, size = (double)rows * channels;
    for (int64_t first = 0, count = rows * channels; first < count; first += RUN) {
        /* The same lanes in every build, so that all give the same bits. */
        float part[16] = {0}, square[16] = {0};
        int64_t end = count - first < RUN ? count : first + RUN, i = first;
        for (; i + 16 <= end; i += 16)
            for (int64_t lane = 0; lane < 16; lane++) {
                part[lane] += x[i + lane];
                square[lane] += x[i + lane] * x[i + lane];
            }
        for (; i < end; i++) {
            part[0] += x[i];
            square[0] += x[i] * x[i];
        }
        for (int64_t lane = 0; lane < 16; lane++) {
            sum += part[lane];
            squares += square[lane];
        }
    }
    double mean = sum / size, variance = squares / size - mean * mean;
    double inverse = 1 / sqrt((variance > 0 ? variance : 0) + 1e-5);
    for (int64_t c = 0; c < channels; c++) {
        factor[c] = (float)(w->gain[c] * inverse);
        summand[c] = (float)(w->shift[c] - mean * inverse * w->gain[c]);
    }
}

typedef struct {
    const float *x, *factor, *summand;
} Normed;

INLINE vec load_part(const float *from, int64_t count)
{
    float some[LANES] = {0};
    if (count == LANES)
        return load(from);
    memcpy(some, from, (size_t)count * sizeof *some);
    return load(some);
}

INLINE vec normed(const Normed *n, int64_t row, int64_t channels, int64_t c, int64_t count)
{
    return load_part(n->x + row * channels + c, count) * load_part(n->factor + c, count) +
           load_part(n->summand + c, count);
}

/* y = x factor + summand (+ the same of a second one, or + added) -> out, and ELU(y) -> active. */
static void put_normed(Normed first, const Normed *second, const float *added, int64_t rows, int64_t channels,
                       float *out, float *active)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < channels; c += LANES) {
            int64_t at = row * channels + c, left = channels - c < LANES ? channels - c : LANES;
            vec y = normed(&first, row, channels, c, left);
            if (second)
                y += normed(second, row, channels, c, left);
            if (added)
                y += load_part(added + at, left);
            if (out)
                store_part(out + at, y, left);
            if (active)
                store_part(active + at, elu(y), left);
        }
}

/* The product into scratch memory, and from there with its norm to where it should go. */
static int multiply_normed(Stream *stream, Product p, const Weights *w, int64_t rows, int64_t channels)
{
    float *out = p.out, *active = p.active;
    float *x = scratch(stream, 0, (p.rows + 1) * p.columns + 2 * channels + SLACK);
    if (!x)
        return 0;
    float *factor = x + (p.rows + 1) * p.columns + SLACK;
    p.out = x;
    p.active = NULL;
    multiply(&p);
    norm_factors(x, rows, channels, w, factor, factor + channels);
    put_normed((Normed){x, factor, factor + channels}, NULL, NULL, rows, channels, out, active);
    return 1;
}

static int run_product(Stream *stream, const Product *p, const Weights *w, int64_t rows, int64_t channels)
{
    if (w->gain)
        return multiply_normed(stream, *p, w, rows, channels);
    multiply(p);
    return 1;
}

/* ---- layers; each returns whether there is more to do (only where `most` held it back), or -1 without memory ---- */

static int step_conv(Stream *stream, int64_t i, int last, int64_t most)
{
    const Layer *layer = &stream->network->layers[i];
    LayerState *state = &stream->layers[i], *next = state + 1;
    Queue *queue = layer->shape.active ? &state->active : &state->raw;
    int64_t possible = windows(stream->network, layer, state, queue, last);
    int64_t most_windows = most / layer->shape.stride > 0 ? most / layer->shape.stride : 1;
    int64_t count = possible < most_windows ? possible : most_windows;
    if (count <= 0)
        return (int)possible;
    Product p = convolution(layer, state, queue, count);
    if (!make_room(&p, next, count))
        return -1;
    if (!run_product(stream, &p, &layer->main, count, layer->shape.out))
        return -1;
    count_rows(next, count);
    forget(layer, state, queue, count);
    return count < possible;
}

/* The queue begins with the row before the first one: zeros at the start. */
static int step_transposed(Stream *stream, int64_t i, int last, int64_t most)
{
    const Layer *layer = &stream->network->layers[i];
    const Description *d = &layer->shape;
    const Weights *w = &layer->main;
    LayerState *state = &stream->layers[i], *next = state + 1;
    Queue *queue = d->active ? &state->active : &state->raw;
    if (!reserve(queue, 1))
        return -1;
    if (last && !state->padded) {
        memset(row_of(queue, queue->end++), 0, (size_t)d->in * sizeof(float));
        state->padded = 1;
    }
    int64_t possible = queue->end - queue->begin - 1;
    int64_t count = possible < most ? possible : most, rows = count * d->stride;
    if (count <= 0)
        return 0;
    Product p = product_of(row_of(queue, queue->begin), d->in, w, count);
    if (!make_room(&p, next, rows) || !run_product(stream, &p, w, rows, d->out))
        return -1;
    queue->begin += count;
    int64_t skip = state->skip < rows ? state->skip : rows;
    state->skip -= skip;
    rows -= skip;
    size_t size = (size_t)(rows * d->out) * sizeof(float);
    if (skip && p.out)
        memmove(p.out, p.out + skip * d->out, size);
    if (skip && p.active)
        memmove(p.active, p.active + skip * d->out, size);
    count_rows(next, rows - (last && count == possible ? d->right : 0));
    return count < possible;
}

/* shortcut(x) + branch(x): `hidden` is what the branch's first convolution gave, which may lag behind x. */
static int step_residual(Stream *stream, int64_t i, int last, int64_t most)
{
    const Layer *layer = &stream->network->layers[i];
    const Description *d = &layer->shape;
    const Weights *w = &layer->second;
    LayerState *state = &stream->layers[i], *next = state + 1;
    int64_t possible = windows(stream->network, layer, state, &state->active, last);
    int64_t count = possible < most ? possible : most;
    if (count <= 0)
        return (int)possible;
    Product p = convolution(layer, state, &state->active, count);
    if (!reserve(&state->hidden, count))
        return -1;
    p.active = row_of(&state->hidden, state->hidden.end);
    if (!run_product(stream, &p, &layer->main, count, d->hidden))
        return -1;
    forget(layer, state, &state->active, count);

    const float *x = row_of(&state->raw, state->raw.begin);
    p = product_of(row_of(&state->hidden, state->hidden.end), d->hidden, w, count);
    p.run = d->hidden; /* the shortcut's inputs follow from another place */
    if (!make_room(&p, next, count))
        return -1;
    if (w->gain) {
        float *y = scratch(stream, 0, count * d->in + 2 * d->in), *z = scratch(stream, 1, count * d->in + 2 * d->in);
        if (!y || !z)
            return -1;
        float *out = p.out, *active = p.active, *factor = y + count * d->in, *other = z + count * d->in;
        int has_shortcut = layer->shortcut.weight != NULL;
        p.out = y;
        p.active = NULL;
        multiply(&p);
        norm_factors(y, count, d->in, w, factor, factor + d->in);
        if (has_shortcut) {
            p = product_of(x, d->in, &layer->shortcut, count);
            p.out = z;
            multiply(&p);
            norm_factors(z, count, d->in, &layer->shortcut, other, other + d->in);
        }
        Normed shortcut = {z, other, other + d->in};
        put_normed((Normed){y, factor, factor + d->in}, has_shortcut ? &shortcut : NULL, has_shortcut ? NULL : x, count,
                   d->in, out, active);
    } else {
        if (d->kernels[2].weight) {
            p.other = x;
            p.other_stride = p.more = d->in;
        } else {
            p.added = x;
            p.added_stride = d->in;
        }
        multiply(&p);
    }
    state->hidden.begin = state->hidden.end = 0;
    state->raw.begin += count;
    count_rows(next, count);
    return count < possible;
}

static int step(Stream *stream, int64_t i, int last, int64_t most)
{
    switch (stream->network->layers[i].shape.kind) {
    case CONV:
        return step_conv(stream, i, last, most);
    case TRANSPOSED:
        return step_transposed(stream, i, last, most);
    default:
        return step_residual(stream, i, last, most);
    }
}

static int run_group(Stream *stream, const Group *group, int last)
{
    int more = 1;
    while (more) {
        more = step(stream, group->first, last, group->most);
        for (int64_t i = group->first + 1; more >= 0 && i < group->end; i++)
            if (step(stream, i, last && !more, INT64_MAX) < 0)
                return 0;
        if (more < 0)
            return 0;
    }
    return 1;
}

/* All that waits goes through the network, of each stream by itself but for LSTMs. `last`: the signals end here.
   0 without memory: then the streams are of no more use. */
EXPORT int ecdc_streams_run(Stream **streams, int64_t count, int last)
{
    const Network *network = streams[0]->network;
    for (int64_t g = 0; g < network->groups; g++) {
        const Group *group = &network->group[g];
        if (network->layers[group->first].shape.kind == LSTM) {
            if (!run_lstm(streams, count, group->first))
                return 0;
            continue;
        }
        for (int64_t s = 0; s < count; s++)
            if (!run_group(streams[s], group, last))
                return 0;
    }
    return 1;
}

EXPORT void ecdc_stream_free(Stream *stream)
{
    for (int64_t i = 0; stream && stream->layers && i <= stream->count; i++) {
        LayerState *state = &stream->layers[i];
        free_floats(state->raw.rows);
        free_floats(state->active.rows);
        free_floats(state->hidden.rows);
        free_floats(state->memory);
    }
    if (stream) {
        free_floats(stream->scratch[0]);
        free_floats(stream->scratch[1]);
        free(stream->layers);
    }
    free(stream);
}

static int prepare(LayerState *state, const Layer *layer)
{
    const Description *d = &layer->shape;
    int residual = d->kind == RESIDUAL;
    state->raw.channels = !d->active || residual ? d->in : 0;
    state->active.channels = d->active || residual ? d->in : 0;
    state->hidden.channels = residual ? d->hidden : 0;
    Queue *queue = d->active ? &state->active : &state->raw;
    if (d->kind == CONV || residual) {
        queue->front = d->left;
    } else if (d->kind == TRANSPOSED) {
        state->skip = d->left;
        if (!reserve(queue, 1))
            return 0;
        queue->end = 1;
    } else {
        state->memory = new_floats(2 * d->depth * d->in);
        return state->memory != NULL;
    }
    queue->begin = queue->end = queue->front + queue->end;
    if (d->kind == TRANSPOSED)
        queue->begin = 0;
    return 1;
}

/* The beginning of a signal; NULL without memory. The network must live as long. */
EXPORT Stream *ecdc_stream_new(const Network *network)
{
    Stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->network = network;
    stream->count = network->count;
    stream->layers = calloc((size_t)network->count + 1, sizeof *stream->layers);
    int good = stream->layers != NULL;
    for (int64_t i = 0; good && i < network->count; i++)
        good = prepare(&stream->layers[i], &network->layers[i]);
    if (!good) {
        ecdc_stream_free(stream);
        return NULL;
    }
    stream->layers[network->count].raw.channels = network->layers[network->count - 1].shape.out;
    return stream;
}

/* Rows of input: channel c of row r lies at x + c channel_stride + r row_stride. 0 without memory. */
EXPORT int ecdc_stream_push(Stream *stream, const float *x, int64_t rows, int64_t channel_stride, int64_t row_stride)
{
    Queue *queue = &stream->layers[0].raw;
    if (!reserve(queue, rows))
        return 0;
    float *to = row_of(queue, queue->end);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < queue->channels; c++)
            *to++ = x[c * channel_stride + r * row_stride];
    queue->end += rows;
    return 1;
}

/* Rows of output that wait. */
EXPORT int64_t ecdc_stream_ready(const Stream *stream)
{
    const Queue *queue = &stream->layers[stream->count].raw;
    return queue->end - queue->begin;
}

/* Takes all of them. */
EXPORT void ecdc_stream_pull(Stream *stream, float *y, int64_t channel_stride, int64_t row_stride)
{
    Queue *queue = &stream->layers[stream->count].raw;
    const float *from = queue->rows ? row_of(queue, queue->begin) : NULL;
    for (int64_t r = 0; r < queue->end - queue->begin; r++)
        for (int64_t c = 0; c < queue->channels; c++)
            y[c * channel_stride + r * row_stride] = *from++;
    queue->begin = queue->end = 0;
}
