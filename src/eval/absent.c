/* SPDX-License-Identifier: MIT */
/* Replaces drawing and labels that are not in this build. */
#include <lbw/draw.h>

#include "eval/dataset.h"

#ifdef LBW_WITHOUT_CAIRO
enum lbw_status lbw_draw(const char *path, const struct lbw_image *image,
                         const struct lbw_panel *panels, size_t num_panels,
                         const char *const *names, size_t num_names, struct lbw_error *err)
{
    (void)path, (void)image, (void)panels, (void)num_panels, (void)names, (void)num_names;
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "cannot draw: lbw was built without cairo");
}
#endif

#ifdef LBW_WITHOUT_EXPAT
enum lbw_status lbw_dataset_load_voc(struct lbw_dataset *dataset, const char *path,
                                     struct lbw_error *err)
{
    (void)dataset;
    return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                    "%s: labels in VOC's XML: lbw was built without expat", path);
}
#endif
