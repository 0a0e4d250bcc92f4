/* SPDX-License-Identifier: MIT */
/* Decoding and encoding JPEG, by TurboJPEG. */
#include "feed/image_formats.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

/*
 * Converts in place. CMYK and YCCK files by Adobe, the only ones in practice, hold inverted
 * inks: 255 is none.
 */
static void cmyk_to_rgb(uint8_t *pixels, size_t num)
{
    for (size_t i = 0; i < num; i++)
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = (uint8_t)((pixels[4 * i + c] * pixels[4 * i + 3] + 127) / 255);
}

/*
 * A truncated image is an error; stray bytes between markers are common and harmless. After a
 * warning TurboJPEG reports every failure as a warning, so the message has to decide.
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

enum lbw_status lbw_image_read_jpeg(struct lbw_image *out, const struct lbw_bytes *bytes,
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
    status = lbw_image_init(&image, width, height, is_cmyk ? 4 : 3, bytes->size, err);
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

enum lbw_status lbw_image_write_jpeg(void **out, size_t *size, const struct lbw_image *image,
                                     struct lbw_error *err)
{
    unsigned char *made = NULL;
    unsigned long num = 0;
    void *copy = NULL;
    enum lbw_status status = LBW_OK;
    tjhandle jpeg = tjInitCompress();
    if (!jpeg)
        return lbw_fail_memory(err);
    if (tjCompress2(jpeg, image->pixels, image->width, 0, image->height, TJPF_RGB, &made, &num,
                    TJSAMP_420, 85, TJFLAG_ACCURATEDCT) < 0)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED, "JPEG: %s", tjGetErrorStr2(jpeg)));
    if (!(copy = malloc(num + 1)))
        LBW_OR_OUT(lbw_fail_memory(err));
    memcpy(copy, made, num);
    *out = copy;
    *size = num;
out:
    tjFree(made);
    tjDestroy(jpeg);
    return status;
}
