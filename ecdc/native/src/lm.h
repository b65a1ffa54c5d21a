/* The exact language model (paper section 3.3): its tensors, and what it remembers of the frames so far. */
#ifndef ECDC_LM_H
#define ECDC_LM_H

#include "exact.h"

typedef struct {
    const double *gain, *bias;
    double epsilon;
} Norm;

typedef struct {
    Linear qkv, out, up, down;
    Norm norm1, norm2;
    double score_scale;
    const double *activation;
    int64_t activation_size;
} Block;

/* As `ecdc/entropy/native_model.py` fills it; arrays belong to Python, packed weights to the library. */
typedef struct {
    int64_t dimension, heads, blocks, window, codebooks, size, frames;
    const int8_t *embed;
    const double *embed_scale;
    const int16_t *positions;
    Norm norm_in;
    const double *attention_table, *count_table, *log_table;
    int64_t attention_size, count_size;
    Linear head;
    Block *block;
} Model;

/* For `batch` streams in step. `keys` [blocks, batch, dimension / 2, capacity, 2]: of each pair of dimensions all
   frames lie side by side; `values` [blocks, batch, capacity, dimension]. `largest` [blocks, batch]: of the keys. */
typedef struct {
    int64_t batch, capacity, used, position;
    int16_t *keys, *values;
    int32_t *largest;
} Context;

/* The state of a range decoder (reference_coder.py) over 32-bit words. */
typedef struct {
    const uint32_t *words;
    int64_t count, next;
    uint64_t offset, range;
} Decoder;

/* The symbol that the counts of decayed(logits) [size] give, or -1 where the words point beyond all. */
int64_t decode_symbol(const Model *model, Decoder *decoder, const double *logits, int32_t *counts);

#endif
