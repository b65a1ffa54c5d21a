/* The heads of the exact language model and the range coder of reference_coder.py: codes <-> words. */
#include "lm.h"

#include <math.h>
#include <stdlib.h>

#define PROBABILITY_BITS 24
#define WHOLE (INT64_C(1) << PROBABILITY_BITS)
#define LEAST_RANGE (UINT64_C(1) << 32)
/* Rows of heads that are worked out at once: their logits stay in the cache. */
#define ROWS 12
/* Symbols whose counts are summed before the one that is looked for is known. */
#define RUN 32

/* Logits of one codebook become indices into the table of counts: `decayed`. */
static void decayed(const Model *m, const double *logits, int32_t *index)
{
    int64_t size = m->size, p = 0;
    double largest = -INFINITY, most[8], last = (double)(m->count_size - 1);
    for (int i = 0; i < 8; i++)
        most[i] = -INFINITY;
    for (; p + 8 <= size; p += 8)
        for (int i = 0; i < 8; i++)
            most[i] = logits[p + i] > most[i] ? logits[p + i] : most[i];
    for (; p < size; p++)
        largest = logits[p] > largest ? logits[p] : largest;
    for (int i = 0; i < 8; i++)
        largest = most[i] > largest ? most[i] : largest;
    for (p = 0; p < size; p++) {
        double distance = largest - logits[p];
        index[p] = (int32_t)(distance > last ? last : distance);
    }
}

/* Where the part of WHOLE begins that belongs to the symbol `at`, before which `sum` of all counts lie. */
INLINE int64_t limit(int64_t sum, double share, int64_t at)
{
    return (int64_t)((double)sum * share) + at;
}

static double share_of(const Model *m, int64_t total)
{
    return (double)(WHOLE - m->size) / (double)total;
}

int64_t decode_symbol(const Model *m, Decoder *d, const double *logits, int32_t *index)
{
    int64_t size = m->size, total = 0;
    decayed(m, logits, index);
    for (int64_t p = 0; p < size; p++)
        total += (int64_t)m->count_table[index[p]];
    double share = share_of(m, total);
    uint64_t unit = d->range >> PROBABILITY_BITS, place = d->offset / unit;
    if (place >= (uint64_t)WHOLE)
        return -1;
    int64_t quantile = (int64_t)place, sum = 0, symbol = 0;
    for (; symbol + RUN < size; symbol += RUN) {
        int64_t next = sum;
        for (int64_t p = symbol; p < symbol + RUN; p++)
            next += (int64_t)m->count_table[index[p]];
        if (limit(next, share, symbol + RUN) > quantile)
            break;
        sum = next;
    }
    int64_t left = symbol ? limit(sum, share, symbol) : 0, right;
    for (;; symbol++, left = right) {
        sum += (int64_t)m->count_table[index[symbol]];
        right = symbol == size - 1 ? WHOLE : limit(sum, share, symbol + 1);
        if (right > quantile)
            break;
    }
    d->offset -= unit * (uint64_t)left;
    d->range = unit * (uint64_t)(right - left);
    if (d->range < LEAST_RANGE) {
        d->offset = d->offset << 32 | (d->next < d->count ? d->words[d->next] : 0);
        d->range <<= 32;
        d->next++;
    }
    return symbol;
}

int ecdc_lm_advance(const Model *m, Context *c, const int32_t *tokens, int64_t frames, int64_t codebooks,
                    double *hidden);

/* Decodes `longest` frames of all streams into codes [batch, longest, codebooks]; of each stream `frames` are its own.
   `tokens` [batch, codebooks]: of the frame before, and after. 1, 0 without memory, -1 where words are impossible. */
EXPORT int ecdc_lm_decode(const Model *m, Context *c, Decoder *decoders, const int64_t *frames, int64_t longest,
                          int64_t codebooks, int32_t *tokens, int32_t *codes)
{
    int64_t batch = c->batch, columns = codebooks * m->size;
    double *hidden = malloc((size_t)(batch * m->dimension) * sizeof *hidden);
    double *logits = malloc((size_t)(batch * columns) * sizeof *logits);
    int16_t *work = malloc((size_t)(batch * (m->dimension + 1)) * sizeof *work);
    int32_t *index = malloc((size_t)m->size * sizeof *index);
    int state = hidden && logits && work && index;
    for (int64_t f = 0; state == 1 && f < longest; f++) {
        if (!ecdc_lm_advance(m, c, tokens, 1, codebooks, hidden)) {
            state = 0;
            break;
        }
        affine(&m->head, hidden, batch, columns, logits, work);
        for (int64_t s = 0; state == 1 && s < batch; s++)
            for (int64_t k = 0; k < codebooks; k++) {
                int64_t symbol = 0;
                if (f < frames[s])
                    symbol = decode_symbol(m, &decoders[s], logits + s * columns + k * m->size, index);
                if (symbol < 0) {
                    state = -1;
                    break;
                }
                codes[(s * longest + f) * codebooks + k] = (int32_t)symbol;
                tokens[s * codebooks + k] = 1 + (int32_t)symbol;
            }
    }
    free(hidden);
    free(logits);
    free(work);
    free(index);
    return state;
}

typedef void (*Each)(const Model *m, int64_t at, const int32_t *index, void *data);

/* Calls `each` for the indices of the counts of all rows and codebooks; 0 without memory. */
static int for_each_row(const Model *m, const double *hidden, int64_t rows, int64_t codebooks, Each each, void *data)
{
    int64_t columns = codebooks * m->size;
    double *logits = malloc((size_t)(ROWS * columns) * sizeof *logits);
    int16_t *work = malloc((size_t)(ROWS * (m->dimension + 1)) * sizeof *work);
    int32_t *index = malloc((size_t)m->size * sizeof *index);
    int good = logits && work && index;
    for (int64_t first = 0; good && first < rows; first += ROWS) {
        int64_t count = rows - first < ROWS ? rows - first : ROWS;
        affine(&m->head, hidden + first * m->dimension, count, columns, logits, work);
        for (int64_t i = 0; i < count * codebooks; i++) {
            decayed(m, logits + i * m->size, index);
            each(m, first * codebooks + i, index, data);
        }
    }
    free(logits);
    free(work);
    free(index);
    return good;
}

typedef struct {
    const int32_t *symbols;
    int64_t *parts;
} Parts;

static void find_part(const Model *m, int64_t at, const int32_t *index, void *data)
{
    const Parts *p = data;
    int64_t symbol = p->symbols[at], before = 0, total = 0;
    for (int64_t i = 0; i < m->size; i++) {
        int64_t count = (int64_t)m->count_table[index[i]];
        total += count;
        before += i < symbol ? count : 0;
    }
    double share = share_of(m, total);
    int64_t own = before + (int64_t)m->count_table[index[symbol]];
    p->parts[2 * at] = symbol ? limit(before, share, symbol) : 0;
    p->parts[2 * at + 1] = symbol == m->size - 1 ? WHOLE : limit(own, share, symbol + 1);
}

/* Where the parts of WHOLE begin and end, [rows, codebooks, 2], that belong to `symbols` [rows, codebooks]. */
EXPORT int ecdc_lm_parts(const Model *m, const double *hidden, int64_t rows, int64_t codebooks, const int32_t *symbols,
                         int64_t *parts)
{
    Parts p = {symbols, parts};
    return for_each_row(m, hidden, rows, codebooks, find_part, &p);
}

static void find_bits(const Model *m, int64_t at, const int32_t *index, void *data)
{
    float *bits = (float *)data + at * m->size;
    int64_t total = 0;
    for (int64_t i = 0; i < m->size; i++)
        total += (int64_t)m->count_table[index[i]];
    double all = log2((double)total);
    for (int64_t i = 0; i < m->size; i++)
        bits[i] = (float)(all - m->log_table[index[i]]);
}

/* Bits [rows, codebooks, size] that each symbol would cost. */
EXPORT int ecdc_lm_bits(const Model *m, const double *hidden, int64_t rows, int64_t codebooks, float *bits)
{
    return for_each_row(m, hidden, rows, codebooks, find_bits, bits);
}

static void find_counts(const Model *m, int64_t at, const int32_t *index, void *data)
{
    double *counts = (double *)data + at * m->size;
    for (int64_t i = 0; i < m->size; i++)
        counts[i] = m->count_table[index[i]];
}

/* Counts [rows, codebooks, size]. */
EXPORT int ecdc_lm_counts(const Model *m, const double *hidden, int64_t rows, int64_t codebooks, double *counts)
{
    return for_each_row(m, hidden, rows, codebooks, find_counts, counts);
}

/* The encoder: adds to the number that the words so far begin; a carry runs back into them. */
static void add(uint64_t *lower, uint64_t value, uint32_t *words, int64_t count)
{
    *lower += value;
    if (*lower < value)
        while (count && ++words[--count] == 0)
            ;
}

/* Words (room for two more than symbols) of the symbols with these parts [symbols, 2]; returns how many. */
EXPORT int64_t ecdc_range_encode(const int64_t *parts, int64_t symbols, uint32_t *words)
{
    uint64_t lower = 0, range = UINT64_MAX;
    int64_t count = 0;
    for (int64_t i = 0; i < symbols; i++) {
        uint64_t unit = range >> PROBABILITY_BITS;
        range = unit * (uint64_t)(parts[2 * i + 1] - parts[2 * i]);
        add(&lower, unit * (uint64_t)parts[2 * i], words, count);
        if (range < LEAST_RANGE) {
            words[count++] = (uint32_t)(lower >> 32);
            lower <<= 32;
            range <<= 32;
        }
    }
    if (range == UINT64_MAX && !count)
        return 0;
    uint32_t upper = (uint32_t)((lower + range) >> 32);
    add(&lower, LEAST_RANGE - 1, words, count);
    words[count++] = (uint32_t)(lower >> 32);
    if (upper == words[count - 1])
        words[count++] = 0;
    return count;
}
