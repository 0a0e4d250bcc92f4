/* SPDX-License-Identifier: MIT */
/* The images of 'lbw detect' and where each drawing goes, determined before any work. */
#ifndef LBW_CLI_DRAWINGS_H
#define LBW_CLI_DRAWINGS_H

#include <stddef.h>

#include <lbw/eval.h>

struct lbw_drawing {
    const char *picture; /* borrowed: from the command line or a folder */
    char *path;          /* of the drawing, "-" for standard output; NULL: no drawing */
};

struct lbw_drawings {
    size_t num, capacity;
    struct lbw_drawing *items;
    size_t num_folders; /* opened, in the order of the command line */
    struct lbw_dataset **folders;
};

/*
 * Lists the images that `arguments` name, those of folders by name, and where --output (NULL:
 * no drawings) puts each drawing. Returns LBW_EXIT_DONE, or explains and returns another
 * status: if the output cannot take them, if two drawings would have the same name, or if one
 * would overwrite an image or one of `models` (two, NULL for none).
 */
int lbw_drawings_init(struct lbw_drawings *out, char **arguments, size_t num,
                      const char *const *models, const char *output);
void lbw_drawings_release(struct lbw_drawings *drawings);

#endif
