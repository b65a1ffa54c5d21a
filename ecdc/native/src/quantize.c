/* Residual vector quantizer (paper section 3.2): nearest entries, and the beam search of ecdc/codec/beam.py. */
#include "product.h"

#include <math.h>
#include <stdlib.h>

#define ROWS 12
#define COLUMNS 256
/* Frames whose beams are worked out together. */
#define FRAMES 8

/* `packed`: -2 e of each codebook, for products; `norms` [books, size]: |e|^2; `entries` [books, size, dimension]. */
typedef struct {
    int64_t books, size, dimension;
    float *packed, *norms, *entries;
} Codebooks;

EXPORT void ecdc_codebooks_free(Codebooks *c)
{
    if (c) {
        free(c->packed);
        free(c->norms);
        free(c->entries);
    }
    free(c);
}

/* `entries` is copied; NULL without memory. */
EXPORT Codebooks *ecdc_codebooks_new(const float *entries, int64_t books, int64_t size, int64_t dimension)
{
    Codebooks *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    int64_t values = size * dimension, packed = packed_size(dimension, size);
    *c = (Codebooks){.books = books, .size = size, .dimension = dimension};
    c->packed = malloc((size_t)(books * packed) * sizeof(float));
    c->norms = malloc((size_t)(books * size) * sizeof(float));
    c->entries = malloc((size_t)(books * values) * sizeof(float));
    float *twice = malloc((size_t)values * sizeof(float));
    int good = c->packed && c->norms && c->entries && twice;
    for (int64_t k = 0; good && k < books; k++) {
        const float *from = entries + k * values;
        for (int64_t i = 0; i < values; i++)
            twice[i] = -2 * from[i];
        pack(c->packed + k * packed, twice, dimension, size, 1, dimension);
        for (int64_t code = 0; code < size; code++) {
            double sum = 0;
            for (int64_t i = 0; i < dimension; i++)
                sum += (double)from[code * dimension + i] * from[code * dimension + i];
            c->norms[k * size + code] = (float)sum;
        }
    }
    if (good)
        memcpy(c->entries, entries, (size_t)(books * values) * sizeof(float));
    free(twice);
    if (!good) {
        ecdc_codebooks_free(c);
        return NULL;
    }
    return c;
}

/* out[row, code] = |e|^2 - 2 r e, the squared distance of residual r to each entry e less |r|^2. */
static void distances(const Codebooks *c, int64_t book, const float *residual, int64_t rows, int64_t first,
                      int64_t columns, float *out, int64_t stride)
{
    Product p = {.in = residual,
                 .in_stride = c->dimension,
                 .taps = 1,
                 .run = c->dimension,
                 .weight = c->packed + book * packed_size(c->dimension, c->size) + first * c->dimension,
                 .bias = c->norms + book * c->size + first,
                 .out = out,
                 .out_stride = stride,
                 .rows = rows,
                 .columns = columns};
    multiply(&p);
}

static void subtract(float *to, const float *from, const float *entry, int64_t dimension)
{
    for (int64_t i = 0; i < dimension; i++)
        to[i] = from[i] - entry[i];
}

/* The least of `count` values and, of equal ones, the first; better than *best, which was found before. */
static void keep_least(const float *values, int64_t count, int64_t first, float *best, int64_t *where)
{
    for (int64_t i = 0; i < count; i += LANES) {
        int64_t left = count - i < LANES ? count - i : LANES;
        if (left == LANES && !any_below(load(values + i), *best))
            continue;
        for (int64_t j = i; j < i + left; j++)
            if (values[j] < *best) {
                *best = values[j];
                *where = first + j;
            }
    }
}

/* Codes [rows, books] of the nearest entries, one codebook after another; `residual` [rows, dimension] is used up. */
EXPORT void ecdc_quantize(const Codebooks *c, float *residual, int64_t rows, int64_t books, int32_t *codes)
{
    float distance[ROWS * COLUMNS];
    for (int64_t top = 0; top < rows; top += ROWS) {
        int64_t here = rows - top < ROWS ? rows - top : ROWS;
        float *r = residual + top * c->dimension;
        for (int64_t k = 0; k < books; k++) {
            float best[ROWS];
            int64_t where[ROWS] = {0};
            for (int64_t i = 0; i < here; i++)
                best[i] = INFINITY;
            for (int64_t first = 0; first < c->size; first += COLUMNS) {
                int64_t columns = c->size - first < COLUMNS ? c->size - first : COLUMNS;
                distances(c, k, r, here, first, columns, distance, COLUMNS);
                for (int64_t i = 0; i < here; i++)
                    keep_least(distance + i * COLUMNS, columns, first, &best[i], &where[i]);
            }
            for (int64_t i = 0; i < here; i++) {
                float *own = r + i * c->dimension;
                codes[(top + i) * books + k] = (int32_t)where[i];
                subtract(own, own, c->entries + (k * c->size + where[i]) * c->dimension, c->dimension);
            }
        }
    }
}

/* One row of codes so far, of one frame: its distance with costs, whose successor it is, and by which entry. */
typedef struct {
    float total;
    int32_t parent, code;
} Beam;

/* Puts what entries of one codebook lead to among the `width` best, in order; `have` of them so far. */
static int64_t insert(Beam *best, int64_t have, int64_t width, Beam next)
{
    int64_t at;
    if (have < width)
        at = have++;
    else if (next.total < best[width - 1].total)
        at = width - 1;
    else
        return have;
    for (; at > 0 && best[at - 1].total > next.total; at--)
        best[at] = best[at - 1];
    best[at] = next;
    return have;
}

/* The best successors of `beams` rows of one frame. `distance` [beams, size]; `bits` [size] cost `price` each, or NULL. */
static int64_t choose(const float *distance, const float *totals, int64_t beams, int64_t size, const float *bits,
                      float price, int64_t width, Beam *best)
{
    int64_t have = 0;
    for (int64_t b = 0; b < beams; b++, distance += size)
        for (int64_t first = 0; first < size; first += LANES) {
            int64_t left = size - first < LANES ? size - first : LANES;
            float limit = have < width ? INFINITY : best[width - 1].total, sums[LANES];
            if (left == LANES) {
                vec v = load(distance + first);
                if (bits)
                    v += load(bits + first) * price;
                v += totals[b];
                if (!any_below(v, limit))
                    continue;
                store(sums, v);
            } else {
                for (int64_t i = 0; i < left; i++)
                    sums[i] = distance[first + i] + (bits ? bits[first + i] * price : 0) + totals[b];
            }
            for (int64_t i = 0; i < left; i++)
                if (sums[i] < limit)
                    have = insert(best, have, width, (Beam){sums[i], (int32_t)b, (int32_t)(first + i)});
        }
    return have;
}

typedef struct {
    float *residual, *next, *distance, *totals;
    int32_t *codes, *next_codes;
    Beam *best;
} Work;

static int make_work(Work *w, const Codebooks *c, int64_t books, int64_t width)
{
    size_t rows = (size_t)(FRAMES * width);
    w->residual = malloc(2 * rows * (size_t)c->dimension * sizeof(float));
    w->distance = malloc(rows * (size_t)c->size * sizeof(float));
    w->totals = malloc(rows * sizeof(float));
    w->codes = malloc(2 * rows * (size_t)books * sizeof(int32_t));
    w->best = malloc((size_t)width * sizeof(Beam));
    w->next = w->residual ? w->residual + rows * (size_t)c->dimension : NULL;
    w->next_codes = w->codes ? w->codes + rows * (size_t)books : NULL;
    return w->residual && w->distance && w->totals && w->codes && w->best;
}

/* One codebook for `frames` frames of `beams` rows each; returns how many rows each has then. */
static int64_t extend(const Codebooks *c, Work *w, int64_t k, int64_t books, int64_t frames, int64_t beams,
                      int64_t width, const float *bits, const float *prices)
{
    int64_t d = c->dimension, size = c->size, then = beams * size < width ? beams * size : width;
    distances(c, k, w->residual, frames * beams, 0, size, w->distance, size);
    float totals[FRAMES * 64];
    memcpy(totals, w->totals, (size_t)(frames * beams) * sizeof(float));
    for (int64_t f = 0; f < frames; f++) {
        const float *own = bits ? bits + (f * books + k) * size : NULL;
        choose(w->distance + f * beams * size, totals + f * beams, beams, size, own, prices ? prices[f] : 0, then,
               w->best);
        for (int64_t b = 0; b < then; b++) {
            Beam beam = w->best[b];
            int64_t from = f * beams + beam.parent, to = f * then + b;
            subtract(w->next + to * d, w->residual + from * d, c->entries + (k * size + beam.code) * d, d);
            memcpy(w->next_codes + to * books, w->codes + from * books, (size_t)k * sizeof(int32_t));
            w->next_codes[to * books + k] = beam.code;
            w->totals[to] = beam.total;
        }
    }
    float *residual = w->residual;
    int32_t *codes = w->codes;
    w->residual = w->next;
    w->next = residual;
    w->codes = w->next_codes;
    w->next_codes = codes;
    return then;
}

/* Codes [rows, books] whose squared distance to `latents` [rows, dimension], with bits [rows, books, size] at
   prices [rows] (both may be NULL), is least among those tried; `width` <= 64. 0 without memory. */
EXPORT int ecdc_search(const Codebooks *c, const float *latents, int64_t rows, int64_t books, int64_t width,
                       const float *bits, const float *prices, int32_t *codes)
{
    Work w = {0};
    int good = make_work(&w, c, books, width);
    float *residual = w.residual;
    int32_t *work_codes = w.codes;
    for (int64_t top = 0; good && top < rows; top += FRAMES) {
        int64_t frames = rows - top < FRAMES ? rows - top : FRAMES, beams = 1;
        memcpy(w.residual, latents + top * c->dimension, (size_t)(frames * c->dimension) * sizeof(float));
        for (int64_t f = 0; f < frames; f++) {
            double sum = 0;
            for (int64_t i = 0; i < c->dimension; i++)
                sum += (double)w.residual[f * c->dimension + i] * w.residual[f * c->dimension + i];
            w.totals[f] = (float)sum;
        }
        for (int64_t k = 0; k < books; k++)
            beams = extend(c, &w, k, books, frames, beams, width, bits ? bits + top * books * c->size : NULL,
                           prices ? prices + top : NULL);
        for (int64_t f = 0; f < frames; f++)
            memcpy(codes + (top + f) * books, w.codes + f * beams * books, (size_t)books * sizeof(int32_t));
    }
    free(residual);
    free(w.distance);
    free(w.totals);
    free(work_codes);
    free(w.best);
    return good;
}
