/* SPDX-License-Identifier: MIT */
/*
 * Multiply-adds per second of the kernels on the shapes that occur in small detectors, and
 * their share of what the processor's dot product alone does, measured in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "kernels/conv.h"

#define ROUNDS 9 /* the best of which counts */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#ifdef __x86_64__
#include <immintrin.h>

/* Dot products that never leave the registers, in multiply-adds per second. */
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static double peak_512(void)
{
    __m512i a[12], x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(1);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        a[i] = _mm512_set1_epi32(i);
    double start = now();
    for (int k = 0; k < 1000000; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(a[i]) : "v"(x), "v"(w));
    }
    double seconds = now() - start;
    return 12e6 * 64 / seconds;
}

__attribute__((target("avx2"))) static double peak_256(void)
{
    __m256i a[8], t, x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(1),
                     ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_set1_epi32(i);
    double start = now();
    for (int k = 0; k < 1000000; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            __asm__ volatile("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
                             : "+x"(a[i]), "=&x"(t)
                             : "x"(x), "x"(w), "x"(ones));
    }
    double seconds = now() - start;
    return 8e6 * 32 / seconds;
}

static double peak(const struct lbw_isa *isa)
{
    return isa->lanes == 64 ? peak_512() : isa->adds_pairs ? peak_256() : 0;
}
#else
static double peak(const struct lbw_isa *isa)
{
    (void)isa;
    return 0;
}
#endif

struct shape {
    const char *kind;
    int64_t outputs, inputs, groups, kernel, stride, height, width;
};

static const struct shape shapes[] = {
    {"1x1", 16, 16, 1, 1, 1, 104, 104},        {"1x1", 32, 32, 1, 1, 1, 52, 52},
    {"1x1", 64, 64, 1, 1, 1, 52, 52},          {"1x1", 64, 64, 1, 1, 1, 26, 26},
    {"1x1", 116, 116, 1, 1, 1, 26, 26},        {"1x1", 48, 48, 1, 1, 1, 22, 22},
    {"1x1", 128, 256, 1, 1, 1, 13, 13},        {"1x1", 256, 1024, 1, 1, 1, 14, 14},
    {"1x1", 2048, 512, 1, 1, 1, 7, 7},         {"3x3", 16, 12, 1, 3, 1, 208, 208},
    {"3x3", 64, 64, 1, 3, 1, 40, 40},          {"3x3", 128, 128, 1, 3, 1, 28, 28},
    {"3x3", 512, 512, 1, 3, 1, 7, 7},          {"3x3/2", 64, 32, 1, 3, 2, 80, 80},
    {"first", 24, 3, 1, 3, 2, 416, 416},       {"first", 16, 3, 1, 6, 2, 416, 416},
    {"first", 64, 3, 1, 7, 2, 224, 224},       {"depthwise", 16, 16, 16, 3, 1, 104, 104},
    {"depthwise", 64, 64, 64, 3, 1, 52, 52},   {"depthwise", 64, 64, 64, 3, 1, 26, 26},
    {"depthwise/2", 64, 64, 64, 3, 2, 52, 52}, {"depthwise", 128, 128, 128, 3, 1, 13, 13},
    {"depthwise", 96, 96, 96, 5, 1, 22, 22},   {"grouped", 64, 64, 4, 3, 1, 40, 40},
};

static void *filled(size_t size, uint64_t seed)
{
    struct lbw_random random = {seed};
    uint8_t *memory = malloc(size + 1);
    if (!memory)
        exit(1);
    for (size_t i = 0; i < size; i++)
        memory[i] = (uint8_t)(lbw_random_below(&random, 17) - 8);
    return memory;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct shape *s, const struct lbw_isa *isa, double most)
{
    int64_t pad = (s->kernel - 1) / 2, sides[2] = {s->height, s->width}, out[2];
    size_t num_weights = (size_t)(s->outputs * s->inputs / s->groups * s->kernel * s->kernel);
    float *scale = calloc((size_t)s->outputs, sizeof *scale);
    int8_t *weights = filled(num_weights, 1);
    uint8_t *table = filled(256, 3);
    if (!scale)
        exit(1);
    for (int64_t m = 0; m < s->outputs; m++)
        scale[m] = .01F;
    const struct lbw_conv_params params = {s->outputs,
                                           s->inputs,
                                           s->groups,
                                           {s->kernel, s->kernel},
                                           {s->stride, s->stride},
                                           {1, 1},
                                           {pad, pad, pad, pad},
                                           .weights = weights,
                                           .scale = scale,
                                           .x_zero = 5,
                                           .y_zero = 20,
                                           .tables = table};
    struct lbw_conv *conv = NULL;
    struct lbw_error err;
    if (lbw_conv_output(out, &params, sides, &err) != LBW_OK ||
        lbw_conv_new(&conv, &params, isa, &err) != LBW_OK)
        exit(1);
    uint8_t *x = filled((size_t)(s->inputs * s->height * s->width), 2);
    uint8_t *y = filled((size_t)(s->outputs * out[0] * out[1]), 4);
    double products = (double)num_weights * (double)(out[0] * out[1]);
    double times[ROUNDS];
    int repeats = 1 + (int)(2e8 / (products + 1e6));
    for (int r = 0; r < ROUNDS; r++) {
        double start = now();
        for (int i = 0; i < repeats; i++)
            lbw_conv_run(conv, y, x, NULL, 1, sides, &lbw_sequential, &err);
        times[r] = (now() - start) / repeats;
    }
    qsort(times, ROUNDS, sizeof *times, compare_doubles);
    double rate = products / times[0];
    printf("%-12s %4d > %4d  %2dx%-2d %4dx%-4d %9.1f us %8.1f G/s", s->kind, (int)s->inputs,
           (int)s->outputs, (int)s->kernel, (int)s->kernel, (int)out[0], (int)out[1],
           1e6 * times[0], 1e-9 * rate);
    printf(most > 0 ? " %5.1f %%\n" : "\n", 100 * rate / most);
    lbw_conv_free(&conv);
    free(x), free(y), free(weights), free(scale), free(table);
}

int main(int argc, char **argv)
{
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    for (size_t i = argc > 1 && strcmp(argv[1], "--all") == 0 ? 0 : num - (num > 0); i < num;
         i++) {
        double most = 0; /* the best of many, for others may use the processor as well */
        for (int r = 0; r < 10 * ROUNDS; r++) {
            double now_reached = peak(all[i]);
            most = now_reached > most ? now_reached : most;
        }
        printf("%s, one thread, peak %.0f G multiply-adds/s\n", all[i]->name, 1e-9 * most);
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            measure(&shapes[k], all[i], most);
    }
    lbw_scratch_clear();
    return 0;
}
