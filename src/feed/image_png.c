/* SPDX-License-Identifier: MIT */
/* Decoding PNG, by libpng. */
#include "feed/image_formats.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* libpng reports errors by longjmp: all that must survive the jump is here. */
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

/* Converts every format to 8-bit RGB; transparency is dropped, as training code does. */
static void png_to_rgb(png_structp png, png_infop info)
{
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

/* All calls that may jump; the caller frees. */
static enum lbw_status decode_png(struct png_reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return reader->status;
    png_set_user_limits(reader->png, LBW_MAX_SIDE, LBW_MAX_SIDE);
    png_set_read_fn(reader->png, reader, png_take);
    png_read_info(reader->png, reader->info);
    bool is_interlaced =
        png_get_interlace_type(reader->png, reader->info) != PNG_INTERLACE_NONE;
    png_to_rgb(reader->png, reader->info);
    uint32_t width = png_get_image_width(reader->png, reader->info);
    uint32_t height = png_get_image_height(reader->png, reader->info);
    LBW_TRY(lbw_image_init(&reader->image, width, height, 3, reader->bytes->size, reader->err));
    if (png_get_rowbytes(reader->png, reader->info) != (size_t)3 * width)
        return lbw_fail(reader->err, LBW_ERR_FORMAT, "broken PNG: odd pixel format");
    for (int pass = 0; pass < (is_interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1); pass++)
        for (uint32_t y = 0; y < height; y++)
            png_read_row(reader->png, reader->image.pixels + (size_t)3 * width * y, NULL);
    return LBW_OK;
}

enum lbw_status lbw_image_read_png(struct lbw_image *out, const struct lbw_bytes *bytes,
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
