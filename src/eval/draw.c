/* SPDX-License-Identifier: MIT */
/* Draws boxes on images with cairo: coloured by class, with tags where they fit. */
#include <lbw/draw.h>

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/writer.h"

#define LEAST_SIDE   960.
#define MOST_SIDE    1600.
#define WIDE         1.7 /* above this aspect panels are stacked */
#define MANY_BOXES   14  /* from this number on tags avoid each other */
#define MOST_PANELS  64
#define GOLDEN_ANGLE 2.39996322972865332

struct color {
    double r, g, b;
};

static const struct color lost_color = {1, 1, 1}, invented_color = {1, .8, .1};

/* Sizes in pixels of the result, all derived from the panel. */
struct layout {
    double scale; /* image → panel */
    double width, height;
    double line;
    double font;
    double margin, header;
    bool is_stacked;
};

struct rect {
    double x, y, width, height;
};

/* A panel being drawn. */
struct scene {
    cairo_t *cairo;
    const struct layout *layout;
    const struct lbw_panel *panel;
    const char *const *names;
    size_t num_names;
    struct rect *tags; /* placed so far */
    size_t num_tags;
};

static double to_srgb(double linear)
{
    double x = fmin(fmax(linear, 0), 1);
    return x <= .0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - .055;
}

/* Björn Ottosson's OKLCH to sRGB: equal lightness and chroma look equal in every hue. */
static struct color from_oklch(double lightness, double chroma, double hue)
{
    double a = chroma * cos(hue), b = chroma * sin(hue);
    double l = pow(lightness + .3963377774 * a + .2158037573 * b, 3);
    double m = pow(lightness - .1055613458 * a - .0638541728 * b, 3);
    double s = pow(lightness - .0894841775 * a - 1.2914855480 * b, 3);
    return (struct color){to_srgb(4.0767416621 * l - 3.3077115913 * m + .2309699292 * s),
                          to_srgb(-1.2684380046 * l + 2.6097574011 * m - .3413193965 * s),
                          to_srgb(-.0041960863 * l - .7034186147 * m + 1.7076147010 * s)};
}

/* Neighbouring classes are a golden angle apart; three lightnesses keep 80 of them distinct. */
static struct color class_color(int class_index)
{
    static const double lightness[] = {.74, .66, .82};
    return from_oklch(lightness[class_index % 3], .17, 2.6 + class_index * GOLDEN_ANGLE);
}

static void set_color(cairo_t *cairo, struct color color, double alpha)
{
    cairo_set_source_rgba(cairo, color.r, color.g, color.b, alpha);
}

static void rounded(cairo_t *cairo, struct rect r, double radius)
{
    radius = fmin(radius, fmin(r.width, r.height) / 2);
    cairo_new_sub_path(cairo);
    cairo_arc(cairo, r.x + r.width - radius, r.y + radius, radius, -M_PI_2, 0);
    cairo_arc(cairo, r.x + r.width - radius, r.y + r.height - radius, radius, 0, M_PI_2);
    cairo_arc(cairo, r.x + radius, r.y + r.height - radius, radius, M_PI_2, M_PI);
    cairo_arc(cairo, r.x + radius, r.y + radius, radius, M_PI, 3 * M_PI_2);
    cairo_close_path(cairo);
}

static struct rect rect_of(const struct scene *scene, const struct lbw_box *box)
{
    double scale = scene->layout->scale, inset = scene->layout->line / 2;
    struct rect r = {box->x * scale, box->y * scale, box->width * scale, box->height * scale};
    /* At the edge of the image the whole line stays visible. */
    double right = fmin(r.x + r.width, scene->layout->width - inset);
    double bottom = fmin(r.y + r.height, scene->layout->height - inset);
    r.x = fmax(r.x, inset);
    r.y = fmax(r.y, inset);
    r.width = fmax(right - r.x, 1);
    r.height = fmax(bottom - r.y, 1);
    return r;
}

static enum lbw_mark mark_of(const struct scene *scene, size_t i)
{
    return scene->panel->marks ? scene->panel->marks[i] : LBW_MARK_NONE;
}

static void draw_outline(const struct scene *scene, size_t i)
{
    cairo_t *cairo = scene->cairo;
    const struct lbw_box *box = &scene->panel->boxes[i];
    struct rect r = rect_of(scene, box);
    struct color color = class_color(box->class_index);
    enum lbw_mark mark = mark_of(scene, i);
    /* Small boxes get thinner lines, or a crowd would be only lines. */
    double line = fmin(scene->layout->line, fmax(1.5, fmin(r.width, r.height) / 9));
    rounded(cairo, r, 2 * line);
    if (mark == LBW_MARK_NONE) {
        set_color(cairo, color, .05);
        cairo_fill_preserve(cairo);
    }
    cairo_set_source_rgba(cairo, 0, 0, 0, .45);
    cairo_set_line_width(cairo, line * 1.8);
    cairo_stroke_preserve(cairo);
    if (mark == LBW_MARK_LOST) {
        const double dash[] = {3.2 * line, 2.4 * line};
        set_color(cairo, lost_color, 1);
        cairo_set_dash(cairo, dash, 2, 0);
    } else {
        set_color(cairo, color, 1);
    }
    cairo_set_line_width(cairo, line);
    cairo_stroke(cairo);
    cairo_set_dash(cairo, NULL, 0, 0);
    if (mark == LBW_MARK_INVENTED) { /* a second line around it */
        struct rect around = {r.x - 2 * line, r.y - 2 * line, r.width + 4 * line,
                              r.height + 4 * line};
        rounded(cairo, around, 4 * line);
        set_color(cairo, invented_color, 1);
        cairo_set_line_width(cairo, line * .8);
        cairo_stroke(cairo);
    }
}

/* "person 87", "lost: person"; with one class the name is left out. */
static void tag_text(const struct scene *scene, size_t i, char *out, size_t size)
{
    const struct lbw_box *box = &scene->panel->boxes[i];
    enum lbw_mark mark = mark_of(scene, i);
    char name[64] = "";
    if (scene->names && (size_t)box->class_index < scene->num_names) {
        if (scene->num_names > 1)
            lbw_text_mend(name, sizeof name, scene->names[box->class_index]);
    } else {
        snprintf(name, sizeof name, "class %d", box->class_index);
    }
    const char *space = *name ? " " : "";
    if (mark == LBW_MARK_LOST)
        snprintf(out, size, "lost%s%s", *name ? ": " : "", name);
    else if (mark == LBW_MARK_INVENTED)
        snprintf(out, size, "invented: %s%s%.2f", name, space, (double)box->score);
    else
        snprintf(out, size, "%s%s%.2f", name, space, (double)box->score);
}

static bool overlaps(const struct rect *a, const struct rect *b)
{
    return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height &&
           b->y < a->y + a->height;
}

/* The first of a few positions at the box where the tag covers no other and stays inside. */
static bool place_tag(const struct scene *scene, struct rect *tag, const struct rect *box)
{
    double half = scene->layout->line / 2, least = scene->layout->line;
    const double left = box->x - half, right = box->x + box->width + half - tag->width;
    const double above = box->y - tag->height, below = box->y + box->height;
    const double places[][2] = {
        {left, above},
        {left, box->y - half},
        {right, above},
        {left, below},
        {right, below},
        {right, box->y - half},
        {left, box->y + box->height + half - tag->height},
    };
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        struct rect at = {places[k][0], places[k][1], tag->width, tag->height};
        at.x = fmax(0, fmin(at.x, scene->layout->width - at.width));
        if (at.y < 0 || at.y + at.height > scene->layout->height)
            continue;
        bool is_free = true;
        for (size_t t = 0; is_free && t < scene->num_tags; t++)
            is_free = !overlaps(&at, &scene->tags[t]);
        if (is_free) {
            *tag = at;
            return true;
        }
    }
    tag->x = fmax(0, fmin(left, scene->layout->width - tag->width));
    tag->y = fmax(0, fmin(box->y + least, scene->layout->height - tag->height));
    return false;
}

static void draw_tag(struct scene *scene, size_t i)
{
    cairo_t *cairo = scene->cairo;
    const struct lbw_box *box = &scene->panel->boxes[i];
    enum lbw_mark mark = mark_of(scene, i);
    struct rect r = rect_of(scene, box);
    bool is_crowded = scene->panel->num_boxes >= MANY_BOXES;
    double font = scene->layout->font;
    if (is_crowded) /* tags in proportion to their boxes, but large enough to read */
        font = fmax(.62 * font, fmin(font, r.width / 4));
    char text[128];
    tag_text(scene, i, text, sizeof text);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_BOLD);
    cairo_set_font_size(cairo, font);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo, text, &extents);
    struct rect tag = {.width = extents.x_advance + .6 * font, .height = 1.35 * font};
    bool is_small = r.width < .7 * tag.width && r.height < 3 * tag.height;
    if (!place_tag(scene, &tag, &r) && is_crowded)
        return;
    if (is_crowded && is_small && mark == LBW_MARK_NONE)
        return;
    scene->tags[scene->num_tags++] = tag;
    struct color color = class_color(box->class_index);
    rounded(cairo, tag, .22 * font);
    set_color(cairo,
              mark == LBW_MARK_LOST       ? lost_color
              : mark == LBW_MARK_INVENTED ? invented_color
                                          : color,
              1);
    cairo_fill(cairo);
    cairo_set_source_rgb(cairo, .07, .07, .09); /* every class colour is light enough for it */
    cairo_move_to(cairo, tag.x + .3 * font, tag.y + 1.02 * font);
    cairo_show_text(cairo, text);
}

/* The order of drawing: large boxes first, so that small ones stay visible. */
struct ranked {
    double area;
    size_t place;
};

static int by_area(const void *a, const void *b)
{
    const struct ranked *l = a, *r = b;
    if (l->area != r->area)
        return l->area > r->area ? -1 : 1;
    return l->place < r->place ? -1 : l->place > r->place;
}

static enum lbw_status draw_boxes(struct scene *scene, struct lbw_error *err)
{
    size_t num = scene->panel->num_boxes;
    struct ranked *order = calloc(num + 1, sizeof *order);
    scene->tags = calloc(num + 1, sizeof *scene->tags);
    enum lbw_status status = LBW_OK;
    if (!order || !scene->tags) {
        status = lbw_fail_memory(err);
        goto out;
    }
    for (size_t i = 0; i < num; i++) {
        const struct lbw_box *box = &scene->panel->boxes[i];
        order[i] = (struct ranked){(double)box->width * box->height, i};
    }
    qsort(order, num, sizeof *order, by_area);
    for (size_t i = 0; i < num; i++)
        draw_outline(scene, order[i].place);
    /* Lost and invented boxes matter most: their tags choose first. */
    for (int marked = 1; marked >= 0; marked--)
        for (size_t i = 0; i < num; i++)
            if ((mark_of(scene, i) != LBW_MARK_NONE) == marked)
                draw_tag(scene, i);
out:
    free(order);
    free(scene->tags);
    return status;
}

static cairo_surface_t *surface_of(const struct lbw_image *image)
{
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, image->width, image->height);
    unsigned char *data = cairo_image_surface_get_data(surface);
    if (!data)
        return surface;
    size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            const uint8_t *p =
                image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
            uint32_t pixel = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
            memcpy(data + (size_t)y * stride + 4 * (size_t)x, &pixel, sizeof pixel);
        }
    cairo_surface_mark_dirty(surface);
    return surface;
}

static struct layout layout_of(const struct lbw_image *image, const struct lbw_panel *panels,
                               size_t num_panels)
{
    double side = fmax(image->width, image->height);
    bool is_titled = false;
    for (size_t i = 0; i < num_panels; i++)
        is_titled = is_titled || panels[i].title;
    struct layout layout = {.scale = fmin(fmax(side, LEAST_SIDE), MOST_SIDE) / side};
    layout.width = fmax(1, floor(image->width * layout.scale + .5));
    layout.height = fmax(1, floor(image->height * layout.scale + .5));
    side *= layout.scale;
    layout.line = side / 320;
    layout.font = side / 52;
    layout.margin = is_titled || num_panels > 1 ? floor(side / 60) : 0;
    layout.header = is_titled ? floor(2.3 * layout.font) : 0;
    layout.is_stacked = layout.width > WIDE * layout.height;
    return layout;
}

static void draw_header(cairo_t *cairo, const struct layout *layout,
                        const struct lbw_panel *panel)
{
    cairo_text_extents_t extents;
    char text[512];
    double font = 1.3 * layout->font, x = 0, y = -.55 * font;
    if (!panel->title)
        return;
    lbw_text_mend(text, sizeof text, panel->title);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_BOLD);
    cairo_set_font_size(cairo, font);
    cairo_set_source_rgb(cairo, .1, .1, .12);
    cairo_move_to(cairo, x, y);
    cairo_show_text(cairo, text);
    if (!panel->subtitle)
        return;
    cairo_text_extents(cairo, text, &extents);
    lbw_text_mend(text, sizeof text, panel->subtitle);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_source_rgb(cairo, .38, .38, .42);
    cairo_move_to(cairo, x + extents.x_advance + .6 * font, y);
    cairo_show_text(cairo, text);
}

static enum lbw_status draw_panel(cairo_t *cairo, cairo_surface_t *picture,
                                  const struct layout *layout, struct scene *scene,
                                  struct lbw_error *err)
{
    draw_header(cairo, layout, scene->panel);
    cairo_rectangle(cairo, 0, 0, layout->width, layout->height);
    cairo_clip(cairo);
    cairo_save(cairo);
    cairo_scale(cairo, layout->scale, layout->scale);
    cairo_set_source_surface(cairo, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cairo), CAIRO_FILTER_BEST);
    cairo_pattern_set_extend(cairo_get_source(cairo), CAIRO_EXTEND_PAD);
    cairo_paint(cairo);
    cairo_restore(cairo);
    return draw_boxes(scene, err);
}

static cairo_status_t write_chunk(void *user, const unsigned char *data, unsigned length)
{
    lbw_writer_write(user, data, length);
    return CAIRO_STATUS_SUCCESS;
}

static enum lbw_status save(cairo_surface_t *canvas, const char *path, struct lbw_error *err)
{
    struct lbw_writer *writer = NULL;
    LBW_TRY(lbw_writer_open(&writer, path, err));
    cairo_status_t status = cairo_surface_write_to_png_stream(canvas, write_chunk, writer);
    if (status == CAIRO_STATUS_SUCCESS)
        return lbw_writer_commit(&writer, err);
    lbw_writer_abort(&writer);
    return lbw_fail(err, LBW_ERR_MEMORY, "%s: %s", path, cairo_status_to_string(status));
}

static enum lbw_status check(const char *path, const struct lbw_image *image,
                             const struct lbw_panel *panels, size_t num_panels,
                             struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("path", path, err));
    if (!image || !image->pixels || image->width < 1 || image->height < 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "an image without pixels");
    LBW_TRY(lbw_check_range("panels", (double)num_panels, 1, MOST_PANELS, err));
    LBW_TRY(lbw_check_given("panels", panels, err));
    for (size_t p = 0; p < num_panels; p++) {
        LBW_TRY(lbw_check_list("boxes", panels[p].boxes, panels[p].num_boxes, err));
        for (size_t i = 0; panels[p].marks && i < panels[p].num_boxes; i++)
            LBW_TRY(lbw_check_choice("mark", panels[p].marks[i], LBW_MARK_INVENTED + 1, err));
    }
    return LBW_OK;
}

enum lbw_status lbw_draw(const char *path, const struct lbw_image *image,
                         const struct lbw_panel *panels, size_t num_panels,
                         const char *const *names, size_t num_names, struct lbw_error *err)
{
    cairo_surface_t *picture = NULL, *canvas = NULL;
    enum lbw_status status;
    LBW_OR_OUT(check(path, image, panels, num_panels, err));
    struct layout layout = layout_of(image, panels, num_panels);
    double step_x = layout.width + layout.margin;
    double step_y = layout.height + layout.margin + layout.header;
    double columns = layout.is_stacked ? 1 : (double)num_panels;
    double rows = layout.is_stacked ? (double)num_panels : 1;
    picture = surface_of(image);
    canvas =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(columns * step_x + layout.margin),
                                   (int)(rows * step_y + layout.margin));
    cairo_t *cairo = cairo_create(canvas);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    for (size_t i = 0; status == LBW_OK && i < num_panels; i++) {
        struct scene scene = {cairo, &layout, &panels[i], names, num_names, NULL, 0};
        double at = (double)i;
        cairo_save(cairo);
        cairo_translate(cairo, layout.margin + (layout.is_stacked ? 0 : at * step_x),
                        layout.margin + layout.header + (layout.is_stacked ? at * step_y : 0));
        status = draw_panel(cairo, picture, &layout, &scene, err);
        cairo_restore(cairo);
    }
    cairo_status_t drawn = cairo_status(cairo);
    cairo_destroy(cairo);
    LBW_OR_OUT(status);
    if (drawn != CAIRO_STATUS_SUCCESS)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_MEMORY, "drawing: %s", cairo_status_to_string(drawn)));
    LBW_OR_OUT(save(canvas, path, err));
out:
    cairo_surface_destroy(canvas);
    cairo_surface_destroy(picture);
    return status;
}
