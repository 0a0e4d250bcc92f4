/* SPDX-License-Identifier: MIT */
/* Images: every kind of JPEG and PNG, broken ones, and what preprocessing makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <png.h>
#include <turbojpeg.h>
#include <cmocka.h>

#include "../fixture.h"
#include "feed/generate.h"

/* Of the first generated image, 96x64: a change of it changes every conversion. */
#define FINGERPRINT 0x118bd4fau

#define WIDTH  37
#define HEIGHT 23

/* What the image shows, smooth so that JPEG keeps it. */
static int level(int x, int y, int c)
{
    return 30 + 4 * x + (c == 1 ? 0 : c == 0 ? 2 : -1) * y;
}

struct kind {
    const char *name;
    int color_type, bit_depth, interlace;
};

static void write_png(const char *path, const struct kind *kind)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, WIDTH, HEIGHT, kind->bit_depth, kind->color_type, kind->interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_color palette[256];
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i / 2)};
    if (kind->color_type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 256);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    int channels = png_get_channels(png, info), bytes = kind->bit_depth > 8 ? 2 : 1;
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < HEIGHT; y++) {
            png_byte row[WIDTH * 8] = {0};
            for (int i = 0; i < WIDTH * channels; i++) {
                int x = i / channels, c = i % channels;
                bool is_alpha = c == channels - 1 && (kind->color_type & PNG_COLOR_MASK_ALPHA);
                if (kind->bit_depth == 1)
                    row[x / 8] |= (png_byte)((x + y) % 2 << (7 - x % 8));
                else
                    row[i * bytes] =
                        (png_byte)(is_alpha ? 7 : level(x, y, channels < 3 ? 1 : c));
            }
            png_write_row(png, row);
        }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static void test_png(void **state)
{
    (void)state;
    static const struct kind kinds[] = {
        {"rgb", PNG_COLOR_TYPE_RGB, 8, 0},
        {"rgb16", PNG_COLOR_TYPE_RGB, 16, 0},
        {"rgba", PNG_COLOR_TYPE_RGBA, 8, 0},
        {"gray", PNG_COLOR_TYPE_GRAY, 8, 0},
        {"gray16", PNG_COLOR_TYPE_GRAY, 16, 1},
        {"gray1", PNG_COLOR_TYPE_GRAY, 1, 0},
        {"ga16", PNG_COLOR_TYPE_GA, 16, 0},
        {"palette", PNG_COLOR_TYPE_PALETTE, 8, 0},
        {"adam7", PNG_COLOR_TYPE_RGB, 8, 1},
        {"adam7 rgba16", PNG_COLOR_TYPE_RGBA, 16, 1},
        {"adam7 palette", PNG_COLOR_TYPE_PALETTE, 8, 1},
    };
    const char *path = temporary_path("kind.png");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const struct kind *kind = &kinds[k];
        write_png(path, kind);
        struct lbw_image image;
        struct lbw_error err = {0};
        assert_int_equal(lbw_image_read(&image, path, &err), LBW_OK);
        assert_int_equal(image.width, WIDTH);
        assert_int_equal(image.height, HEIGHT);
        bool is_color = kind->color_type & PNG_COLOR_MASK_COLOR;
        for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
            int x = i / 3 % WIDTH, y = i / 3 / WIDTH, c = i % 3;
            int expected = level(x, y, is_color ? c : 1);
            if (kind->bit_depth == 1)
                expected = (x + y) % 2 * 255;
            if (kind->color_type == PNG_COLOR_TYPE_PALETTE) {
                int at = level(x, y, 1);
                expected = c == 0 ? at : c == 1 ? 255 - at : at / 2;
            }
            if (image.pixels[i] != expected)
                fail_msg("%s: pixel %d,%d channel %d is %d, not %d", kind->name, x, y, c,
                         image.pixels[i], expected);
        }
        lbw_image_release(&image);
        assert_null(image.pixels);
    }
    unlink(path);
}

/* The bytes of a JPEG of this pixel format; freed with tjFree(). */
static unsigned char *make_jpeg(unsigned long *size, int format, int subsampling, int flags)
{
    unsigned char pixels[WIDTH * HEIGHT * 4], *jpeg = NULL;
    int channels = tjPixelSize[format];
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        for (int c = 0; c < channels; c++)
            pixels[i * channels + c] =
                (unsigned char)(c == 3 ? 200
                                       : level(i % WIDTH, i / WIDTH, channels < 3 ? 1 : c));
    tjhandle handle = tjInitCompress();
    *size = 0;
    assert_int_equal(tjCompress2(handle, pixels, WIDTH, 0, HEIGHT, format, &jpeg, size,
                                 subsampling, 98, flags),
                     0);
    tjDestroy(handle);
    return jpeg;
}

static void test_jpeg(void **state)
{
    (void)state;
    static const struct {
        int format, subsampling, flags;
    } kinds[] = {
        {TJPF_RGB, TJSAMP_444, 0},
        {TJPF_RGB, TJSAMP_420, TJFLAG_PROGRESSIVE},
        {TJPF_GRAY, TJSAMP_GRAY, 0},
        {TJPF_CMYK, TJSAMP_444, 0},
    };
    const char *path = temporary_path("kind.jpg");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        unsigned long size;
        unsigned char *jpeg =
            make_jpeg(&size, kinds[k].format, kinds[k].subsampling, kinds[k].flags);
        write_file(path, jpeg, size);
        tjFree(jpeg);
        struct lbw_image image;
        struct lbw_error err = {0};
        assert_int_equal(lbw_image_read(&image, path, &err), LBW_OK);
        assert_int_equal(image.width, WIDTH);
        assert_int_equal(image.height, HEIGHT);
        for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
            bool is_gray = kinds[k].format == TJPF_GRAY;
            int expected = level(i / 3 % WIDTH, i / 3 / WIDTH, is_gray ? 1 : i % 3);
            if (kinds[k].format == TJPF_CMYK)
                expected = expected * 200 / 255;
            assert_in_range(image.pixels[i] + 8, expected, expected + 16);
        }
        lbw_image_release(&image);
    }
    unlink(path);
}

/* Cut anywhere, an image is refused; the message names the file. */
static void check_cuts(const char *path, const unsigned char *data, size_t size, size_t step)
{
    for (size_t cut = 0; cut + 3 < size; cut += step) {
        write_file(path, data, cut);
        struct lbw_image image = {.width = -7};
        struct lbw_error err = {0};
        assert_int_equal(lbw_image_read(&image, path, &err), LBW_ERR_FORMAT);
        assert_int_equal(image.width, -7);
        assert_false(strncmp(err.message, path, strlen(path)));
    }
}

/* A small file that claims to be a huge image costs no memory. */
static void check_lie(const char *path, const unsigned char *data, size_t size)
{
    struct lbw_image image;
    struct lbw_error err = {0};
    write_file(path, data, size);
    assert_int_equal(lbw_image_read(&image, path, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "16384x16384 pixels are not in"));
}

/* Stray bytes between segments make a warning, and what fails then is no less broken. */
static void check_failure_behind_warning(const char *path, const unsigned char *jpeg,
                                         size_t size)
{
    struct lbw_image image;
    struct lbw_error err = {0};
    unsigned char *strays = malloc(size + 3);
    size_t at = 4 + (size_t)(jpeg[4] << 8 | jpeg[5]); /* where the first segment ends */
    assert_non_null(strays);
    assert_true(at < size);
    memcpy(strays, jpeg, at);
    memcpy(strays + at, "???", 3);
    memcpy(strays + at + 3, jpeg + at, size - at);
    write_file(path, strays, size + 3);
    assert_int_equal(lbw_image_read(&image, path, &err), LBW_OK);
    lbw_image_release(&image);
    for (size_t i = 0; i < size; i++)
        if (strays[i] == 0xff && strays[i + 1] == 0xdb)
            strays[i + 1] = 0xfe; /* a comment in place of a quantization table */
    write_file(path, strays, size + 3);
    assert_int_equal(lbw_image_read(&image, path, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "Quantization table"));
    free(strays);
}

static void test_broken(void **state)
{
    (void)state;
    const char *path = temporary_path("broken");
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size, TJPF_RGB, TJSAMP_420, 0);
    check_cuts(path, jpeg, size, 7);
    check_failure_behind_warning(path, jpeg, size);
    for (size_t i = 0; i + 9 < size; i++)
        if (jpeg[i] == 0xff && jpeg[i + 1] == 0xc0)
            memcpy(jpeg + i + 5, "\x40\0\x40", 4); /* sides of 16384 */
    check_lie(path, jpeg, size);
    tjFree(jpeg);
    static const struct kind rgb = {"rgb", PNG_COLOR_TYPE_RGB, 8, 0};
    write_png(path, &rgb);
    unsigned char png[8192];
    FILE *file = fopen(path, "rb");
    size_t png_size = fread(png, 1, sizeof png, file);
    fclose(file);
    assert_true(png_size < sizeof png);
    check_cuts(path, png, png_size - 16, 5); /* libpng can do without the end chunk */
    struct lbw_image image;
    struct lbw_error err = {0};
    png[20] = 0x7f; /* the height, two billion now, and its checksum is wrong */
    write_file(path, png, png_size);
    assert_int_equal(lbw_image_read(&image, path, &err), LBW_ERR_FORMAT);
    write_file(path, "plain text", 10);
    assert_int_equal(lbw_image_read(&image, path, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "neither JPEG nor PNG"));
    unlink(path);
    assert_int_equal(lbw_image_read(&image, path, &err), LBW_ERR_IO);
}

/* Bilinear by its definition, in double. */
static double sample(const struct lbw_image *image, double x, double y, int c)
{
    x = fmin(fmax(x, 0), image->width - 1);
    y = fmin(fmax(y, 0), image->height - 1);
    int x0 = (int)x, y0 = (int)y;
    int x1 = x0 + 1 < image->width ? x0 + 1 : x0, y1 = y0 + 1 < image->height ? y0 + 1 : y0;
    double u = x - x0, v = y - y0;
#define AT(i, j) image->pixels[((j)*image->width + (i)) * 3 + c]
    return (1 - v) * ((1 - u) * AT(x0, y0) + u * AT(x1, y0)) +
           v * ((1 - u) * AT(x0, y1) + u * AT(x1, y1));
#undef AT
}

static void check_preprocess(const struct lbw_image *image, const struct lbw_preprocess *p,
                             int left, int top, int width, int height)
{
    int channels = p->color == LBW_COLOR_GRAY ? 1 : 3;
    float *out = malloc(sizeof(float) * (size_t)(channels * p->width * p->height));
    assert_non_null(out);
    struct lbw_placement place;
    assert_int_equal(lbw_preprocess_image(out, &place, image, p, NULL), LBW_OK);
    assert_float_equal(place.offset_x, left, 0);
    assert_float_equal(place.offset_y, top, 0);
    assert_float_equal((place.scale_x * (float)image->width), width, 1e-3);
    assert_float_equal((place.scale_y * (float)image->height), height, 1e-3);
    for (int i = 0; i < channels * p->width * p->height; i++) {
        int area = p->width * p->height;
        int c = p->channels_last ? i % channels : i / area;
        int at = p->channels_last ? i / channels : i % area;
        int x = at % p->width - left, y = at / p->width - top;
        double expected = (double)p->pad;
        if (x >= 0 && y >= 0 && x < width && y < height) {
            double sx = (x + 0.5) * image->width / width - 0.5;
            double sy = (y + 0.5) * image->height / height - 0.5;
            double rgb[3];
            for (int k = 0; k < 3; k++)
                rgb[k] = sample(image, sx, sy, k);
            expected = channels == 1 ? 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
                       : p->color == LBW_COLOR_BGR ? rgb[2 - c]
                                                   : rgb[c];
        }
        double got = (double)(out[i] * p->std[c] + p->mean[c]);
        if (fabs(got - expected) > 1.01)
            fail_msg("%dx%d to %dx%d: at %d,%d,%d %g, not %g", image->width, image->height,
                     p->width, p->height, x, y, c, got, expected);
    }
    free(out);
}

static void test_preprocess(void **state)
{
    (void)state;
    struct lbw_image image;
    assert_int_equal(lbw_generate_image(&image, 64, 37, 3, 0, NULL), LBW_OK);
    struct lbw_preprocess p = {.width = 41,
                               .height = 50,
                               .color = LBW_COLOR_BGR,
                               .pad = 114,
                               .mean = {103.53f, 116.28f, 123.675f},
                               .std = {57.375f, 57.12f, 58.395f}};
    check_preprocess(&image, &p, 0, 0, 41, 50);
    p.resize = LBW_RESIZE_LETTERBOX_CORNER; /* 41/64: 23.7 rows, truncated */
    check_preprocess(&image, &p, 0, 0, 41, 23);
    p.resize = LBW_RESIZE_LETTERBOX; /* rounded to 24; 26 rows of padding, 13 above */
    check_preprocess(&image, &p, 0, 13, 41, 24);
    p.color = LBW_COLOR_RGB;
    p.channels_last = 1;
    p.width = 200; /* 50/37 of 64: 86.49 columns; 57 to the left of them */
    check_preprocess(&image, &p, 57, 0, 86, 50);
    p.color = LBW_COLOR_GRAY;
    p.pad = 0;
    check_preprocess(&image, &p, 57, 0, 86, 50);
    p.resize = LBW_RESIZE_STRETCH;
    p.width = 1;
    p.height = 1;
    check_preprocess(&image, &p, 0, 0, 1, 1);
    struct lbw_error err = {0};
    float out[3];
    p.std[0] = 0;
    assert_int_equal(lbw_preprocess_image(out, NULL, &image, &p, &err), LBW_ERR_ARGUMENT);
    p.std[0] = 1;
    p.width = 0;
    assert_int_equal(lbw_preprocess_image(out, NULL, &image, &p, &err), LBW_ERR_ARGUMENT);
    lbw_image_release(&image);
}

static uint32_t fingerprint(const struct lbw_image *image)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (int i = 0; i < image->width * image->height * 3; i++)
        hash = (hash ^ image->pixels[i]) * 16777619u;
    return hash;
}

/* The same bytes on every machine; neighbours and seeds differ; a photograph's statistics. */
static void test_generate(void **state)
{
    (void)state;
    struct lbw_image image;
    uint32_t hashes[4];
    double mean = 0, deviation = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(
            lbw_generate_image(&image, 96, 64, (uint64_t)i / 2, (size_t)i % 2, NULL), LBW_OK);
        hashes[i] = fingerprint(&image);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(hashes[i], hashes[k]);
        lbw_image_release(&image);
    }
    assert_int_equal(hashes[0], FINGERPRINT);
    double square = 0;
    int num = 0;
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(lbw_generate_image(&image, 64, 64, 0, i, NULL), LBW_OK);
        for (int k = 0; k < 64 * 64 * 3; k++, num++) {
            mean += image.pixels[k];
            square += image.pixels[k] * image.pixels[k];
        }
        lbw_image_release(&image);
    }
    mean /= num;
    deviation = sqrt(square / num - mean * mean);
    assert_in_range((int)mean, 95, 140);
    assert_in_range((int)deviation, 50, 80);
    assert_int_equal(lbw_generate_image(&image, 1, 1, 0, 0, NULL), LBW_OK);
    lbw_image_release(&image);
    assert_int_equal(lbw_generate_image(&image, 1000, 3, 0, 0, NULL), LBW_OK);
    lbw_image_release(&image);
    assert_int_equal(lbw_generate_image(&image, 0, 3, 0, 0, NULL), LBW_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png),      cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_broken),   cmocka_unit_test(test_preprocess),
        cmocka_unit_test(test_generate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
