/* The transformer of language_model.py, step for step in the same order of roundings: the same counts to the last bit.
   Floats are float64 throughout; products and sums of integers are exact, so their order is free. */
#include "lm.h"

#include <math.h>
#include <stdlib.h>

#define LIMIT 32767.0
/* Frames that are kept room for beyond the window, as in context.py. */
#define ROOM 96

/* To the nearest integer, halves up, within the limit. */
INLINE double rounded(double x)
{
    x = floor(x + 0.5);
    return x < -LIMIT ? -LIMIT : x > LIMIT ? LIMIT : x;
}

/* Layer norm of integers [size] in place, to integers: `normalised` in exact.py. */
static void normalise(double *x, int64_t size, const Norm *norm)
{
    int64_t total = 0, squares = 0;
    for (int64_t i = 0; i < size; i++) {
        int64_t value = (int64_t)x[i];
        total += value;
        squares += value * value;
    }
    double d = (double)size, sum = (double)total;
    double variance = d * (double)squares - sum * sum + norm->epsilon;
    double inverse = 1.0 / sqrt(variance);
    for (int64_t i = 0; i < size; i++) {
        double y = d * x[i] - sum;
        y *= inverse;
        y *= norm->gain[i];
        y += norm->bias[i];
        x[i] = rounded(y);
    }
}

/* ---- what is remembered ---- */

static int16_t *keys_of(const Model *m, const Context *c, int64_t block, int64_t stream)
{
    return c->keys + (block * c->batch + stream) * m->dimension * c->capacity;
}

static int16_t *values_of(const Model *m, const Context *c, int64_t block, int64_t stream)
{
    return c->values + (block * c->batch + stream) * m->dimension * c->capacity;
}

static int allocate(const Model *m, Context *c, int64_t capacity)
{
    /* Vectors of keys may be read a little beyond the last frame. */
    c->capacity = (capacity + 2 * LANES - 1) / LANES * LANES;
    size_t size = (size_t)(m->blocks * c->batch * m->dimension * c->capacity);
    c->keys = calloc(size, sizeof(int16_t));
    c->values = calloc(size, sizeof(int16_t));
    return c->keys && c->values;
}

/* Puts keys and values [dimension] each of one frame at its place. */
static void remember(const Model *m, Context *c, int64_t block, int64_t stream, int64_t at, const double *keys,
                     const double *values)
{
    int16_t *k = keys_of(m, c, block, stream), *v = values_of(m, c, block, stream) + at * m->dimension;
    int32_t largest = c->largest[block * c->batch + stream];
    for (int64_t i = 0; i < m->dimension; i++) {
        int32_t key = (int32_t)keys[i], size = key < 0 ? -key : key;
        largest = size > largest ? size : largest;
        k[(i / 2 * c->capacity + at) * 2 + i % 2] = (int16_t)key;
        v[i] = (int16_t)values[i];
    }
    c->largest[block * c->batch + stream] = largest;
}

/* Copies `kept` frames from `first` on to the beginning of the other context. */
static void copy_frames(const Model *m, const Context *from, int64_t first, int64_t kept, Context *to)
{
    for (int64_t b = 0; b < m->blocks; b++)
        for (int64_t s = 0; s < from->batch; s++) {
            const int16_t *k = keys_of(m, from, b, s), *v = values_of(m, from, b, s);
            for (int64_t pair = 0; pair < m->dimension / 2; pair++)
                memmove(keys_of(m, to, b, s) + pair * to->capacity * 2, k + (pair * from->capacity + first) * 2,
                        (size_t)kept * 2 * sizeof *k);
            memmove(values_of(m, to, b, s), v + first * m->dimension, (size_t)(kept * m->dimension) * sizeof *v);
        }
}

/* Before `frames` more: forgets what no frame will look at any more, or grows; 0 without memory. */
static int make_room(const Model *m, Context *c, int64_t frames)
{
    if (c->used + frames + LANES <= c->capacity)
        return 1;
    int64_t first = c->used > m->window ? c->used - m->window : 0, kept = c->used - first;
    if (kept + frames + LANES <= c->capacity) {
        copy_frames(m, c, first, kept, c);
    } else {
        Context grown = *c;
        if (!allocate(m, &grown, kept + frames + ROOM)) {
            free(grown.keys);
            free(grown.values);
            return 0;
        }
        copy_frames(m, c, first, kept, &grown);
        free(c->keys);
        free(c->values);
        *c = grown;
    }
    c->used = kept;
    return 1;
}

EXPORT void ecdc_lm_context_free(Context *c)
{
    if (c) {
        free(c->keys);
        free(c->values);
        free(c->largest);
    }
    free(c);
}

/* The context before the first frame, for `frames` expected ones; NULL without memory. */
EXPORT Context *ecdc_lm_context_new(const Model *m, int64_t batch, int64_t frames)
{
    Context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    int64_t expected = frames < m->window + ROOM ? frames : m->window + ROOM;
    c->batch = batch;
    c->largest = calloc((size_t)(m->blocks * batch), sizeof *c->largest);
    double *start = malloc((size_t)(2 * m->dimension) * sizeof *start);
    if (!c->largest || !start || !allocate(m, c, 1 + expected + LANES)) {
        free(start);
        ecdc_lm_context_free(c);
        return NULL;
    }
    /* Official: attention sees one vector of zeros before the first frame. */
    for (int64_t b = 0; b < m->blocks; b++) {
        for (int64_t i = 0; i < 2 * m->dimension; i++)
            start[i] = rounded(0.0 * m->block[b].qkv.scale[m->dimension + i] + m->block[b].qkv.bias[m->dimension + i]);
        for (int64_t s = 0; s < batch; s++)
            remember(m, c, b, s, 0, start, start + m->dimension);
    }
    free(start);
    c->used = 1;
    return c;
}

EXPORT Context *ecdc_lm_context_copy(const Model *m, const Context *from)
{
    Context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = *from;
    size_t streams = (size_t)(m->blocks * from->batch), size = streams * (size_t)(m->dimension * from->capacity);
    c->keys = malloc(size * sizeof(int16_t));
    c->values = malloc(size * sizeof(int16_t));
    c->largest = malloc(streams * sizeof *c->largest);
    if (!c->keys || !c->values || !c->largest) {
        ecdc_lm_context_free(c);
        return NULL;
    }
    memcpy(c->keys, from->keys, size * sizeof(int16_t));
    memcpy(c->values, from->values, size * sizeof(int16_t));
    memcpy(c->largest, from->largest, streams * sizeof *c->largest);
    return c;
}

/* ---- attention ---- */

/* scores[p] = query . key of frame p, for `count` frames of one head [width]. */
static void score(const double *query, int64_t width, const int16_t *keys, int64_t capacity, int64_t count,
                  double largest_key, double *scores)
{
    int16_t q[4096];
    double largest = 0;
    for (int64_t i = 0; i < width; i++) {
        q[i] = (int16_t)query[i];
        largest = fabs(query[i]) > largest ? fabs(query[i]) : largest;
    }
    if (largest * largest_key * (double)width < 2147483647.0) {
        for (int64_t p = 0; p < count; p += LANES) {
            ivec sum = {0};
            for (int64_t pair = 0; pair < width / 2; pair++)
                sum = add_pairs(sum, pair_at(q + 2 * pair), keys + (pair * capacity + p) * 2);
            for (int i = 0; i < LANES; i++)
                scores[p + i] = (double)sum[i];
        }
        return;
    }
    for (int64_t p = 0; p < count; p++) {
        double sum = 0;
        for (int64_t i = 0; i < width; i++)
            sum += query[i] * keys[(i / 2 * capacity + p) * 2 + i % 2];
        scores[p] = sum;
    }
}

/* Scores become indices into the table: their distance from the largest. `scores` is scaled on the way. */
static void decay(double *scores, int64_t count, double scale, int64_t table_size, int32_t *index)
{
    double largest = -INFINITY, most[8];
    for (int i = 0; i < 8; i++)
        most[i] = -INFINITY;
    int64_t p = 0;
    for (; p + 8 <= count; p += 8)
        for (int i = 0; i < 8; i++) {
            double y = scores[p + i] * scale;
            scores[p + i] = y;
            most[i] = y > most[i] ? y : most[i];
        }
    for (; p < count; p++) {
        scores[p] *= scale;
        largest = scores[p] > largest ? scores[p] : largest;
    }
    for (int i = 0; i < 8; i++)
        largest = most[i] > largest ? most[i] : largest;
    double last = (double)(table_size - 1);
    for (p = 0; p < count; p++) {
        double distance = largest - scores[p];
        index[p] = (int32_t)(distance > last ? last : distance);
    }
}

/* One head: mixed[i] = rounded(sum over p of table[index[p]] value[p, i] / sum of the table's entries). */
INLINE void mix(const double *table, const int32_t *index, int64_t count, const int16_t *values, int64_t stride,
                double *mixed, const int64_t width)
{
    double sums[64] = {0}, total = 0;
    for (int64_t p = 0; p < count; p++) {
        double weight = table[index[p]];
        if (weight == 0)
            continue;
        total += weight;
        const int16_t *v = values + p * stride;
        for (int64_t i = 0; i < width; i++)
            sums[i] += weight * (double)v[i];
    }
    for (int64_t i = 0; i < width; i++)
        mixed[i] = rounded(sums[i] / total);
}

/* What one frame's queries [dimension] find in `count` frames from `first` on. */
static void attend(const Model *m, const Context *c, int64_t block, int64_t stream, int64_t first, int64_t count,
                   const double *queries, double *mixed, double *scores, int32_t *index)
{
    int64_t width = m->dimension / m->heads;
    const int16_t *keys = keys_of(m, c, block, stream) + first * 2;
    const int16_t *values = values_of(m, c, block, stream) + first * m->dimension;
    for (int64_t h = 0; h < m->heads; h++) {
        int64_t at = h * width;
        score(queries + at, width, keys + at * c->capacity, c->capacity, count, c->largest[block * c->batch + stream],
              scores);
        decay(scores, count, m->block[block].score_scale, m->attention_size, index);
        switch (width) { /* known widths are unrolled */
        case 20:
            mix(m->attention_table, index, count, values + at, m->dimension, mixed + at, 20);
            break;
        case 12:
            mix(m->attention_table, index, count, values + at, m->dimension, mixed + at, 12);
            break;
        default:
            mix(m->attention_table, index, count, values + at, m->dimension, mixed + at, width);
        }
    }
}

/* ---- the transformer ---- */

/* One embedding for each frame: the sum of its codes' [codebooks] of `tokens`, 1 + code or 0, then norm and position. */
static void embed(const Model *m, const int32_t *tokens, int64_t codebooks, int64_t position, double *x)
{
    for (int64_t k = 0; k < codebooks; k++) {
        const int8_t *row = m->embed + (k * (m->size + 1) + tokens[k]) * m->dimension;
        double scale = m->embed_scale[k];
        for (int64_t i = 0; i < m->dimension; i++) {
            double part = scale * (double)row[i];
            x[i] = k ? x[i] + part : part;
        }
    }
    for (int64_t i = 0; i < m->dimension; i++)
        x[i] = rounded(x[i]);
    normalise(x, m->dimension, &m->norm_in);
    for (int64_t i = 0; i < m->dimension; i++)
        x[i] += m->positions[position * m->dimension + i];
}

/* Room for the work on `rows` frames. */
typedef struct {
    double *wide, *mixed, *scores;
    int32_t *index;
    int16_t *narrow;
} Work;

static int64_t hidden_size(const Model *m)
{
    int64_t most = 3 * m->dimension;
    for (int64_t b = 0; b < m->blocks; b++)
        most = m->block[b].up.out > most ? m->block[b].up.out : most;
    return most;
}

static void free_work(Work *w)
{
    free(w->wide);
    free(w->mixed);
    free(w->scores);
    free(w->index);
    free(w->narrow);
}

static int make_work(Work *w, const Model *m, const Context *c, int64_t rows)
{
    size_t widest = (size_t)hidden_size(m) + 1;
    w->wide = malloc((size_t)rows * widest * sizeof(double));
    w->mixed = malloc((size_t)(rows * m->dimension) * sizeof(double));
    w->scores = malloc((size_t)(c->capacity + 2 * LANES) * sizeof(double));
    w->index = malloc((size_t)(c->capacity + 2 * LANES) * sizeof(int32_t));
    w->narrow = malloc((size_t)rows * widest * sizeof(int16_t));
    return w->wide && w->mixed && w->scores && w->index && w->narrow;
}

/* x + rounded(y), normalised: the end of both halves of a layer. */
static void add_and_normalise(double *x, const double *y, int64_t rows, int64_t size, const Norm *norm)
{
    for (int64_t r = 0; r < rows; r++, x += size, y += size) {
        for (int64_t i = 0; i < size; i++)
            x[i] += rounded(y[i]);
        normalise(x, size, norm);
    }
}

/* `_layer_step` for x [batch, frames, dimension]. */
static void run_block(const Model *m, Context *c, int64_t b, int64_t frames, double *x, Work *w)
{
    const Block *block = &m->block[b];
    int64_t d = m->dimension, rows = c->batch * frames;
    affine(&block->qkv, x, rows, 3 * d, w->wide, w->narrow);
    for (int64_t i = 0; i < rows * 3 * d; i++)
        w->wide[i] = rounded(w->wide[i]);
    for (int64_t r = 0; r < rows; r++) {
        const double *qkv = w->wide + r * 3 * d;
        remember(m, c, b, r / frames, c->used + r % frames, qkv + d, qkv + 2 * d);
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t last = c->used + r % frames, first = last > m->window ? last - m->window : 0;
        attend(m, c, b, r / frames, first, last - first + 1, w->wide + r * 3 * d, w->mixed + r * d, w->scores,
               w->index);
    }
    affine(&block->out, w->mixed, rows, d, w->wide, w->narrow);
    add_and_normalise(x, w->wide, rows, d, &block->norm1);
    affine(&block->up, x, rows, block->up.out, w->wide, w->narrow);
    double last = (double)(block->activation_size - 1);
    for (int64_t i = 0; i < rows * block->up.out; i++) {
        double at = w->wide[i] < 0 ? 0 : w->wide[i] > last ? last : w->wide[i];
        w->wide[i] = block->activation[(int32_t)at];
    }
    affine(&block->down, w->wide, rows, d, w->mixed, w->narrow);
    add_and_normalise(x, w->mixed, rows, d, &block->norm2);
}

/* Hidden states [batch, frames, dimension] from `tokens` [batch, frames, codebooks]; 0 without memory. The caller sees
   to it that positions do not end. */
EXPORT int ecdc_lm_advance(const Model *m, Context *c, const int32_t *tokens, int64_t frames, int64_t codebooks,
                           double *hidden)
{
    Work w = {0};
    int64_t rows = c->batch * frames;
    if (!make_room(m, c, frames))
        return 0;
    int good = make_work(&w, m, c, rows);
    if (good) {
        for (int64_t r = 0; r < rows; r++)
            embed(m, tokens + r * codebooks, codebooks, c->position + r % frames, hidden + r * m->dimension);
        for (int64_t b = 0; b < m->blocks; b++)
            run_block(m, c, b, frames, hidden, &w);
        c->used += frames;
        c->position += frames;
    }
    free_work(&w);
    return good;
}

/* Packs the weights; 0 without memory. */
EXPORT int ecdc_lm_prepare(Model *m)
{
    int good = prepare_linear(&m->head);
    for (int64_t b = 0; good && b < m->blocks; b++) {
        Block *block = &m->block[b];
        good = prepare_linear(&block->qkv) && prepare_linear(&block->out) && prepare_linear(&block->up) &&
               prepare_linear(&block->down);
    }
    return good;
}

EXPORT void ecdc_lm_release(Model *m)
{
    free(m->head.packed);
    for (int64_t b = 0; b < m->blocks; b++) {
        free(m->block[b].qkv.packed);
        free(m->block[b].out.packed);
        free(m->block[b].up.packed);
        free(m->block[b].down.packed);
    }
}
