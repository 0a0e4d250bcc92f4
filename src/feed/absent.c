/* SPDX-License-Identifier: MIT */
/* Replaces decoders that are not in this build (see src/meson.build). */
#include "feed/image_formats.h"

#ifdef LBW_WITHOUT_JPEG
enum lbw_status lbw_image_read_jpeg(struct lbw_image *out, const struct lbw_bytes *bytes,
                                    struct lbw_error *err)
{
    (void)out, (void)bytes;
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "JPEG: lbw was built without libturbojpeg");
}

enum lbw_status lbw_image_write_jpeg(void **out, size_t *size, const struct lbw_image *image,
                                     struct lbw_error *err)
{
    (void)out, (void)size, (void)image;
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "JPEG: lbw was built without libturbojpeg");
}
#endif

#ifdef LBW_WITHOUT_PNG
enum lbw_status lbw_image_read_png(struct lbw_image *out, const struct lbw_bytes *bytes,
                                   struct lbw_error *err)
{
    (void)out, (void)bytes;
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "PNG: lbw was built without libpng");
}
#endif
