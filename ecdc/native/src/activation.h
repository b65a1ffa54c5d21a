/* The exponential function, and what networks use of it. */
#ifndef ECDC_ACTIVATION_H
#define ECDC_ACTIVATION_H

#include "native.h"

/* e^x for x <= 0, less one: Cephes' polynomial (Moshier), without cancellation near zero. */
INLINE vec exp_minus_one(vec x)
{
    const vec round = spread(12582912.0f); /* 1.5 * 2^23: adding it leaves an integer in the lowest bits */
    vec shifted = fused(x, spread(1.44269504088896341f), round);
    vec whole = shifted - round;
    vec f = fused(whole, spread(-0.693359375f), x);
    f = fused(whole, spread(2.12194440e-4f), f);
    vec p = spread(1.9875691500e-4f);
    p = fused(p, f, spread(1.3981999507e-3f));
    p = fused(p, f, spread(8.3334519073e-3f));
    p = fused(p, f, spread(4.1665795894e-2f));
    p = fused(p, f, spread(1.6666665459e-1f));
    p = fused(p, f, spread(5.0000001201e-1f));
    vec q = fused(p * f, f, f);
    vec power = (vec)(((ivec)shifted - (ivec)round + 127) << 23);
    return fused(power, q, power - 1.0f);
}

/* What keeps the power of two in range: e^-87 is nothing beside 1. */
INLINE vec at_least_minus_87(vec x)
{
    return greatest(x, spread(-87.0f));
}

/* ELU(x): x above zero, e^x - 1 below. */
INLINE vec elu(vec x)
{
    return chosen(x < 0.0f, exp_minus_one(at_least_minus_87(least(x, spread(0.0f)))), x);
}

#endif
