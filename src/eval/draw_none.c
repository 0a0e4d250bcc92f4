/* SPDX-License-Identifier: MIT */
/* What stands for drawing in a build without cairo. */
#include <lbw/draw.h>

#include "base/error.h"

enum lbw_status lbw_draw(const char *path, const struct lbw_image *image,
                         const struct lbw_panel *panels, size_t num_panels,
                         const char *const *names, size_t num_names, struct lbw_error *err)
{
    (void)path;
    (void)image;
    (void)panels;
    (void)num_panels;
    (void)names;
    (void)num_names;
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "cannot draw: lbw was built without cairo");
}
