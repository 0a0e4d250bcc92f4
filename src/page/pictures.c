/* SPDX-License-Identifier: MIT */
/* Embeds images as data, and draws boxes over them as SVG. */
#include "page/pictures.h"

#include <lbw/draw.h>

#include "base/error.h"
#include "page/markup.h"

#define MOST_PICTURES 3
#define PARTNER_IOU   .5f

static void print_base64(FILE *to, const unsigned char *data, size_t size)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t num = size - i < 3 ? size - i : 3;
        unsigned bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < num ? data[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            putc(k <= num ? digits[bits >> (18 - 6 * k) & 63] : '=', to);
    }
}

/* One model's view: `marks` is NULL for the float model. */
static void print_view(FILE *to, const struct lbw_check_picture *p, const char *title,
                       const struct lbw_box *boxes, const enum lbw_mark *marks, size_t num)
{
    static const char *const looks[] = {"kept", "lost", "invented"};
    fprintf(to,
            "<figure><figcaption>%s</figcaption><svg class=\"view\" viewBox=\"0 0 %d %d\" "
            "role=\"img\"><title>%s</title><image width=\"%d\" height=\"%d\" "
            "href=\"data:image/jpeg;base64,",
            title, p->width, p->height, title, p->width, p->height);
    print_base64(to, p->jpeg, p->jpeg_size);
    fputs("\"/>\n", to);
    for (size_t i = 0; i < num; i++)
        fprintf(to,
                "<rect class=\"box %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                "height=\"%.1f\"><title>class %d, score %.2f%s%s</title></rect>\n",
                looks[marks ? marks[i] : LBW_MARK_NONE], (double)boxes[i].x, (double)boxes[i].y,
                (double)boxes[i].width, (double)boxes[i].height, boxes[i].class_index,
                (double)boxes[i].score, marks && marks[i] ? ", " : "",
                marks && marks[i] ? looks[marks[i]] : "");
    fputs("</svg></figure>\n", to);
}

static enum lbw_status print_picture(FILE *to, const struct lbw_check_picture *p,
                                     struct lbw_error *err)
{
    struct lbw_box *boxes = NULL;
    enum lbw_mark *marks = NULL;
    size_t num = 0;
    LBW_TRY(lbw_compare_boxes(&boxes, &marks, &num, p->wanted, p->num_wanted, p->found,
                              p->num_found, PARTNER_IOU, err));
    fputs("<div class=\"pair\">\n", to);
    print_view(to, p, "float model", p->wanted, NULL, p->num_wanted);
    print_view(to, p, "converted", boxes, marks, num);
    fputs("</div>\n", to);
    lbw_free(boxes);
    lbw_free(marks);
    return LBW_OK;
}

enum lbw_status lbw_pictures_print(FILE *to, const struct lbw_check *check, size_t num_samples,
                                   struct lbw_error *err)
{
    struct lbw_error why = {0};
    fputs("<h2>Images</h2>\n<p>Held-back samples, as the network sees them. Dashed: lost; "
          "dotted: invented.</p>\n",
          to);
    for (size_t i = 0, shown = 0; i < num_samples && shown < MOST_PICTURES; i++) {
        struct lbw_check_picture picture;
        enum lbw_status status = lbw_check_picture(&picture, check, i, &why);
        if (status == LBW_ERR_UNSUPPORTED) {
            fputs("<p>Left out: ", to);
            LBW_TRY(lbw_markup_text(to, why.message, err));
            fputs("</p>\n", to);
            return LBW_OK;
        }
        if (status != LBW_OK)
            return lbw_fail(err, status, "%s", why.message);
        if (picture.num_wanted + picture.num_found) {
            status = print_picture(to, &picture, err);
            shown++;
        }
        lbw_free(picture.jpeg);
        LBW_TRY(status);
    }
    return LBW_OK;
}
