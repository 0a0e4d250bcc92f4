/* SPDX-License-Identifier: MIT */
/*
 * Dead-leaves images, by + - * / and sqrt alone, so that every machine draws the same bytes.
 */
#include "feed/generate.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"

/*
 * Properties of the images; sizes are fractions of the shorter side. Chosen by the SNR on
 * photographs of detectors converted with such images.
 */
#define COVER        5.0f /* painted area over image area, before the last leaf */
#define MAX_LEAVES   60000
#define RADIUS_LEAST 0.006f /* smallest leaf of the most cluttered image … */
#define RADIUS_CALM  0.2f   /* … and of the calmest */
#define RADIUS_MOST  0.9f
#define ELLIPSES     0.3f /* shares of the shapes; the rest are discs */
#define BOXES        0.25f
#define STROKES      0.1f
#define NUM_COLORS   7     /* of an image's palette */
#define TEXTURE      0.6f  /* strongest texture, of full scale */
#define SHADING      0.35f /* strongest gradient across a leaf */
#define BLURRED      0.5f  /* share of the images that are slightly out of focus */
#define NOISE        0.02f /* strongest sensor noise, standard deviation */

#define TILE      128 /* side of the noise tile that leaves take their texture from */
#define TILE_MASK (TILE - 1)

struct color {
    float c[3];
};

enum shape { DISC, ELLIPSE, BOX };

struct leaf {
    enum shape shape;
    float x, y;         /* centre */
    float a, b;         /* half sides along and across */
    float cosine, sine; /* of its direction */
    struct color color; /* in the middle */
    float shade;        /* change per pixel along the direction */
    float texture;      /* strength */
    float texture_step; /* tile samples per pixel */
    uint32_t tile_offset;
};

struct canvas {
    int width, height;
    float short_side;
    float *pixels; /* height × width × 3, 0 … 1 */
    float *tile;   /* TILE × TILE, about -1 … 1 */
    struct color palette[NUM_COLORS];
    float saturation;
    float radius_least;
    struct lbw_random random;
};

static float unit(struct canvas *canvas)
{
    return (float)lbw_random_unit(&canvas->random);
}

static float between(struct canvas *canvas, float least, float most)
{
    return least + (most - least) * unit(canvas);
}

/* Triangular on (-1, 1): small values are common. */
static float around_zero(struct canvas *canvas)
{
    return unit(canvas) - unit(canvas);
}

static float clamp01(float value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

/*
 * The channels of photographs are correlated: they differ mostly along the axis from blue to
 * orange, less along that from green to magenta.
 */
static struct color make_color(float luma, float orange, float magenta)
{
    return (struct color){{clamp01(luma + 0.5f * orange + 0.25f * magenta),
                           clamp01(luma - 0.02f * orange - 0.25f * magenta),
                           clamp01(luma - 0.55f * orange + 0.25f * magenta)}};
}

static struct color any_color(struct canvas *canvas, float saturation)
{
    float luma = between(canvas, 0.02f, 0.98f);
    float orange = around_zero(canvas), magenta = around_zero(canvas);
    return make_color(luma, saturation * orange, saturation * magenta);
}

static struct color leaf_color(struct canvas *canvas)
{
    struct color color = canvas->palette[lbw_random_below(&canvas->random, NUM_COLORS)];
    float luma = 0.2f * around_zero(canvas);
    for (int c = 0; c < 3; c++)
        color.c[c] = clamp01(color.c[c] + luma + 0.05f * around_zero(canvas));
    return color;
}

/* A direction without sine or cosine: a point in the unit disc, scaled to the circle. */
static void any_direction(struct canvas *canvas, float *cosine, float *sine)
{
    for (;;) {
        float x = between(canvas, -1, 1), y = between(canvas, -1, 1);
        float square = x * x + y * y;
        if (square > 0.01f && square <= 1) {
            *cosine = x / sqrtf(square);
            *sine = y / sqrtf(square);
            return;
        }
    }
}

/* The inverse of the distribution whose density is ∝ r^-3 between two radii. */
static float any_radius(struct canvas *canvas)
{
    float least = canvas->radius_least;
    float most = RADIUS_MOST * canvas->short_side;
    float u = unit(canvas);
    return 1 / sqrtf(u / (least * least) + (1 - u) / (most * most));
}

static struct leaf any_leaf(struct canvas *canvas)
{
    float radius = any_radius(canvas), kind = unit(canvas);
    struct leaf leaf = {.shape = DISC, .a = radius, .b = radius};
    if (kind < ELLIPSES) {
        leaf.shape = ELLIPSE;
        leaf.b = radius * between(canvas, 0.3f, 0.9f);
    } else if (kind < ELLIPSES + BOXES) {
        leaf.shape = BOX;
        leaf.b = radius * between(canvas, 0.3f, 1);
    } else if (kind < ELLIPSES + BOXES + STROKES) {
        leaf.shape = BOX;
        leaf.a = radius * between(canvas, 1.5f, 4);
        leaf.b = 0.5f + radius * between(canvas, 0.03f, 0.15f);
    }
    float margin = radius;
    leaf.x = between(canvas, -margin, (float)canvas->width + margin);
    leaf.y = between(canvas, -margin, (float)canvas->height + margin);
    any_direction(canvas, &leaf.cosine, &leaf.sine);
    if (leaf.shape == BOX &&
        unit(canvas) < 0.5f) { /* horizontal and vertical directions are common */
        leaf.cosine = unit(canvas) < 0.5f ? 1 : 0;
        leaf.sine = 1 - leaf.cosine;
    }
    leaf.color = leaf_color(canvas);
    leaf.shade = SHADING * around_zero(canvas) / leaf.a;
    float texture = unit(canvas);
    leaf.texture = TEXTURE * texture * texture * texture;
    leaf.texture_step = between(canvas, 0.15f, 1.5f);
    leaf.tile_offset = lbw_random_below(&canvas->random, TILE * TILE);
    return leaf;
}

/* The fraction of a pixel that a leaf covers, (u, v) from its centre along its axes. */
static float coverage(const struct leaf *leaf, float u, float v)
{
    float outside;
    if (leaf->shape == BOX) {
        float du = fabsf(u) - leaf->a, dv = fabsf(v) - leaf->b;
        outside = du > dv ? du : dv;
    } else {
        float p = u / leaf->a, q = v / leaf->b;
        float square = p * p + q * q;
        if (square > 4)
            return 0;
        outside = (sqrtf(square) - 1) * leaf->b;
    }
    return clamp01(0.5f - outside);
}

static float texture_at(const struct canvas *canvas, const struct leaf *leaf, float u, float v)
{
    uint32_t x = (uint32_t)(int32_t)(u * leaf->texture_step + 4096) + leaf->tile_offset;
    uint32_t y = (uint32_t)(int32_t)(v * leaf->texture_step + 4096) + leaf->tile_offset / TILE;
    return canvas->tile[(y & TILE_MASK) * TILE + (x & TILE_MASK)];
}

/* The first and last pixel of `num` that a leaf at `centre`, of extent `reach`, can touch. */
static void clip(int *first, int *last, float centre, float reach, int num)
{
    float low = centre - reach - 1, high = centre + reach + 1;
    *first = low < 0 ? 0 : low > (float)num ? num : (int)low;
    *last = high < 0 ? -1 : high > (float)num - 1 ? num - 1 : (int)high;
}

/* Paints the leaf on top; returns the number of pixels visited. */
static float paint(struct canvas *canvas, const struct leaf *leaf)
{
    float c = leaf->cosine, s = leaf->sine;
    float reach_x = fabsf(c) * leaf->a + fabsf(s) * leaf->b;
    float reach_y = fabsf(s) * leaf->a + fabsf(c) * leaf->b;
    int left, right, top, bottom;
    clip(&left, &right, leaf->x, reach_x, canvas->width);
    clip(&top, &bottom, leaf->y, reach_y, canvas->height);
    float painted = 0;
    for (int y = top; y <= bottom; y++) {
        float *pixel = canvas->pixels + ((size_t)y * (size_t)canvas->width + (size_t)left) * 3;
        for (int x = left; x <= right; x++, pixel += 3) {
            float dx = (float)x + 0.5f - leaf->x, dy = (float)y + 0.5f - leaf->y;
            float u = c * dx + s * dy, v = c * dy - s * dx;
            float share = coverage(leaf, u, v);
            if (share <= 0)
                continue;
            float change = u * leaf->shade + leaf->texture * texture_at(canvas, leaf, u, v);
            for (int k = 0; k < 3; k++)
                pixel[k] += share * (leaf->color.c[k] + change - pixel[k]);
            painted += share;
        }
    }
    return painted;
}

/* Noise of five octaves, each half the previous one in size and strength; tileable. */
static void make_tile(struct canvas *canvas)
{
    float corner[TILE * TILE / 16];
    memset(canvas->tile, 0, sizeof(float) * TILE * TILE);
    float strength = 0.5f;
    for (int cell = 64; cell >= 4; cell /= 2, strength *= 0.7f) {
        int num = TILE / cell;
        for (int i = 0; i < num * num; i++)
            corner[i] = between(canvas, -1, 1);
        for (int y = 0; y < TILE; y++) {
            const float *above = corner + y / cell * num;
            const float *below = corner + (y / cell + 1) % num * num;
            float v = (float)(y % cell) / (float)cell;
            for (int x = 0; x < TILE; x++) {
                int left = x / cell, right = (left + 1) % num;
                float u = (float)(x % cell) / (float)cell;
                float upper = above[left] + u * (above[right] - above[left]);
                float lower = below[left] + u * (below[right] - below[left]);
                canvas->tile[y * TILE + x] += strength * (upper + v * (lower - upper));
            }
        }
    }
    for (int i = 0; i < TILE * TILE; i++)
        canvas->tile[i] += 0.15f * between(canvas, -1, 1);
}

/* [1 2 1] / 4 along one direction, in place: `num` pixels that are `step` floats apart. */
static void blur_line(float *line, int num, size_t step)
{
    for (int k = 0; k < 3; k++) {
        float before = line[k];
        for (int i = 0; i < num; i++) {
            float *at = line + (size_t)i * step + k;
            float here = *at, after = i + 1 < num ? at[step] : here;
            *at = 0.25f * before + 0.5f * here + 0.25f * after;
            before = here;
        }
    }
}

static void blur(struct canvas *canvas)
{
    size_t row = (size_t)canvas->width * 3;
    for (int y = 0; y < canvas->height; y++)
        blur_line(canvas->pixels + (size_t)y * row, canvas->width, 3);
    for (int x = 0; x < canvas->width; x++)
        blur_line(canvas->pixels + (size_t)x * 3, canvas->height, row);
}

/* Lighting of the whole scene, exposure and sensor noise, then 8 bits. */
static void develop(struct canvas *canvas, uint8_t *out)
{
    float exposure = between(canvas, 0.6f, 1.25f), black = between(canvas, -0.1f, 0.08f);
    float slope_x = 0.25f * around_zero(canvas) / (float)canvas->width;
    float slope_y = 0.4f * around_zero(canvas) / (float)canvas->height;
    float noise = NOISE * unit(canvas) * unit(canvas);
    const float *pixel = canvas->pixels;
    for (int y = 0; y < canvas->height; y++)
        for (int x = 0; x < canvas->width; x++, pixel += 3, out += 3) {
            float light = exposure * (1 + slope_x * (float)(2 * x - canvas->width) +
                                      slope_y * (float)(2 * y - canvas->height));
            uint64_t bits = lbw_random_u64(&canvas->random);
            for (int k = 0; k < 3; k++, bits >>= 21) {
                /*
                 * Three numbers of 7 bits each: close to a normal distribution, standard
                 * deviation 64.
                 */
                int sum = (int)((bits & 127) + (bits >> 7 & 127) + (bits >> 14 & 127)) - 190;
                float value = black + light * pixel[k] + noise * (float)sum * (1 / 64.0f);
                out[k] = (uint8_t)(clamp01(value) * 255 + 0.5f);
            }
        }
}

static void draw(struct canvas *canvas, uint8_t *out)
{
    canvas->saturation = between(canvas, 0.15f, 0.9f);
    for (int i = 0; i < NUM_COLORS; i++)
        canvas->palette[i] = any_color(canvas, canvas->saturation);
    float calm = unit(canvas);
    canvas->radius_least =
        (RADIUS_LEAST + (RADIUS_CALM - RADIUS_LEAST) * calm * calm) * canvas->short_side;
    if (canvas->radius_least < 0.8f)
        canvas->radius_least = 0.8f;
    make_tile(canvas);
    float area = (float)canvas->width * (float)canvas->height, painted = 0;
    struct color ground = leaf_color(canvas);
    for (size_t i = 0; i < (size_t)canvas->width * (size_t)canvas->height * 3; i++)
        canvas->pixels[i] = ground.c[i % 3];
    for (int i = 0; i < MAX_LEAVES && painted < COVER * area; i++) {
        struct leaf leaf = any_leaf(canvas);
        painted += paint(canvas, &leaf);
    }
    if (unit(canvas) < BLURRED)
        blur(canvas);
    develop(canvas, out);
}

enum lbw_status lbw_generate_image(struct lbw_image *out, int width, int height, uint64_t seed,
                                   size_t index, struct lbw_error *err)
{
    if (width < 1 || height < 1 || width > 16384 || height > 16384)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no images of %dx%d pixels", width, height);
    size_t num = (size_t)width * (size_t)height * 3;
    struct canvas canvas = {
        .width = width,
        .height = height,
        .short_side = (float)(width < height ? width : height),
        .pixels = malloc(num * sizeof(float)),
        .tile = malloc(sizeof(float) * TILE * TILE),
        /* Consecutive states of the generator would give neighbours overlapping sequences. */
        .random = {(seed + 1) * 0xd1342543de82ef95 ^ (uint64_t)index * 0xaef17502108ef2d9},
    };
    uint8_t *pixels = malloc(num);
    bool is_ready = canvas.pixels && canvas.tile && pixels;
    if (is_ready) {
        draw(&canvas, pixels);
        *out = (struct lbw_image){width, height, pixels};
    } else {
        free(pixels);
    }
    free(canvas.pixels);
    free(canvas.tile);
    return is_ready ? LBW_OK : lbw_fail_memory(err);
}
