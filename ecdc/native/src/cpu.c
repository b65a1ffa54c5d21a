/* Which build of this library the processor can run. */
#include "native.h"

/* 0: baseline; 1: v3 (AVX2, FMA); 2: v4 (AVX-512 with VNNI). The order is that of VARIANTS in library.py. */
EXPORT int ecdc_cpu_level(void)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512vnni"))
        return 1;
    return 2;
#else
    return 0;
#endif
}
