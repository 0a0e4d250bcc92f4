/* SPDX-License-Identifier: MIT */
/* Reading images; formats are recognised by their first bytes. */
#include "feed/image_formats.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/*
 * A file with more pixels per byte is forged and would cost memory: deflate expands one byte to
 * at most 1032, of 8 pixels each, and a JPEG block of 64 pixels takes at least a bit.
 * (Arithmetic coding could use less for an image of one colour.)
 */
#define MAX_PIXELS_PER_BYTE 8256

/* One row per format. */
static const struct {
    const char *magic;
    size_t magic_size;
    lbw_image_read_fn *read;
} formats[] = {
    {"\xff\xd8\xff", 3, lbw_image_read_jpeg},
    {"\x89PNG\r\n\x1a\n", 8, lbw_image_read_png},
};

void lbw_image_release(struct lbw_image *image)
{
    free(image->pixels);
    *image = (struct lbw_image){0};
}

enum lbw_status lbw_image_init(struct lbw_image *out, int64_t width, int64_t height,
                               size_t bytes_per_pixel, size_t file_size, struct lbw_error *err)
{
    if (width < 1 || height < 1 || width > LBW_MAX_SIDE || height > LBW_MAX_SIDE)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "%lldx%lld pixels; sides from 1 to %d are supported", (long long)width,
                        (long long)height, LBW_MAX_SIDE);
    if ((size_t)(width * height) / MAX_PIXELS_PER_BYTE > file_size)
        return lbw_fail(err, LBW_ERR_FORMAT, "%lldx%lld pixels are not in %zu bytes",
                        (long long)width, (long long)height, file_size);
    uint8_t *pixels = malloc((size_t)width * (size_t)height * bytes_per_pixel);
    if (!pixels)
        return lbw_fail_memory(err);
    *out = (struct lbw_image){(int)width, (int)height, pixels};
    return LBW_OK;
}

enum lbw_status lbw_image_read(struct lbw_image *out, const char *path, struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    LBW_TRY(lbw_check_given("path", path, err));
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    size_t i = 0;
    while (i < LBW_NUM(formats) &&
           (bytes.size < formats[i].magic_size ||
            memcmp(bytes.data, formats[i].magic, formats[i].magic_size)))
        i++;
    enum lbw_status status = i < LBW_NUM(formats)
                                 ? formats[i].read(out, &bytes, err)
                                 : lbw_fail(err, LBW_ERR_FORMAT, "neither JPEG nor PNG");
    lbw_bytes_release(&bytes);
    return lbw_within(err, status, "%s", path);
}
