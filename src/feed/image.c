/* SPDX-License-Identifier: MIT */
/* Decoding JPEG (TurboJPEG) and PNG (libpng) files, told apart by their first bytes. */
#include <lbw/image.h>

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/file.h"

#define MAX_SIDE 16384

/*
 * More is a lie that would cost memory: deflate makes 1032 bytes of one at best, of 8 pixels
 * each, and of JPEG's blocks of 64 pixels each takes a bit. (Arithmetic coding could do with
 * less, for a picture of one colour.)
 */
#define MAX_PIXELS_PER_BYTE 8256

void lbw_image_release(struct lbw_image *image)
{
    free(image->pixels);
    *image = (struct lbw_image){0};
}

/* Memory for the pixels of a picture whose sides come from a file of `file_size` bytes. */
static enum lbw_status image_init(struct lbw_image *out, int64_t width, int64_t height,
                                  size_t bytes_per_pixel, size_t file_size,
                                  struct lbw_error *err)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "%lldx%lld pixels; sides from 1 to %d are supported", (long long)width,
                        (long long)height, MAX_SIDE);
    if ((size_t)(width * height) / MAX_PIXELS_PER_BYTE > file_size)
        return lbw_fail(err, LBW_ERR_FORMAT, "%lldx%lld pixels are not in %zu bytes",
                        (long long)width, (long long)height, file_size);
    uint8_t *pixels = malloc((size_t)width * (size_t)height * bytes_per_pixel);
    if (!pixels)
        return lbw_fail_memory(err);
    *out = (struct lbw_image){(int)width, (int)height, pixels};
    return LBW_OK;
}

/*
 * In place. Adobe's CMYK and YCCK files, the only ones met in practice, hold inverted inks:
 * 255 is none.
 */
static void cmyk_to_rgb(uint8_t *pixels, size_t num)
{
    for (size_t i = 0; i < num; i++)
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = (uint8_t)((pixels[4 * i + c] * pixels[4 * i + 3] + 127) / 255);
}

/*
 * A picture that ends early is refused; stray bytes between markers are common and harmless.
 * After a warning TurboJPEG calls every failure a warning, so the last message has to tell.
 */
static bool jpeg_is_broken(tjhandle jpeg)
{
    static const char *const harmless[] = {
        "Corrupt JPEG data: ",
        "Inconsistent progression sequence ",
        "Invalid SOS parameters for sequential JPEG",
        "Unknown Adobe color transform code ",
        "Warning: ",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strncmp(tjGetErrorStr2(jpeg), harmless[i], strlen(harmless[i])) == 0)
            return tjGetErrorCode(jpeg) != TJERR_WARNING;
    return true;
}

static enum lbw_status read_jpeg(struct lbw_image *out, const struct lbw_bytes *bytes,
                                 struct lbw_error *err)
{
    enum lbw_status status = LBW_OK;
    struct lbw_image image = {0};
    int width = 0, height = 0, subsampling, colorspace = -1;
    tjhandle jpeg = tjInitDecompress();
    if (!jpeg)
        return lbw_fail_memory(err);
    if (tjDecompressHeader3(jpeg, bytes->data, bytes->size, &width, &height, &subsampling,
                            &colorspace) < 0 &&
        jpeg_is_broken(jpeg)) {
        status = lbw_fail(err, LBW_ERR_FORMAT, "broken JPEG: %s", tjGetErrorStr2(jpeg));
        goto out;
    }
    bool is_cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
    status = image_init(&image, width, height, is_cmyk ? 4 : 3, bytes->size, err);
    if (status != LBW_OK)
        goto out;
    if (tjDecompress2(jpeg, bytes->data, bytes->size, image.pixels, width, 0, height,
                      is_cmyk ? TJPF_CMYK : TJPF_RGB,
                      TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) < 0 &&
        jpeg_is_broken(jpeg)) {
        status = lbw_fail(err, LBW_ERR_FORMAT, "broken JPEG: %s", tjGetErrorStr2(jpeg));
        goto out;
    }
    if (is_cmyk)
        cmyk_to_rgb(image.pixels, (size_t)width * (size_t)height);
    *out = image;
    image.pixels = NULL;
out:
    tjDestroy(jpeg);
    free(image.pixels);
    return status;
}

/* libpng leaves through longjmp: all that must survive the jump lives here. */
struct png_reader {
    const struct lbw_bytes *bytes;
    size_t taken;
    png_structp png;
    png_infop info;
    struct lbw_image image;
    enum lbw_status status;
    struct lbw_error *err;
};

static void png_failed(png_structp png, png_const_charp message)
{
    struct png_reader *reader = png_get_error_ptr(png);
    if (strstr(message, "memory"))
        reader->status = lbw_fail_memory(reader->err);
    else
        reader->status = lbw_fail(reader->err, LBW_ERR_FORMAT, "broken PNG: %s", message);
    png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void png_take(png_structp png, png_bytep data, png_size_t size)
{
    struct png_reader *reader = png_get_io_ptr(png);
    if (reader->bytes->size - reader->taken < size)
        png_error(png, "the file ends early");
    memcpy(data, reader->bytes->data + reader->taken, size);
    reader->taken += size;
}

/* Whatever the file holds becomes 8-bit RGB; transparency is dropped, as training code does. */
static void png_to_rgb(png_structp png, png_infop info)
{
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

/* Every call that may jump; the caller frees. */
static enum lbw_status decode_png(struct png_reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return reader->status;
    png_set_user_limits(reader->png, MAX_SIDE, MAX_SIDE);
    png_set_read_fn(reader->png, reader, png_take);
    png_read_info(reader->png, reader->info);
    bool is_interlaced =
        png_get_interlace_type(reader->png, reader->info) != PNG_INTERLACE_NONE;
    png_to_rgb(reader->png, reader->info);
    uint32_t width = png_get_image_width(reader->png, reader->info);
    uint32_t height = png_get_image_height(reader->png, reader->info);
    LBW_TRY(image_init(&reader->image, width, height, 3, reader->bytes->size, reader->err));
    if (png_get_rowbytes(reader->png, reader->info) != (size_t)3 * width)
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "broken PNG: odd pixel format");
    for (int pass = 0; pass < (is_interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1); pass++)
        for (uint32_t y = 0; y < height; y++)
            png_read_row(reader->png, reader->image.pixels + (size_t)3 * width * y, NULL);
    return LBW_OK;
}

static enum lbw_status read_png(struct lbw_image *out, const struct lbw_bytes *bytes,
                                struct lbw_error *err)
{
    enum lbw_status status = LBW_ERR_MEMORY;
    struct png_reader reader = {.bytes = bytes, .err = err};
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, png_failed, png_warned);
    if (reader.png)
        reader.info = png_create_info_struct(reader.png);
    if (reader.info)
        status = decode_png(&reader);
    else
        lbw_fail_memory(err);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    if (status == LBW_OK)
        *out = reader.image;
    else
        free(reader.image.pixels);
    return status;
}

enum lbw_status lbw_image_read(struct lbw_image *out, const char *path, struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    enum lbw_status status;
    if (bytes.size >= 3 && !memcmp(bytes.data, "\xff\xd8\xff", 3))
        status = read_jpeg(out, &bytes, err);
    else if (bytes.size >= 8 && !png_sig_cmp(bytes.data, 0, 8))
        status = read_png(out, &bytes, err);
    else
        status = lbw_fail(err, LBW_ERR_FORMAT, "neither JPEG nor PNG");
    lbw_bytes_release(&bytes);
    return lbw_within(err, status, "%s", path);
}
